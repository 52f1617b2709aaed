"""Says what a running process holds of the GPU, and how much of that is only its pool's reserve."""

from __future__ import annotations

import argparse
import sys

from pytest_af3mem.commands import NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import Parser
from pytest_af3mem.errors import NotJudged, UsageError, shown
from pytest_af3mem.gpus.occupancy import look
from pytest_af3mem.reports.occupancy import render
from pytest_af3mem.session.settings import Settings

HELP = "what a running process holds of the GPU, and how much of that is its pool's reserve"
EXAMPLES = ("af3mem watch 1234", 'af3mem watch "$(pgrep -n python)"')
STATUSES = {NOT_JUDGED: "no GPU says what it holds"}
OPTIONS = ()


def prepare(parser: Parser) -> None:
    parser.add_argument("pid", metavar="PID", help="process id, as nvidia-smi shows it")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    if not parsed.pid.isdecimal():
        raise UsageError(f"PID {parsed.pid!r} must be the number of a process, as nvidia-smi shows it")
    try:
        for seen in look(int(parsed.pid)):
            print(*map(shown, render(seen)), sep="\n")
    except NotJudged as error:
        print(f"af3mem: {error}", file=sys.stderr)
        return NOT_JUDGED
    return OK
