"""Whether a run was full, so that an accepted peak that it did not use belongs to no test any more. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_af3mem.records.baseline import Baseline, Entry


@dataclass
class Ran:
    """One attempt at a test, run to its end: what it enters if it `passed`. A `steady` test measures the same each time.

    `acceptable`: it passed, or nothing but the baseline failed it.
    """

    test: str
    entries: list[Entry] = field(default_factory=list)
    passed: bool = True
    acceptable: bool = True
    steady: bool = True


@dataclass
class Run:
    """What was collected and what ran; tests by the names that the baseline gives them.

    `places` are the files and folders that pytest was started with, `modules` the files that it looked for tests in.
    `left_out` tests were collected and then deselected. `narrowed` says what else may have kept tests from being collected.
    """

    places: set[Path] = field(default_factory=set)
    modules: set[Path] = field(default_factory=set)
    collected: set[str] = field(default_factory=set)
    attempts: list[Ran] = field(default_factory=list)
    left_out: int = 0
    narrowed: list[str] = field(default_factory=list)

    @property
    def measured(self) -> list[Entry]:
        """By tests that passed."""
        return [entry for attempt in self.attempts if attempt.passed for entry in attempt.entries]

    def accepted(self) -> Run:
        """The same, had it updated the baseline."""
        return replace(self, attempts=[replace(attempt, passed=attempt.acceptable) for attempt in self.attempts])


def why_partial(run: Run) -> str | None:
    """Why tests that exist may not have run; None for a full run."""
    if run.narrowed:
        return run.narrowed[0]
    if missed := len(run.collected - {attempt.test for attempt in run.attempts}):
        return f"{missed} test{'s' if missed > 1 else ''} did not run"
    if run.left_out:
        return f"{run.left_out} test{'s were' if run.left_out > 1 else ' was'} left out"
    return None


def covers(run: Run, file: Path, exists: Callable[[Path], bool] = Path.exists) -> bool:
    """Whether the tests of a file would all have been collected: it is in a place of the run, and was read, or is gone.

    A file that is there and was not read was left out on purpose: `collect_ignore`, `python_files`, `norecursedirs`, ...
    """
    return any(file.is_relative_to(place) for place in run.places) and (file in run.modules or not exists(file))


def unused(baseline: Baseline, run: Run, file: Callable[[str], Path]) -> list[Entry]:
    """Entries of the run's files, targets, methods and models that no test of it used; `file` is that of a test.

    A test that failed or was skipped might have used its entries, and so might one under Hypothesis.
    """
    used = {found.key for entry in run.measured if (found := baseline.find(entry))}
    scopes = {entry.scope for attempt in run.attempts for entry in attempt.entries}
    may_use = run.collected - {attempt.test for attempt in run.attempts if attempt.passed and attempt.steady}
    return [
        entry
        for entry in baseline.entries
        if entry.key not in used and entry.scope in scopes and entry.test not in may_use and covers(run, file(entry.test))
    ]


def refused(run: Run) -> list[str]:
    """Tests that measured something and did not pass, also when they were run again."""
    last = {attempt.test: attempt.passed for attempt in run.attempts if attempt.passed or attempt.entries}
    return sorted(test for test, passed in last.items() if not passed)
