"""Reports of tests in, what all of them measured and failed with out; and what a report carries for that, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_af3mem.records.measurement import Measurement, not_passed
from pytest_af3mem.reports.failures import Failure

TITLE = "GPU memory of AlphaFold 3"  # of the section of a failed test


@dataclass
class Attached:
    """What the report of a phase carries from the process that ran the test to the one that reports.

    A test that `is_ours` asks for measurements; one that `is_steady` measures the same each time. A phase that is `acceptable`
    failed against the baseline and by nothing else.
    """

    measurements: list[Measurement] = field(default_factory=list)
    is_ours: bool = False
    for_baseline: bool = False
    is_steady: bool = True
    acceptable: bool = False

    def attach(self, report: pytest.TestReport) -> None:
        report.af3mem = {**vars(self), "measurements": [one.to_json(None) for one in self.measurements]}  # type: ignore[attr-defined]

    @classmethod
    def read(cls, report: pytest.TestReport) -> Attached:
        """What `attach` put there; nothing where it did not."""
        found = getattr(report, "af3mem", {"measurements": ()})
        return cls(**{**found, "measurements": [Measurement.from_json(one) for one in found["measurements"]]})


def with_section(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those that a failed test has a section for: what failed it, else what it measured last, else all."""
    return not_passed(measurements) or [one for one in measurements if one.input] or list(measurements)


class Results:
    """What came of the tests so far, in the order in which they ended; of a test that ran several times, the last."""

    def __init__(self) -> None:
        self._tests: dict[tuple[str, str], tuple[list[Measurement], list[Failure]]] = {}

    def add(self, report: pytest.TestReport, root: Path) -> None:
        """Takes the report of one phase of a test; `root` is pytest's rootdir. A setup begins another attempt."""
        worker = getattr(getattr(report, "node", None), "gateway", None)  # of pytest-xdist, which may run a test on each
        test = (getattr(worker, "id", ""), report.nodeid)
        if report.when == "setup":
            self._tests.pop(test, None)
        measurements, failures = self._tests.setdefault(test, ([], []))
        attached = Attached.read(report)
        measurements += attached.measurements
        if report.failed and attached.is_ours:
            failures.append(Failure.of(report, root))

    @property
    def measurements(self) -> list[Measurement]:
        return [one for measurements, _ in self._tests.values() for one in measurements]

    @property
    def failures(self) -> list[Failure]:
        return [one for _, failures in self._tests.values() for one in failures]
