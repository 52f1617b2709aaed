"""Makes the answers that come with the package: `python benchmarks/shipped_answers.py --targets h100-80gb,a100-80gb`.

Each bucket of each target is compiled as `af3mem measure` does, and the table of the target is written after each: end it and
start it again, and it goes on. What is in a table of the same versions and sources is not measured again. Make them after the
last change of the sources that decide a number, which are part of what an answer is found by: `--check` says whether tables are
of what is here, and measures some sizes again without any cache. Exit status 1 says that something differs, or was not judged.

The tables lie in pytest_af3mem/answers, a file for each target, and are part of the wheel.
"""

import argparse
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands.arguments import show, whole_numbers
from pytest_af3mem.errors import Af3memError
from pytest_af3mem.planning import shipped
from pytest_af3mem.records.shipped import FOLDER, place, table
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default="h100-80gb", help="as of af3mem plan (default: h100-80gb)")
    parser.add_argument(
        "--sizes", help="tokens, such as 1024,5376 (default: every bucket; --check: the two smallest of the table)"
    )
    parser.add_argument("--check", action="store_true", help="measure again, and write nothing")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the tables (default: in the package)")
    for option in ("--model", "--path", "--cache-dir", "--workers"):
        parser.add_argument(option, help="as of af3mem measure")
    parsed = parser.parse_args(arguments)
    sizes = whole_numbers(parsed.sizes, "--sizes") if parsed.sizes else None
    settings = replace(Settings.read(vars(parsed)), method="compiled", target="h100-80gb")
    if parsed.check:
        settings = replace(settings, no_cache=True)
    good = True
    with contextlib.closing(Session(settings)) as session:
        for target in gpus.select(parsed.targets):
            if parsed.check:
                found = table(parsed.into, target.name)
                few = sizes or (sorted(found.by_bucket)[:2] if found else ())
                for same, line in shipped.check(session, target.name, few, parsed.into, show):
                    good = good and same
                    print(line, flush=True)
                continue
            for line in shipped.make(session, target.name, sizes or session.buckets, parsed.into, show):
                good = good and "not judged" not in line
                print(line, flush=True)
            if place(parsed.into, target.name).is_file():
                print(f"{place(parsed.into, target.name)}: {place(parsed.into, target.name).stat().st_size:,} bytes")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Af3memError as error:
        sys.exit(f"shipped_answers: {error}")
