"""What the report of a test carries from the process that ran it to the one that reports, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.reports import terminal

TITLE = "GPU memory of AlphaFold 3"  # of the section of a failed test


@dataclass
class Attached:
    """What one phase of a test measured.

    `is_ours` is a test that asks for measurements, `for_baseline` one that is marked `af3_baseline`, and `is_steady` one that
    measures the same each time.
    """

    measurements: list[Measurement] = field(default_factory=list)
    is_ours: bool = False
    for_baseline: bool = False
    is_steady: bool = True

    def attach(self, report: pytest.TestReport) -> None:
        report.af3mem = {**vars(self), "measurements": [one.to_json(None) for one in self.measurements]}  # type: ignore[attr-defined]

    @classmethod
    def read(cls, report: pytest.TestReport) -> Attached:
        """What `attach` put there; nothing where it did not."""
        found = getattr(report, "af3mem", {"measurements": ()})
        return cls(**{**found, "measurements": [Measurement.from_json(one) for one in found["measurements"]]})


def with_section(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those that a failed test has a section for: what failed it, else what it measured last, else all."""
    return terminal.failed(measurements) or [one for one in measurements if one.input] or list(measurements)
