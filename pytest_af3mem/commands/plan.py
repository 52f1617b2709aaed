"""Finds the largest input that fits each target; or, given AlphaFold 3 inputs, which target each of them fits."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands import NOT_JUDGED, OK, OVER, USAGE
from pytest_af3mem.commands.arguments import (
    Parser,
    add_fraction,
    add_scheduler,
    add_set,
    add_targets,
    asking,
    chosen,
    deliver,
    fraction,
    pool,
    show,
    size,
    targets,
)
from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning import capacity, job_folder
from pytest_af3mem.reports import capacity as capacity_report
from pytest_af3mem.reports import job_folder as jobs_report
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "the largest input that fits each target; which target each input of a folder fits"
EXAMPLES = ("af3mem plan --targets 'l4-24gb,a100*'", "af3mem plan jobs/ --targets cards --gres l4-24gb=l4")
STATUSES = {OVER: "a job fits no target", NOT_JUDGED: "some are not judged"}


def prepare(parser: Parser) -> None:
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="AlphaFold 3 JSON to plan, or folders of it")
    add_targets(parser)
    add_fraction(parser)
    parser.groups["input"].add_argument(
        "--up-to", default="10240", metavar="N", help="largest input to look at, in tokens (default: 10240)"
    )
    add_set(parser)
    parser.groups["report"].add_argument(
        "--gres",
        action="append",
        default=[],
        metavar="TARGET=TYPE",
        help="what Slurm calls a target, such as a100-40gb=a100; repeatable",
    )
    add_scheduler(parser)
    parser.groups["report"].add_argument(
        "--markdown", metavar="FILE", help="write the table as Markdown to this file; - for standard output"
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    asked, limit, setup = targets(parsed, settings), fraction(parsed), chosen(parsed)
    gres = dict(map(_gres, parsed.gres))
    with asking(settings, pool(parsed)) as session:
        if parsed.files:
            return _jobs(session, job_folder.files(parsed.files), asked, limit, setup, gres)
        up_to = size(parsed.up_to, "--up-to")
        found = capacity.capacities(session, asked, limit, up_to, setup, show)
        notes = session.pool.notes
    lines = "\n".join([*notes, *capacity_report.table(found, limit), ""])
    told = "\n".join([*capacity_report.markdown(found, limit), ""])
    deliver(settings, lines, capacity_report.render_json(found, limit), told)
    return NOT_JUDGED if any(one.reason for one in found) else OK


def _jobs(
    session: Session,
    files: list[Path],
    targets: tuple[Gpu, ...],
    fraction: Size,
    chosen: Mapping[str, object],
    gres: Mapping[str, str],
) -> int:
    """Exit status 2 where files are broken, else 3 where jobs are not judged, else 1 where jobs fit nowhere."""
    plan = job_folder.plan(session, files, targets, fraction, chosen, show)
    show("")
    told = capacity_report.render_json([], fraction, jobs_report.to_json(plan, gres))
    text = "\n".join([*session.pool.notes, *jobs_report.table(plan, gres), ""])
    deliver(session.settings, text, told, jobs_report.markdown(plan, gres))
    return USAGE if plan.broken else NOT_JUDGED if not plan.is_judged else OVER if plan.nowhere else OK


def _gres(text: str) -> tuple[str, str]:
    target, equals, name = text.partition("=")
    if not (equals and name):
        raise UsageError(f"--gres {text!r} must be TARGET=TYPE, like a100-40gb=a100")
    return gpus.find(target).name, name
