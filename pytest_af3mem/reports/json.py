"""Measurements in, the JSON report (schema 1) out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_af3mem import __version__
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.records.measurement import HOLDERS, SCHEMA, Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.storage import typed

_NUMBERS = re.compile(r"\[\n[\s\d.,\[\]-]*\]")  # lists of nothing else, which stand on one line; no text has a line break in it


def render(measurements: Sequence[Measurement], *, all_holders: bool = False) -> str:
    """The report as text. Each measurement has the ten largest holders of its peak, or all of them."""
    return document(measurements=[measurement.to_json(None if all_holders else HOLDERS) for measurement in measurements])


def row(command: str, request: Request, answer: Peak | NotJudged, **more: Any) -> dict[str, Any]:
    """One answer of a command as a measurement, with what else that command says of it."""
    return {**more, **Measurement.of(f"af3mem {command}", request, answer).to_json()}


def document(**parts: Any) -> str:
    """A JSON report of these parts, below its schema and the tool that made it."""
    text = typed.render({"schema": SCHEMA, "tool": f"pytest-af3mem {__version__}", **parts}, indent=2)
    return _NUMBERS.sub(lambda found: re.sub(r"\s+", "", found[0]).replace(",", ", "), text) + "\n"
