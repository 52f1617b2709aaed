"""Says what is installed, what is missing and how to mend it, and which targets compile here."""

from __future__ import annotations

import argparse

from pytest_af3mem.commands import OK, USAGE
from pytest_af3mem.commands.arguments import show
from pytest_af3mem.doctor import examine, render
from pytest_af3mem.session import Session
from pytest_af3mem.settings import Settings

HELP = "what is installed, what is missing, which targets compile"
OPTIONS = ("model", "python", "path", "workers", "timeout", "cache_dir")


def prepare(parser: argparse.ArgumentParser) -> None:
    """It takes nothing of its own."""


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    session = Session(settings)
    try:
        findings = examine(session, show)
    finally:
        show("")
        session.close()
    print(render(findings))
    return OK if findings.healthy else USAGE
