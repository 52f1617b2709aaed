"""Says why a run of AlphaFold 3 ended, from what it printed: which memory ran out or what else happened, and what to do next."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_af3mem.commands import NOT_JUDGED, OK, USAGE
from pytest_af3mem.commands.arguments import Parser, deliver, show
from pytest_af3mem.errors import UsageError, shown
from pytest_af3mem.planning.explain import Explanation, read
from pytest_af3mem.planning.log_facts import WORDS
from pytest_af3mem.planning.log_lines import lines
from pytest_af3mem.reports import explain as report
from pytest_af3mem.session.settings import Settings

HELP = "why a run ended, from its log: which memory ran out, and what to do next"
EXAMPLES = ("af3mem explain slurm-1234.out", "af3mem explain run.log --json -")
STATUSES = {NOT_JUDGED: "a log says nothing that is known"}
TAKES = ("json",)


def prepare(parser: Parser) -> None:
    parser.take("logs", nargs="+", metavar="LOG", help="what a run printed, standard error included; - for standard input")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Exit status 2 where a log cannot be read, else 3 where one says nothing that is known."""
    explained: list[tuple[str, Explanation]] = []
    broken: list[tuple[str, str]] = []
    for name in parsed.logs:
        try:
            explained.append((name, _read_log(name)))
        except UsageError as error:
            broken.append((name, str(error)))
            print(f"af3mem: {shown(f'{name!r} {error}')}", file=sys.stderr)
    deliver(settings, report.render_text(explained), report.render_json(explained, broken))
    return USAGE if broken else OK if all(one.found for _, one in explained) else NOT_JUDGED


def _read_log(name: str) -> Explanation:
    """Raises UsageError, with the way out, for what is no log."""
    try:
        if name != "-":
            with Path(name).open("rb") as log:
                return read(lines(log, WORDS))
        if not hasattr(sys.stdin, "buffer"):
            raise UsageError("is standard input, which is closed: name a file")
        if sys.stdin.isatty():
            show("reading what you paste, until Ctrl-D")
        return read(lines(sys.stdin.buffer, WORDS))
    except IsADirectoryError as error:
        raise UsageError("is a folder: name the log itself, such as slurm-1234.out") from error
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}): name what a run printed, or - for standard input") from error
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("is not a path") from error
