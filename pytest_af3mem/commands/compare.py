"""Measures the same inputs on two sides, and says what grew. Exit status 1 where NEW needs more than OLD and the tolerance."""

from __future__ import annotations

import argparse

from pytest_af3mem.commands import NOT_JUDGED, OK, OVER
from pytest_af3mem.commands.arguments import Parser, add_job_options, add_set, chosen, deliver, job_options, show, sizes
from pytest_af3mem.gpus.size import read_tolerance
from pytest_af3mem.planning import sides
from pytest_af3mem.planning.compare import compare
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.reports import compare as compare_report
from pytest_af3mem.session.settings import Settings

HELP = "compare two interpreters, source trees, git revisions, models or settings"
EXAMPLES = (
    'af3mem compare installed ../alphafold3 --tolerance "0.5 %"',
    'af3mem compare ../alphafold3@v3.0.3 "../alphafold3@main num_samples=1"',
)
STATUSES = {OVER: "NEW needs more", NOT_JUDGED: "some are not judged"}
# AlphaFold 3's config changes above 1,536 tokens (pair_attention_chunk_size) and above 2,048 (pair_transition_shard_spec).
SIZES = "512,1024,2048,2560"
_STATUS = {Outcome.WITHIN: OK, Outcome.OVER: OVER, Outcome.NOT_JUDGED: NOT_JUDGED}


def prepare(parser: Parser) -> None:
    for name in ("OLD", "NEW"):
        parser.add_argument(name.lower(), metavar=name, help=sides.FORMS)
    parser.groups["input"].add_argument(
        "--tokens",
        default=SIZES,
        metavar="N,N,...",
        help=f"tokens of the inputs (default: {SIZES}, on both sides of where AlphaFold 3 begins to work in pieces)",
    )
    add_job_options(parser)
    add_set(parser, "a setting of both; repeatable")
    parser.groups["report"].add_argument(
        "--tolerance", default="0", metavar="SIZE", help='how much more NEW may need, such as "0.5 %%" or "64 MiB" (default: 0)'
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    tolerance = read_tolerance(parsed.tolerance, "--tolerance")
    old = sides.read(parsed.old, "OLD", settings, chosen(parsed))
    new = sides.read(parsed.new, "NEW", settings, chosen(parsed))
    try:
        found = compare(old, new, sizes(parsed.tokens), job_options(parsed), tolerance, show)
    finally:
        show("")
    deliver(settings, compare_report.render_text(found), compare_report.render_json(found))
    return _STATUS[found.outcome]
