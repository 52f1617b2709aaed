"""Says how much of the GPU's memory a running process holds, and how much of that its pool only reserves."""

from __future__ import annotations

import argparse
import sys

from pytest_af3mem.commands import NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import Parser
from pytest_af3mem.errors import NotJudged, UsageError, shown
from pytest_af3mem.gpus.occupancy import look
from pytest_af3mem.reports.occupancy import render
from pytest_af3mem.session.settings import Settings

HELP = "how much of the GPU's memory a running process holds, and how much its pool only reserves"
EXAMPLES = ("af3mem watch 1234", 'af3mem watch "$(pgrep -n python)"')
STATUSES = {NOT_JUDGED: "no GPU says what it holds"}
TAKES: tuple[str, ...] = ()


def prepare(parser: Parser) -> None:
    parser.take("pid", metavar="PID", help="process id, as nvidia-smi shows it", read=_pid)


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    try:
        for seen in look(parsed.pid):
            print(*map(shown, render(seen)), sep="\n")
    except NotJudged as error:
        print(f"af3mem: {error}", file=sys.stderr)
        return NOT_JUDGED
    return OK


def _pid(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"PID {text!r} must be the number of a process, as nvidia-smi shows it")
    return int(text)
