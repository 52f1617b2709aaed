"""Counts the tokens of inputs without AlphaFold 3: one line for each job of each file.

Only inputs with modifications, bonds, or ligands by CCD code need the chemical component dictionary of AlphaFold 3. Without it
the others are counted, and each of these says which component it needs.

With --target it also says how much memory each job needs there, compiled as by `af3mem measure`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from pytest_af3mem.commands import NOT_JUDGED, OK, USAGE
from pytest_af3mem.commands.arguments import Parser, asking, deliver, note, show
from pytest_af3mem.errors import SetupError, shown
from pytest_af3mem.inputs.buckets import bucket
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.models.alphafold3_files import NEWEST_BUCKETS
from pytest_af3mem.planning.ask import ask
from pytest_af3mem.planning.job_folder import Place, files, read, why_left_out
from pytest_af3mem.reports import tokens as report
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "tokens and bucket of AlphaFold 3 inputs"
EXAMPLES = ("af3mem tokens job.json jobs/", "af3mem tokens job.json --target a100-40gb --json -")
STATUSES = {NOT_JUDGED: "with --target: some are not judged"}
TAKES = ("model", "python", "path", "buckets", "target", "json", "timeout", "cache_dir")


def prepare(parser: Parser) -> None:
    parser.take("files", nargs="+", type=Path, metavar="FILE", help="AlphaFold 3 or AlphaFold Server JSON, or folders of it")
    parser.take("--strict", "--shipped")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Exit status 2 where a file or job has no count; the others are counted all the same."""
    counted: list[report.Counted] = []
    jobs: list[Job] = []
    broken: list[tuple[Place, str]] = []
    with asking(settings, takes_shipped=bool(parsed.target), release=parsed.shipped) as session:
        buckets = _buckets(session)
        for where, job in read(session, files(parsed.files), strict=parsed.strict):
            try:
                if isinstance(job, Exception):
                    raise job
                tokens = session.tokens(job)
            except Exception as error:
                broken.append((where, why_left_out(error)))
                print(f"af3mem: {str(where)!a}: {shown(why_left_out(error))}", file=sys.stderr)
            else:
                note(where, job)
                counted.append(report.Counted(where, job.name, tokens, bucket(tokens, buckets), job.notes))
                jobs.append(job)
        if parsed.target:
            requests = [session.request(job, method="compiled") for job in jobs]
            answers = ask(session, requests, show)
            counted = [replace(one, answer=answers[request]) for one, request in zip(counted, requests, strict=True)]
        notes = session.pool.notes if parsed.target else []
    text = report.render_text(counted, settings.target if parsed.target else "", notes)
    deliver(settings, text, report.render_json(counted, broken, buckets))
    return USAGE if broken else NOT_JUDGED if any(one.reason for one in counted) else OK


def _buckets(session: Session) -> tuple[int, ...]:
    """Those that were asked for or of the model; those of AlphaFold 3's release that is known here where none is installed."""
    try:
        return session.buckets
    except SetupError as error:
        if session.settings.model != AlphaFold3.name:
            raise
        print(f"af3mem: buckets are those of AlphaFold 3's latest known release, for {error}", file=sys.stderr)
        return NEWEST_BUCKETS
