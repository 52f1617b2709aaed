"""Measurements in, the JSON report (schema 1) out."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pytest_af3mem import __version__
from pytest_af3mem.verdict import SCHEMA, Measurement


def render(measurements: Sequence[Measurement]) -> str:
    report = {
        "schema": SCHEMA,
        "tool": f"pytest-af3mem {__version__}",
        "measurements": [measurement.to_json() for measurement in measurements],
    }
    return json.dumps(report, indent=2) + "\n"
