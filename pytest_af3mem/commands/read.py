"""Reads a program that is already compiled: an XLA dump, an entry of JAX's compilation cache or a serialized executable.

Any process may have compiled it. Neither JAX, AlphaFold 3 nor a GPU is needed, and nothing in the file is run.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from pytest_af3mem.commands import NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import Parser, deliver, show
from pytest_af3mem.errors import NotJudged, shown
from pytest_af3mem.reports import read as report
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.settings import Settings

HELP = "what a compiled program needs: an XLA dump, or an entry of JAX's compilation cache"
EXAMPLES = ("af3mem read dump/", "af3mem read ~/.cache/jax/jit_apply-0a1b2c-cache --json -")
STATUSES = {NOT_JUDGED: "not judged"}
TAKES = ("python", "timeout", "cache_dir", "json", "all_holders")


def prepare(parser: Parser) -> None:
    parser.take(
        "file",
        type=Path,
        metavar="FILE",
        help="NAME_after_optimizations.hlo.pb, jit_NAME-cache, the output of executable.serialize(), or a folder of these, "
        "of which the one with the largest total is read",
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    show(f"reading {parsed.file}")
    try:
        with closing(Pool(settings)) as pool:
            found = pool.read(parsed.file)
    except NotJudged as error:  # the reader took too long, or died
        print(f"af3mem: {shown(f'{str(parsed.file)!r} is not judged: {error}')}", file=sys.stderr)
        return NOT_JUDGED
    deliver(settings, report.render_text(found), report.render_json(found, all_holders=settings.all_holders))
    return OK
