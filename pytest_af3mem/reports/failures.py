"""Failed tests and measurements in, what to tell of them out: one line each, and what stands below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.measurement import Measurement, grouped, not_passed
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.reports import terminal

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Failure:
    """A failed test: `file` and `line` (from 1) say where it stands, `message` what failed."""

    test: str
    file: Path
    line: int
    message: str

    @classmethod
    def of(cls, report: pytest.TestReport, root: Path) -> Failure:
        """What a report of pytest says; its paths start from `root`, pytest's rootdir."""
        file, line, _ = report.location
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else str(report.longrepr)
        return cls(report.nodeid, (root / file).resolve(), (line or 0) + 1, message.removeprefix("Failed: "))


def brief(one: Measurement) -> str:
    """A failed verdict for the short summary, which ends at the terminal's width: the difference comes first."""
    peak, verdict = one.peak, one.verdict
    assert verdict is not None
    for name, limit in (("budget", verdict.budget_bytes), ("baseline", verdict.baseline_bytes)):
        if peak and limit is not None and peak.total_bytes > limit and verdict.outcome is Outcome.OVER:
            return f"{format_bytes(peak.total_bytes - limit)} over the {name} of {format_bytes(limit)}"
        if peak and limit is not None and verdict.outcome is Outcome.BELOW and name == "baseline":
            return f"{format_bytes(limit - peak.total_bytes)} below the baseline of {format_bytes(limit)}: accept the gain"
    return verdict.line.removeprefix("GPU peak ")


@dataclass(frozen=True)
class Story:
    """A failure in words: `line` stands alone, `section` says where the bytes are and how to measure it again."""

    test: str
    line: str
    section: str = ""
    outcome: Outcome | None = None


def headline(measurements: Sequence[Measurement], failures: Sequence[Failure] = ()) -> str:
    """`"2 over, 1 not judged, 5 within"`: how many measurements came out how, and what failed apart from them."""
    outcomes = [one.verdict.outcome if one.verdict else None for one in measurements]
    order = (Outcome.OVER, Outcome.NOT_JUDGED, Outcome.BELOW, Outcome.WITHIN, None)
    names = {outcome: outcome.value if outcome else "without a limit" for outcome in order}
    parts = [f"{outcomes.count(outcome)} {name}" for outcome, name in names.items() if outcome in outcomes]
    others = len(stories(measurements, failures)) - len(stories(measurements))
    parts += [f"{others} test{'s' if others > 1 else ''} failed for another reason"] if others else []
    return ", ".join(parts) or "nothing was measured"


def first(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The failed ones before the others, both in the order that they had."""
    return sorted(measurements, key=lambda one: not not_passed([one]))


def stories(measurements: Sequence[Measurement], failures: Sequence[Failure] = ()) -> list[Story]:
    """One for each failed measurement, those that came to the same as one, then one for each other test that failed."""
    found = []
    for one, *_ in grouped(not_passed(measurements)):
        assert one.verdict is not None
        section = [line.removeprefix("  ") for line in terminal.section(one).splitlines() if line != one.verdict.line]
        found.append(Story(one.test, one.verdict.line, "\n".join(section), one.verdict.outcome))
    known = {story.test for story in found}
    return found + [Story(one.test, one.message) for one in failures if one.test not in known]
