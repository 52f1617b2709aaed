"""Peaks that others read on real GPUs, beside what is compiled for them: `python benchmarks/published_peaks.py --path CHECKOUT`.

CHECKOUT holds AlphaFold 3 v3.0.4, with which they were read. Each size is compiled as it is, without padding, with the
container's flags and with those that give all matrix products to cuBLASLt, which a GPU may choose by JAX's default flags. (The
other end, all of them Triton's, XLA refuses to compile at most of these sizes.) Nobody says which it was: so a line has both, and
the most that tokamax may keep as it tunes.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem.commands.arguments import show
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.records import flags
from pytest_af3mem.reports.columns import markdown_table
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

MIB = 2**20
CUBLASLT = "--xla_gpu_experimental_autotune_backends=CUBLASLT_FISSION,CUBLASLT"
FOLDJAX = "https://github.com/eightmm/FoldJAX"


@dataclass(frozen=True)
class Published:
    """`peak_bytes_in_use` as somebody read it, in MiB, for inputs of this many tokens."""

    tokens: int
    mib: float
    target: str
    source: str
    tuned: bool = True


PUBLISHED = (
    Published(132, 1323.4, "rtx6000pro-96gb", f"{FOLDJAX}, kernels stored", tuned=False),
    Published(1003, 6901, "rtx6000pro-96gb", FOLDJAX),
    Published(3012, 42277, "rtx6000pro-96gb", FOLDJAX),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="sources of AlphaFold 3 v3.0.4")
    parser.add_argument("--cache-dir", type=Path, default=Settings().cache_dir)
    parsed = parser.parse_args()
    sys.argv = sys.argv[:1]
    headings = (
        "tokens",
        "published",
        "container",
        "all cuBLASLt",
        "tuning keeps at most",
        "container and tuning",
        "all cuBLASLt and tuning",
        "source",
    )
    rows = [headings, *(row(one, parsed.path, parsed.cache_dir) for one in PUBLISHED)]
    print(*markdown_table(rows, right=range(7)), sep="\n")


def row(published: Published, path: Path, cache_dir: Path) -> tuple[str, ...]:
    peaks = {name: measured(published, name, path, cache_dir) for name in (flags.CONTAINER, CUBLASLT)}
    known = [peak for peak in peaks.values() if not isinstance(peak, str)]
    kept = (known[0].tuning_bytes or 0) / MIB if known and published.tuned else 0
    cells = [str(published.tokens), f"{published.mib:,.0f}"]
    for peak in peaks.values():
        least = "" if isinstance(peak, str) or peak.least_bytes is None else f"{peak.least_bytes / MIB:,.0f} to "
        cells.append(peak if isinstance(peak, str) else f"{least}{peak.total_bytes / MIB:,.0f}")
    cells.append(f"{kept:,.0f}")
    for peak in peaks.values():
        total = None if isinstance(peak, str) else peak.total_bytes / MIB + kept
        cells.append("-" if total is None else f"{total:,.0f} ({total / published.mib - 1:+.1%})")
    return (*cells, published.source)


def measured(published: Published, xla_flags: str, path: Path, cache_dir: Path):
    """The peak, or why there is none."""
    settings = Settings(target=published.target, buckets=(published.tokens,), path=path, cache_dir=cache_dir, workers=1)
    session = Session(settings)
    try:
        chosen = {flags.SETTING: xla_flags, **({"kernel_tuning": "autotune"} if published.tuned else {})}
        return session.wait(session.pool.submit(session.request(tokens=published.tokens, model_settings=chosen)), show)
    except NotJudged as error:
        return f"not judged: {str(error)[:80]}"
    finally:
        session.close()


if __name__ == "__main__":
    main()
