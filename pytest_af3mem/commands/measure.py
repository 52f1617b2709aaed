"""Measures one input."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK, OVER, STATUS_OF
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser, asking, deliver, job_options, note, show
from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.planning.ask import answer
from pytest_af3mem.records import calibration
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.request import freeze
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "measure one input"
EXAMPLES = ("af3mem measure --tokens 1024 --target a100-40gb", 'af3mem measure --job job.json --budget "95 %"')
STATUSES = {OVER: "over the budget", NOT_JUDGED: "not judged"}
TAKES = MEASURING


def prepare(parser: Parser) -> None:
    parser.groups["one of"] = parser.groups["input"].add_mutually_exclusive_group(required=True)
    parser.take("--tokens", group="one of", required=False, help="measure a generated input of exactly this many tokens")
    parser.take("--job", group="one of", type=Path, metavar="FILE", help="measure the job in this AlphaFold 3 JSON file")
    parser.take("--strict", *JOB_OPTIONS, "--shipped", "--set")
    parser.take(
        "--budget",
        group="report",
        metavar="SIZE",
        help='exit with status 1 if the peak is over this, such as "16 GiB" or "95 %%"',
        read=lambda text: Size.parse(text, name="--budget"),
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    options = job_options(parsed)
    if parsed.job and options:
        raise UsageError(f"--{next(iter(options)).replace('_', '-')} shapes a generated input: leave it out with --job")
    with asking(settings, takes_shipped=True, release=parsed.shipped) as session:
        if parsed.job:
            job = _only_job(session, parsed.job, strict=parsed.strict)
            note(parsed.job, job)
            request = session.request(job, model_settings=parsed.set)
            command = reproduce.command(settings, request, job=parsed.job)
        else:
            request = session.request(tokens=parsed.tokens, options=options, model_settings=parsed.set)
            command = reproduce.command(settings, request, tokens=parsed.tokens, options=freeze(options))
        if parsed.shipped:
            command += f" --shipped {parsed.shipped}"
        found = answer(session, session.pool.submit(request), show)
        limit = parsed.budget.of(gpus.find(request.target).memory_bytes) if parsed.budget else None
        measurement = Measurement.of("af3mem measure", request, found, budget_bytes=limit, command=command)
    beside = calibration.beside([measurement], settings.cache_dir)
    lines = [*session.pool.notes, *terminal.table([measurement]), terminal.section(measurement), *beside, ""]
    deliver(settings, "\n".join(lines), json.render([measurement], all_holders=settings.all_holders))
    return STATUS_OF[measurement.verdict.outcome] if measurement.verdict else OK


def _only_job(session: Session, path: Path, *, strict: bool) -> Job:
    try:
        first, *others = session.read(path, strict=strict)
    except UsageError as error:
        raise UsageError(f"--job {str(path)!r}: {error}") from error
    if others:
        raise UsageError(f"--job {str(path)!r} holds {1 + len(others)} jobs: give a file with one")
    return first
