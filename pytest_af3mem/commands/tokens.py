"""Says how many tokens the inputs have, without AlphaFold 3: one line for each job of each file.

The chemical component dictionary, which comes with AlphaFold 3, is read for inputs with ligands by CCD code, modifications or
bonds alone. Without it the others are counted, and each of these says which component it needs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_af3mem.commands import OK, USAGE
from pytest_af3mem.commands.arguments import Parser, asking, deliver, note
from pytest_af3mem.errors import SetupError, shown
from pytest_af3mem.inputs.buckets import bucket
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.models.alphafold3_files import NEWEST_BUCKETS
from pytest_af3mem.planning.job_folder import Place, files, read, why_left_out
from pytest_af3mem.reports import tokens as report
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "tokens and bucket of AlphaFold 3 inputs"
EXAMPLES = ("af3mem tokens job.json jobs/", "af3mem tokens job.json --buckets 512,1024 --json -")
STATUSES: dict[int, str] = {}
TAKES = ("model", "python", "path", "buckets", "json", "timeout", "cache_dir")


def prepare(parser: Parser) -> None:
    parser.take("files", nargs="+", type=Path, metavar="FILE", help="AlphaFold 3 or AlphaFold Server JSON, or folders of it")
    parser.take("--strict")


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Exit status 2 where a file or job has no count; the others are counted all the same."""
    counted: list[report.Counted] = []
    broken: list[tuple[Place, str]] = []
    with asking(settings) as session:
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
    deliver(settings, report.render_text(counted), report.render_json(counted, broken, buckets))
    return USAGE if broken else OK


def _buckets(session: Session) -> tuple[int, ...]:
    """Those that were asked for or of the model; those of AlphaFold 3's release that is known here where none is installed."""
    try:
        return session.buckets
    except SetupError as error:
        if session.settings.model != AlphaFold3.name:
            raise
        print(f"af3mem: buckets are those of AlphaFold 3's latest known release, for {error}", file=sys.stderr)
        return NEWEST_BUCKETS
