"""Measures a generated input, then the same with one component changed at a time."""

from __future__ import annotations

import argparse

from pytest_af3mem.commands import NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import (
    Parser,
    add_job_options,
    add_over,
    add_set,
    asking,
    axes,
    chosen,
    deliver,
    job_options,
    show,
    size,
)
from pytest_af3mem.errors import shown
from pytest_af3mem.planning.vary import Conditions, vary
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports import vary as report
from pytest_af3mem.session.settings import Settings

HELP = "change one component of the input or the model at a time, and see what it costs"
EXAMPLES = ("af3mem vary --tokens 1024 --over msa_depth=0,16384", "af3mem vary --tokens 512 --over num_samples=1,5,10 --json -")
STATUSES = {NOT_JUDGED: "some are not judged"}


def prepare(parser: Parser) -> None:
    parser.groups["input"].add_argument("--tokens", required=True, metavar="N", help="tokens of the input, exactly")
    add_job_options(parser)
    add_set(parser)
    add_over(
        parser,
        "what to change: tokens, an option of the input ('none' for no ligands, ...), or a setting of the model; repeatable",
        required=True,
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    base = Conditions(size(parsed.tokens), job_options(parsed), chosen(parsed))
    with asking(settings) as session:
        effects = vary(session, base, axes(parsed), show)
        notes = session.pool.notes
    lines = [*map(shown, notes), effects[0].request.conditions, *report.table(effects), ""]
    deliver(settings, "\n".join(lines), report.render(effects))
    return OK if all(isinstance(one.answer, Peak) for one in effects) else NOT_JUDGED
