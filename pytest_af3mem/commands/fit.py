"""Finds the settings with which an input fits a target, the cheapest first. Exit status 1 where none is known."""

from __future__ import annotations

import argparse

from pytest_af3mem import gpus
from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK, OVER
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser, asking, deliver, job_options, show
from pytest_af3mem.planning import fit
from pytest_af3mem.planning.ask import run_searches
from pytest_af3mem.reports import fit as report
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.session.shipped import ShippedAnswers

HELP = "find the settings with which an input fits a target"
EXAMPLES = ("af3mem fit --tokens 4352 --target a100-40gb", "af3mem fit --tokens 4352 --over num_samples=4,2,1")
STATUSES = {OVER: "nothing that is known fits", NOT_JUDGED: "not judged"}
TAKES = MEASURING


def prepare(parser: Parser) -> None:
    parser.take("--tokens", "--fraction", *JOB_OPTIONS, "--shipped")
    parser.take("--set", help="a setting to start from; repeatable")
    parser.take(
        "--over",
        help="a setting that may be changed, its values from mild to strong; repeatable, the cheapest first "
        "(default: those of AlphaFold 3 that are known to trade memory)",
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    limit_bytes = parsed.fraction.of(gpus.find(settings.target).memory_bytes)
    stated = {name: [value for _, value in values] for name, values in parsed.over.items()}
    with asking(settings, takes_shipped=True, release=parsed.shipped) as session:
        request = session.request(tokens=parsed.tokens, options=job_options(parsed), model_settings=parsed.set)
        savings = fit.savings_of(session, stated, request)
        is_shipped = isinstance(session.pool, ShippedAnswers)  # which are of no change at all: the first one says so
        (found,) = run_searches(session, [fit.search(request, limit_bytes, savings, until_unjudged=is_shipped)], show)
        deliver(settings, "\n".join([*session.pool.notes, report.render_text(found)]), report.render_json(found))
    return OK if found.best else OVER if found.is_judged else NOT_JUDGED
