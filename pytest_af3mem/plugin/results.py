"""Reports of tests in, what all of them measured and failed with out: of a test that ran several times, the last."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem.plugin.attached import Attached
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.reports.failures import Failure


@dataclass
class _Phase:
    measurements: list[Measurement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


class Results:
    """What came of the tests so far, in the order in which they ended."""

    def __init__(self) -> None:
        self._tests: dict[tuple[str, str], dict[Any, _Phase]] = {}

    def add(self, report: pytest.TestReport, root: Path) -> None:
        """Takes the report of one phase of a test; `root` is pytest's rootdir. A setup begins another attempt."""
        worker = getattr(getattr(report, "node", None), "gateway", None)  # of pytest-xdist, which may run a test on each
        test = (getattr(worker, "id", ""), report.nodeid)
        if report.when == "setup":
            self._tests.pop(test, None)
        phase = self._tests.setdefault(test, {}).setdefault(report.when, _Phase())
        attached = Attached.read(report)
        phase.measurements += attached.measurements
        if report.failed and attached.is_ours:
            phase.failures.append(Failure.of(report, root))

    @property
    def measurements(self) -> list[Measurement]:
        return [one for phases in self._tests.values() for phase in phases.values() for one in phase.measurements]

    @property
    def failures(self) -> list[Failure]:
        return [one for phases in self._tests.values() for phase in phases.values() for one in phase.failures]
