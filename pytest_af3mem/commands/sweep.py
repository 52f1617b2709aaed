"""Measures every combination of tokens, targets, models and settings.

After an interruption the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse

from pytest_af3mem import gpus
from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser, deliver, job_options, show, whole_numbers, write
from pytest_af3mem.planning.sweep import Grid, sweep
from pytest_af3mem.reports import sweep as report
from pytest_af3mem.session.settings import Settings

HELP = "measure every combination of tokens, targets, models and settings"
EXAMPLES = ("af3mem sweep --targets h100-80gb --over num_samples=1,5", "af3mem sweep --tokens 512,1024,2048 --html sweep.html")
STATUSES = {NOT_JUDGED: "some are not judged"}
TAKES = MEASURING


def prepare(parser: Parser) -> None:
    parser.take(
        "--tokens",
        required=False,
        metavar="N,N,...",
        help="tokens of the inputs (default: every bucket of the model)",
        read=lambda text: whole_numbers(text) if text else None,
    )
    parser.take("--targets")
    parser.take("--models", group="model", metavar="NAME,...", help="models (default: that of --model)")
    parser.take(*JOB_OPTIONS)
    parser.take("--set", help="a setting of all; repeatable")
    parser.take(
        "--over", help="a setting of the model, or an option of the input, and its values; repeatable, for all combinations"
    )
    parser.take("--scheduler")
    parser.take("--markdown", help="write one table as Markdown to this file; - for standard output")
    parser.take(
        "--html", group="report", metavar="FILE", help="write a page with the curves to this file; needs pytest-af3mem[html]"
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    grid = Grid(
        models=list(dict.fromkeys(parsed.models.split(","))) if parsed.models else [settings.model],
        targets=parsed.targets or [gpus.find(settings.target)],
        tokens=parsed.tokens or (),
        options=job_options(parsed),
        model_settings=parsed.set,
        axes=parsed.over,
    )
    found = sweep(settings, grid, show, parsed.scheduler)
    deliver(settings, report.render_text(found), report.render_json(found), report.render_markdown(found))
    if settings.html:
        write(settings.html, report.page(found))
    return OK if found.is_judged else NOT_JUDGED
