"""Measures a generated input, then the same with one component changed at a time."""

from __future__ import annotations

import argparse

from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser, asking, deliver, job_options, show
from pytest_af3mem.planning.vary import Conditions, vary
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports import vary as report
from pytest_af3mem.session.settings import Settings

HELP = "change one component of the input or the model at a time, and see what it costs"
EXAMPLES = ("af3mem vary --tokens 1024 --over msa_depth=0,16384", "af3mem vary --tokens 512 --over num_samples=1,5,10 --json -")
STATUSES = {NOT_JUDGED: "some are not judged"}
TAKES = MEASURING


def prepare(parser: Parser) -> None:
    parser.take("--tokens", *JOB_OPTIONS, "--set")
    parser.take(
        "--over",
        required=True,
        help="what to change: tokens, an option of the input ('none' for no ligands, ...), or a setting of the model; repeatable",
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    base = Conditions(parsed.tokens, job_options(parsed), parsed.set)
    with asking(settings) as session:
        effects = vary(session, base, parsed.over, show)
        deliver(settings, report.render_text(effects, session.pool.notes), report.render_json(effects))
    return OK if all(isinstance(one.answer, Peak) for one in effects) else NOT_JUDGED
