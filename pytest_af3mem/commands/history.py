"""Shows how the peaks in a committed baseline changed from commit to commit, as git has them. Measures nothing.

The revisions are those of the branch that is checked out; a merge counts as one change to that branch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_af3mem.commands import OK
from pytest_af3mem.commands.arguments import Parser, deliver, show, write
from pytest_af3mem.errors import whole_number
from pytest_af3mem.planning.history import read
from pytest_af3mem.reports import history as report
from pytest_af3mem.session.settings import Settings

HELP = "each test's peak over the commits of a baseline, and which commits moved it"
EXAMPLES = ("af3mem history memory.json", 'af3mem history memory.json --test "[512]" --tolerance "1 %"')
STATUSES: dict[int, str] = {}
TAKES = ("json",)


def prepare(parser: Parser) -> None:
    parser.take("file", metavar="FILE", type=Path, help="the committed file of --af3-baseline")
    parser.take(
        "--test",
        group="input",
        action="append",
        default=[],
        metavar="NAME",
        help="a test, or a part of the names of several; repeatable (default: all)",
    )
    parser.take(
        "--last",
        group="input",
        default="50",
        metavar="N",
        help="number of revisions to read, from the newest (default: 50)",
        read=lambda text: whole_number(text, "--last"),
    )
    parser.take(
        "--tolerance",
        group="report",
        metavar="SIZE",
        help='show commits that moved a peak by more than this, such as "0.5 %%" or "64 MiB" (default: 0 compiled, 1 %% run)',
    )
    parser.take("--html", group="report", metavar="FILE", help="write a page with plots to this file; needs pytest-af3mem[html]")
    parser.take(
        "--benchmark-json",
        group="report",
        metavar="FILE",
        type=Path,
        help="write the newest revision for github-action-benchmark, tool customSmallerIsBetter",
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    settings.check_apart({"--benchmark-json": parsed.benchmark_json} if parsed.benchmark_json else {})
    found = read(parsed.file, parsed.last, show).of_tests(parsed.test)
    how = (found, settings.tolerance)
    deliver(settings, report.render_text(*how), report.render_json(*how))
    if settings.html:
        write(settings.html, report.page(*how))
    if parsed.benchmark_json:
        write(parsed.benchmark_json, report.render_benchmark(found))
    return OK
