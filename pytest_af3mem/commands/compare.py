"""Measures the same inputs on two sides, and says what grew. Exit status 1 if NEW needs more than OLD by more than the tolerance.

If both are source trees of one git repository, such as DIR@HEAD and DIR, it also says which of the edits hold more or less.
"""

from __future__ import annotations

import argparse
import os
import sys

from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OVER, STATUS_OF
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser, deliver, job_options, show, take_tolerance, whole_numbers
from pytest_af3mem.planning import pins, sides
from pytest_af3mem.planning.compare import compare
from pytest_af3mem.reports import compare as report
from pytest_af3mem.reports.write import on_github
from pytest_af3mem.session.settings import Settings

HELP = "compare two interpreters, source trees, git revisions, models or settings"
EXAMPLES = (
    'af3mem compare installed ../alphafold3 --tolerance "0.5 %"',
    'af3mem compare ../alphafold3@v3.0.3 "../alphafold3@main num_samples=1"',
)
STATUSES = {OVER: "NEW needs more", NOT_JUDGED: "some are not judged"}
TAKES = MEASURING
# AlphaFold 3's config changes above 1,536 tokens (pair_attention_chunk_size) and above 2,048 (pair_transition_shard_spec).
SIZES = "512,1024,2048,2560"


def prepare(parser: Parser) -> None:
    for name in ("OLD", "NEW"):
        parser.take(name.lower(), metavar=name, help=sides.FORMS)
    parser.take(
        "--tokens",
        required=False,
        default=SIZES,
        metavar="N,N,...",
        help=f"tokens of the inputs (default: {SIZES}, on both sides of where AlphaFold 3 begins to work in pieces)",
        read=whole_numbers,
    )
    parser.take(*JOB_OPTIONS)
    parser.take("--set", help="a setting of both; repeatable")
    parser.take(
        "--with-pins",
        group="model",
        action="store_true",
        help="measure each side with the versions that its pyproject.toml and requirements.txt ask for, installed apart",
    )
    take_tolerance(parser, 'how much more NEW may need, such as "0.5 %%" or "64 MiB" (default: 0)')


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    old, new = (
        pins.noted(sides.read(text, name, settings, parsed.set), strict=parsed.with_pins)
        for name, text in (("OLD", parsed.old), ("NEW", parsed.new))
    )
    if parsed.with_pins:
        old, new = (pins.with_own(side, show) for side in (old, new))
    edits = sides.edits(old, new)
    found = compare(old, new, parsed.tokens, job_options(parsed), parsed.tolerance, show, edits)
    deliver(settings, report.render_text(found), report.render_json(found))
    if on_github(os.environ):
        for line in report.annotate(found):
            print(line, file=sys.stderr)  # the report may stand on standard output
    return STATUS_OF[found.outcome]
