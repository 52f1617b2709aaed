"""Finds the first commit that needs more than GOOD, or the first version of a package: af3mem bisect jax==0.10.0..0.10.2.

It measures GOOD and BAD, then as few commits in between as it can, each as git has it; the checkout is not touched. It skips a
commit that cannot be measured; if that leaves several possible answers, it names all of them. Exit status 1 if BAD needs more
than GOOD by more than the tolerance. Results are kept: after an interruption the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OVER, STATUS_OF
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser, deliver, job_options, show, take_tolerance
from pytest_af3mem.errors import UsageError
from pytest_af3mem.planning.bisect import Bisection, History, Tested, bisect
from pytest_af3mem.planning.commits import Commits
from pytest_af3mem.planning.versions import Versions
from pytest_af3mem.records.request import freeze
from pytest_af3mem.reports import bisect as report
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.settings import Settings

HELP = "find the first commit, or version of a package, whose peak grew"
EXAMPLES = (
    "af3mem bisect ../alphafold3 v3.0.3 main --tokens 1024",
    "af3mem bisect jax==0.10.0..0.10.2 --tokens 256",
)
STATUSES = {OVER: "BAD needs more", NOT_JUDGED: "GOOD or BAD is not judged"}
TAKES = MEASURING


def prepare(parser: Parser) -> None:
    parser.take(
        "what", metavar="REPO", help="folder of the model's sources in a git repository, or PACKAGE==GOOD..BAD, or ==V,V,V"
    )
    parser.take("good", metavar="GOOD", nargs="?", help="commit, tag or branch whose peak is good, an ancestor of BAD")
    parser.take("bad", metavar="BAD", nargs="?", help="commit, tag or branch whose peak may have grown")
    parser.take("--tokens", *JOB_OPTIONS, "--set")
    parser.take(
        "--first-parent",
        group="model",
        action="store_true",
        help="find the merge, and not the commit in the branch that it merged",
    )
    take_tolerance(parser, 'growth that does not count, such as "0.5 %%" or "64 MiB" (default: 0)')


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    asked = {"tokens": parsed.tokens, "options": job_options(parsed), "model_settings": parsed.set}

    def tell(one: Tested) -> None:
        if settings.json != Path("-"):
            show("")
            print(report.line(one, parsed.tolerance), flush=True)

    found = bisect(_history(parsed, settings), asked, parsed.tolerance, show, tell)
    deliver(settings, report.render_text(found, _command(found, parsed, settings)), report.render_json(found))
    return STATUS_OF[found.outcome]


def _history(parsed: argparse.Namespace, settings: Settings) -> History:
    if parsed.good is None:
        if parsed.first_parent:
            raise UsageError("--first-parent is of commits: leave it out for versions, or give REPO GOOD BAD")
        return Versions(parsed.what, settings, show)
    if parsed.bad is None:
        raise UsageError(f"GOOD {parsed.good!r} needs a BAD: af3mem bisect REPO GOOD BAD")
    folder = Path(parsed.what)
    if not folder.is_dir():
        raise UsageError(f"REPO {parsed.what!r} is no folder: give the one of the model's sources, in a git repository")
    return Commits(folder, parsed.good, parsed.bad, settings, first_parent=parsed.first_parent)


def _command(found: Bisection, parsed: argparse.Namespace, settings: Settings) -> str:
    """What compares both sides of the growth again."""
    if not (found.before and found.after and found.after.request):
        return ""
    sides = [shlex.quote(found.history.side(one.revision.id)) for one in (found.before, found.after)]
    stated = freeze(job_options(parsed))
    where = replace(settings, path=None) if parsed.good else replace(settings, python=Settings().python)
    return reproduce.command(where, found.after.request, tokens=parsed.tokens, options=stated, does=("compare", *sides))
