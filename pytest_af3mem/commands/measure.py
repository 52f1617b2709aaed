"""Measures one input."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands import NOT_JUDGED, OK, OVER
from pytest_af3mem.commands.arguments import (
    Parser,
    add_job_options,
    add_set,
    add_strict,
    asking,
    chosen,
    deliver,
    job_options,
    note,
    show,
    size,
)
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.records import calibration
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import freeze
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "measure one input"
EXAMPLES = ("af3mem measure --tokens 1024 --target a100-40gb", 'af3mem measure --job job.json --budget "95 %"')
STATUSES = {OVER: "over the budget", NOT_JUDGED: "not judged"}


def prepare(parser: Parser) -> None:
    what = parser.groups["input"].add_mutually_exclusive_group(required=True)
    what.add_argument("--tokens", metavar="N", help="measure a generated input of exactly so many tokens")
    what.add_argument("--job", type=Path, metavar="FILE", help="measure the one of this AlphaFold 3 JSON")
    add_strict(parser)
    add_job_options(parser)
    add_set(parser)
    parser.groups["report"].add_argument(
        "--budget", metavar="SIZE", help='exit with status 1 where the peak is over it, such as "16 GiB" or "95 %%"'
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    options = job_options(parsed)
    if parsed.job and options:
        raise UsageError(f"--{next(iter(options)).replace('_', '-')} shapes a generated input: leave it out beside --job")
    budget = Size.parse(parsed.budget, name="--budget") if parsed.budget is not None else None
    with asking(settings) as session:
        if parsed.job:
            job = _only_job(session, parsed.job, strict=parsed.strict)
            note(parsed.job, job)
            request = session.request(job, model_settings=chosen(parsed))
            command = reproduce.command(settings, request, job=parsed.job)
        else:
            tokens = size(parsed.tokens)
            request = session.request(tokens=tokens, options=options, model_settings=chosen(parsed))
            command = reproduce.command(settings, request, tokens=tokens, options=freeze(options))
        try:
            answer: Peak | NotJudged = session.wait(session.pool.submit(request), show)
        except NotJudged as error:
            answer = error
        limit = budget.of(gpus.find(request.target).memory_bytes) if budget else None
        measurement = Measurement.of("af3mem measure", request, answer, budget_bytes=limit, command=command)
        notes = session.pool.notes
    beside = calibration.beside([measurement], settings.cache_dir)
    lines = [*notes, *terminal.table([measurement]), terminal.section(measurement), *beside, ""]
    deliver(settings, "\n".join(lines), json.render([measurement], all_holders=settings.all_holders))
    if measurement.verdict is None or measurement.verdict.outcome is Outcome.WITHIN:
        return OK
    return OVER if measurement.verdict.outcome is Outcome.OVER else NOT_JUDGED


def _only_job(session: Session, path: Path, *, strict: bool) -> Job:
    try:
        first, *others = session.read(path, strict=strict)
    except UsageError as error:
        raise UsageError(f"--job {str(path)!r}: {error}") from error
    if others:
        raise UsageError(f"--job {str(path)!r} holds {1 + len(others)} jobs: give a file with one")
    return first
