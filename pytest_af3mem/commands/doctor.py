"""Says what is installed, what is missing and how to mend it, which targets compile here, and for which answers are shipped."""

from __future__ import annotations

import argparse

from pytest_af3mem.commands import OK, USAGE
from pytest_af3mem.commands.arguments import Parser, asking, deliver, show
from pytest_af3mem.planning.doctor import examine
from pytest_af3mem.reports.doctor import render_json, render_text
from pytest_af3mem.session.settings import Settings

HELP = "what is installed, what is missing, which targets compile"
EXAMPLES = ("af3mem doctor", "af3mem doctor --path ../alphafold3 --json -")
STATUSES: dict[int, str] = {}
TAKES = ("model", "python", "path", "target", "json", "workers", "timeout", "cache_dir")


def prepare(parser: Parser) -> None:
    """It takes nothing of its own."""


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    with asking(settings) as session:
        findings = examine(session, show)
    deliver(settings, render_text(findings), render_json(findings))
    return OK if findings.healthy else USAGE
