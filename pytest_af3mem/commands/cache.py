"""Says what the cache folder holds, and frees what is not needed.

It keeps what a running session uses, and calibration records, which only a GPU can make again; --clear also keeps AlphaFold 3
inputs of failing tests. What no session used for 90 days is removed at the end of a session, without being asked.
"""

from __future__ import annotations

import argparse
import re
import time

from pytest_af3mem.commands import OK, USAGE
from pytest_af3mem.commands.arguments import Parser, deliver
from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.reports.cache import render_json, render_text
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.housekeeping import DAY, Limits, free

HELP = "what the cache folder holds; frees what is not needed"
EXAMPLES = ("af3mem cache", 'af3mem cache --older-than 30d --keep-under "2 GiB"')
STATUSES: dict[int, str] = {}
TAKES = ("json", "cache_dir")
_SECONDS = {"h": 3600, "d": DAY, "w": 7 * DAY}


def prepare(parser: Parser) -> None:
    parser.take(
        "--older-than",
        group="machine",
        metavar="AGE",
        help="remove what was not used for this long, such as 12h, 30d or 8w",
        read=_seconds,
    )
    parser.take(
        "--keep-under",
        group="machine",
        metavar="SIZE",
        help='remove what was used least recently until the rest is at most this, such as "2 GiB"',
        read=_bytes,
    )
    parser.take("--clear", group="machine", action="store_true", help="remove all that can be made again")
    parser.take("--dry-run", group="machine", action="store_true", help="say what would be removed, and remove nothing")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Exit status 2 where something could not be removed."""
    limits = Limits(parsed.older_than, parsed.keep_under, parsed.clear)
    if parsed.dry_run and limits == Limits():
        raise UsageError("--dry-run says what would go: give --older-than, --keep-under or --clear too")
    freed = free(settings.cache_dir, limits, dry_run=parsed.dry_run)
    how = (settings.cache_dir, freed, limits, time.time())
    deliver(settings, render_text(*how, dry_run=parsed.dry_run), render_json(*how, dry_run=parsed.dry_run))
    return USAGE if freed.problems else OK


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9]\d{0,5})([hdw])", text)
    if not found:
        raise UsageError(f"--older-than {text!r} must be hours, days or weeks, like 12h, 30d or 8w")
    return int(found[1]) * _SECONDS[found[2]]


def _bytes(text: str) -> int:
    size = Size.parse(text, name="--keep-under")
    if size.bytes is None:
        raise UsageError(f"--keep-under {text!r} must be an amount, like '2 GiB', and no share")
    return size.bytes
