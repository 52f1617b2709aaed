"""Finds the largest input that fits each target; or, given AlphaFold 3 inputs, which target each of them fits."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK, OVER, USAGE
from pytest_af3mem.commands.arguments import Parser, asking, deliver, show
from pytest_af3mem.errors import UsageError, near, shown, whole_number
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.planning import capacity, job_folder
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports import capacity as capacity_report
from pytest_af3mem.reports import cluster_formats, cluster_site
from pytest_af3mem.reports import job_folder as jobs_report
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.session.shipped import ShippedAnswers

HELP = "the largest input that fits each target; which target each input of a folder fits"
EXAMPLES = ("af3mem plan --targets 'l4-24gb,a100*'", "af3mem plan jobs/ --targets gpus --format csv --fallback")
STATUSES = {OVER: "a job fits no target", NOT_JUDGED: "some are not judged"}
TAKES = MEASURING


_UP_TO = 10240  # tokens
_FORMATS = (cluster_site.SBATCH, *cluster_formats.FORMATS)


def prepare(parser: Parser) -> None:
    parser.take("files", nargs="*", type=Path, metavar="FILE", help="AlphaFold 3 JSON to plan, or folders of it")
    parser.take("--targets", "--fraction")
    parser.take(
        "--up-to",
        group="input",
        metavar="N",
        help=f"largest input to look at, in tokens (default: {_UP_TO}; of shipped answers their largest bucket)",
        read=lambda text: whole_number(text, "--up-to"),
    )
    parser.take("--shipped", "--set")
    parser.take(
        "--gres",
        group="report",
        action="append",
        default=[],
        metavar="TARGET=TYPE",
        help="what Slurm calls a target, such as a100-40gb=a100; repeatable",
        read=lambda texts: dict(map(_gres, texts)),
    )
    parser.take(
        "--partition",
        group="report",
        action="append",
        default=[],
        metavar="TARGET=NAME",
        help="partition of Slurm, queue of LSF or attribute Partition of HTCondor for a target; repeatable",
        read=lambda texts: dict(map(_partition, texts)),
    )
    parser.take(
        "--fallback",
        group="report",
        action="store_true",
        help="name every target that a file fits, the smallest first, and unified memory where it fits none",
    )
    parser.take(
        "--format",
        group="report",
        metavar="NAME",
        help=f"what to print for the files: {', '.join(_FORMATS)} (default: the report, with lines for sbatch)",
        read=_format,
    )
    parser.take("--scheduler")
    parser.take("--markdown", help="write the table as Markdown to this file; - for standard output")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    asked = parsed.targets or (gpus.find(settings.target),)
    _check(parsed, settings)
    with asking(settings, parsed.scheduler, takes_shipped=True, release=parsed.shipped) as session:
        if parsed.files:
            return _jobs(session, parsed, asked)
        usual = session.buckets[-1] if isinstance(session.pool, ShippedAnswers) else _UP_TO
        found = capacity.capacities(session, asked, parsed.fraction, parsed.up_to or usual, parsed.set, show)
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
    site = cluster_site.Site(parsed.gres, parsed.partition, parsed.fallback)
    notes = session.pool.notes
    deliver(
        session.settings,
        jobs_report.render_text(plan, site, notes)
        if _is_report(parsed)
        else cluster_formats.FORMATS[parsed.format][1](plan, site),
        capacity_report.render_json([], parsed.fraction, jobs_report.to_json(plan, site)),
        jobs_report.render_markdown(plan, site),
    )
    if not _is_report(parsed):
        for line in (*notes, *jobs_report.problems(plan, site, parsed.format)):
            print(f"af3mem: {shown(line)}", file=sys.stderr)
    is_judged = all(isinstance(answer, Peak) for job in plan.jobs for answer in job.answers)
    return USAGE if plan.broken else NOT_JUDGED if not is_judged else OVER if plan.nowhere else OK


def _is_report(parsed: argparse.Namespace) -> bool:
    """Whether the report is printed, and not a format for machines."""
    return parsed.format in (None, cluster_site.SBATCH)


def _check(parsed: argparse.Namespace, settings: Settings) -> None:
    """Raises UsageError for options that contradict each other."""
    given = {"--format": parsed.format, "--partition": parsed.partition, "--fallback": parsed.fallback}
    if not parsed.files and (unused := [flag for flag, value in given.items() if value]):
        raise UsageError(f"{unused[0]} is for jobs: name AlphaFold 3 JSON files or folders of them, or leave it out")
    for flag, path in (("--json", settings.json), ("--markdown", settings.markdown)):
        if path == Path("-") and not _is_report(parsed):
            raise UsageError(f"{flag} - and --format {parsed.format} both write to standard output: give {flag} a file")


def _format(name: str) -> str:
    if name not in _FORMATS:
        raise UsageError(f"--format {name!r} is not a format{near(name, _FORMATS)} (there are {', '.join(_FORMATS)})")
    return name


def _gres(text: str) -> tuple[str, str]:
    return _of_target(text, "--gres", "TARGET=TYPE, like a100-40gb=a100")


def _partition(text: str) -> tuple[str, str]:
    try:
        target, name = _of_target(text, "--partition", "TARGET=NAME, like a100-40gb=gpu")
    except gpus.UnknownTarget as error:
        raise UsageError(f"--partition {text!r}: {error}") from error
    if not re.fullmatch(r"[\w.@+:][\w.@+:,-]*", name):
        raise UsageError(f"--partition {text!r}: {name!r} is no name of a partition: letters, digits and any of . _ @ + : , -")
    return target, name


def _of_target(text: str, flag: str, rule: str) -> tuple[str, str]:
    target, equals, name = text.partition("=")
    if not (equals and name):
        raise UsageError(f"{flag} {text!r} must be {rule}")
    return gpus.find(target).name, name
