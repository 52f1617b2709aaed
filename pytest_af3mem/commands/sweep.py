"""Measures every combination of tokens, targets, models and settings. When it is ended, the same command goes on where it was."""

from __future__ import annotations

import argparse

from pytest_af3mem.commands import NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import (
    Parser,
    add_job_options,
    add_over,
    add_scheduler,
    add_set,
    add_targets,
    axes,
    chosen,
    deliver,
    job_options,
    pool,
    show,
    sizes,
    targets,
    write,
)
from pytest_af3mem.planning.sweep import Grid, sweep
from pytest_af3mem.reports import sweep as report
from pytest_af3mem.session.settings import Settings

HELP = "measure every combination of tokens, targets, models and settings"
EXAMPLES = ("af3mem sweep --targets h100-80gb --over num_samples=1,5", "af3mem sweep --tokens 512,1024,2048 --html sweep.html")
STATUSES = {NOT_JUDGED: "some are not judged"}


def prepare(parser: Parser) -> None:
    parser.groups["input"].add_argument(
        "--tokens", metavar="N,N,...", help="tokens of the inputs (default: every bucket of the model)"
    )
    add_targets(parser)
    parser.groups["model"].add_argument("--models", metavar="NAME,...", help="models (default: that of --model)")
    add_job_options(parser)
    add_set(parser, "a setting of all; repeatable")
    add_over(parser, "a setting of the model, or an option of the input, and its values; repeatable, for all combinations")
    add_scheduler(parser)
    parser.groups["report"].add_argument(
        "--markdown", metavar="FILE", help="write one table as Markdown to this file; - for standard output"
    )
    parser.groups["report"].add_argument(
        "--html", metavar="FILE", help="write a page with the curves to this file; needs pytest-af3mem[html]"
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    grid = Grid(
        models=list(dict.fromkeys(parsed.models.split(","))) if parsed.models else [settings.model],
        targets=targets(parsed, settings),
        tokens=sizes(parsed.tokens) if parsed.tokens else (),
        options=job_options(parsed),
        model_settings=chosen(parsed),
        axes=axes(parsed),
    )
    try:
        found = sweep(settings, grid, show, pool(parsed))
    finally:
        show("")
    deliver(settings, report.render_text(found), report.render_json(found), report.markdown(found))
    if settings.html:
        write(settings.html, report.page(found))
    return OK if found.is_judged else NOT_JUDGED
