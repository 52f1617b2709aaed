"""Measurements in, the JSON report (schema 1) out."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pytest_af3mem import __version__
from pytest_af3mem.verdict import HOLDERS, SCHEMA, Measurement


def render(measurements: Sequence[Measurement], *, all_holders: bool = False) -> str:
    """The report as text. Each measurement has the ten largest holders of its peak, or all of them."""
    report = {
        "schema": SCHEMA,
        "tool": f"pytest-af3mem {__version__}",
        "measurements": [measurement.to_json(None if all_holders else HOLDERS) for measurement in measurements],
    }
    return json.dumps(report, indent=2) + "\n"
