"""Says how many tokens the inputs have, without AlphaFold 3: one line for each job of each file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_af3mem.commands import OK, USAGE
from pytest_af3mem.commands.arguments import asking
from pytest_af3mem.errors import UsageError
from pytest_af3mem.request import bucket
from pytest_af3mem.settings import Settings

HELP = "tokens and bucket of AlphaFold 3 inputs"
OPTIONS = ("model", "python", "path", "buckets", "timeout", "cache_dir")


def prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="AlphaFold 3 or AlphaFold Server JSON")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    broken = False
    with asking(settings) as session:
        buckets = session.buckets
        print(f"{'tokens':>6}  {'bucket':>6}  {'padding':>7}  job")
        for path in parsed.files:
            try:
                jobs = session.read(path)
                counted = [session.tokens(job) for job in jobs]
            except UsageError as error:
                broken = True
                print(f"af3mem: {str(path)!a}: {error}", file=sys.stderr)
                continue
            for index, (job, size) in enumerate(zip(jobs, counted, strict=True)):
                where = f"{path}[{index}]" if len(jobs) > 1 else str(path)
                padded = bucket(size, buckets)
                print(f"{size:>6}  {padded:>6}  {padded - size:>7}  {where} {job.name!a}")
    return USAGE if broken else OK
