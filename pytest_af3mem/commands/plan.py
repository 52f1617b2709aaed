"""Finds the largest input that fits each target; or, given AlphaFold 3 inputs, which target each of them fits."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK, OVER, USAGE
from pytest_af3mem.commands.arguments import Parser, asking, deliver, show
from pytest_af3mem.errors import UsageError, whole_number
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.planning import capacity, job_folder
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports import capacity as capacity_report
from pytest_af3mem.reports import job_folder as jobs_report
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "the largest input that fits each target; which target each input of a folder fits"
EXAMPLES = ("af3mem plan --targets 'l4-24gb,a100*'", "af3mem plan jobs/ --targets gpus --gres l4-24gb=l4")
STATUSES = {OVER: "a job fits no target", NOT_JUDGED: "some are not judged"}
TAKES = MEASURING


def prepare(parser: Parser) -> None:
    parser.take("files", nargs="*", type=Path, metavar="FILE", help="AlphaFold 3 JSON to plan, or folders of it")
    parser.take("--targets", "--fraction")
    parser.take(
        "--up-to",
        group="input",
        default="10240",
        metavar="N",
        help="largest input to look at, in tokens (default: 10240)",
        read=lambda text: whole_number(text, "--up-to"),
    )
    parser.take("--set")
    parser.take(
        "--gres",
        group="report",
        action="append",
        default=[],
        metavar="TARGET=TYPE",
        help="what Slurm calls a target, such as a100-40gb=a100; repeatable",
        read=lambda texts: dict(map(_gres, texts)),
    )
    parser.take("--scheduler")
    parser.take("--markdown", help="write the table as Markdown to this file; - for standard output")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    asked = parsed.targets or (gpus.find(settings.target),)
    with asking(settings, parsed.scheduler) as session:
        if parsed.files:
            return _jobs(session, parsed, asked)
        found = capacity.capacities(session, asked, parsed.fraction, parsed.up_to, parsed.set, show)
    deliver(
        settings,
        capacity_report.render_text(found, parsed.fraction, session.pool.notes),
        capacity_report.render_json(found, parsed.fraction),
        capacity_report.render_markdown(found, parsed.fraction),
    )
    return NOT_JUDGED if any(one.reason for one in found) else OK


def _jobs(session: Session, parsed: argparse.Namespace, targets: tuple[Gpu, ...]) -> int:
    """Exit status 2 where files are broken, else 3 where jobs are not judged, else 1 where jobs fit nowhere."""
    plan = job_folder.plan(session, job_folder.files(parsed.files), targets, parsed.fraction, parsed.set, show)
    deliver(
        session.settings,
        jobs_report.render_text(plan, parsed.gres, session.pool.notes),
        capacity_report.render_json([], parsed.fraction, jobs_report.to_json(plan, parsed.gres)),
        jobs_report.render_markdown(plan, parsed.gres),
    )
    is_judged = all(isinstance(answer, Peak) for job in plan.jobs for answer in job.answers)
    return USAGE if plan.broken else NOT_JUDGED if not is_judged else OVER if plan.nowhere else OK


def _gres(text: str) -> tuple[str, str]:
    target, equals, name = text.partition("=")
    if not (equals and name):
        raise UsageError(f"--gres {text!r} must be TARGET=TYPE, like a100-40gb=a100")
    return gpus.find(target).name, name
