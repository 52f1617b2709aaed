"""One size, several programs: `python benchmarks/programs.py --path CHECKOUT` prints the table of docs/capacity.md.

CHECKOUT holds upstream's release of AlphaFold 3. Each default bucket is compiled for one target from what is installed, with the
container's XLA flags and with JAX's own, and from CHECKOUT with the container's.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_af3mem.commands.arguments import show
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records import flags
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import markdown_table
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HEADINGS = ("tokens", "installed, container", "installed, default", "upstream, container", "upstream to installed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="sources of upstream's release")
    parser.add_argument("--target", default="h100-80gb")
    parser.add_argument("--buckets", help="such as 256,1024 (default: all of the installed version)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache-dir", type=Path, default=Settings().cache_dir)
    parsed = parser.parse_args()
    installed = Settings(target=parsed.target, cache_dir=parsed.cache_dir, workers=parsed.workers)
    upstream = replace(installed, path=parsed.path)
    stated = [int(one) for one in (parsed.buckets or "").split(",") if one]
    buckets = tuple(stated) or buckets_of(installed)
    columns = [
        measured(installed, buckets, flags.CONTAINER),
        measured(installed, buckets, flags.DEFAULT),
        measured(replace(upstream, buckets=buckets), buckets, flags.CONTAINER),
    ]
    rows = [row(tokens, *peaks) for tokens, *peaks in zip(buckets, *columns, strict=True)]
    print(*markdown_table([HEADINGS, *rows], right=range(5)), sep="\n")


def buckets_of(settings: Settings) -> tuple[int, ...]:
    session = Session(settings)
    try:
        return session.buckets
    finally:
        session.close()


def measured(settings: Settings, buckets: Sequence[int], xla_flags: str) -> list[Peak | str]:
    """The peak of each bucket, or why there is none."""
    session = Session(settings)
    try:
        stated = {flags.SETTING: xla_flags}
        answers = [session.pool.submit(session.request(tokens=size, model_settings=stated)) for size in buckets]
        peaks: list[Peak | str] = []
        for answer in answers:
            try:
                peaks.append(session.wait(answer, show))
            except NotJudged as error:
                peaks.append(f"not judged: {str(error)[:80]}")
        return peaks
    finally:
        session.close()


def row(tokens: int, container: Peak | str, default: Peak | str, upstream: Peak | str) -> tuple[str, ...]:
    known = isinstance(container, Peak) and isinstance(upstream, Peak)
    ratio = f"{upstream.total_bytes / container.total_bytes - 1:+.1%}" if known else "-"
    return (f"{tokens:,}", *map(text, (container, default, upstream)), ratio)


def text(peak: Peak | str) -> str:
    if isinstance(peak, str):
        return peak
    least = "" if peak.least_bytes in (None, peak.total_bytes) else f"{format_bytes(peak.least_bytes)} to "
    return f"{least}{format_bytes(peak.total_bytes)}"


if __name__ == "__main__":
    main()
