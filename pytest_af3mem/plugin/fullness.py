"""Whether a run was full, so that an accepted peak that it did not use belongs to no test any more. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What was collected and what ran.

    `told` are the files and folders that pytest was told to run, but for parts of files; `modules` the files that it looked for
    tests in. `collected` and `ran`, to the end, are tests by name; `left_out` were collected and then deselected. `narrowed`
    says what else may have kept tests from being collected.
    """

    told: frozenset[Path] = frozenset()
    modules: frozenset[Path] = frozenset()
    collected: frozenset[str] = frozenset()
    ran: frozenset[str] = frozenset()
    left_out: int = 0
    narrowed: tuple[str, ...] = ()


def why_partial(run: Run) -> str | None:
    """Why tests that exist may not have run; None for a full run."""
    if run.narrowed:
        return run.narrowed[0]
    if missed := len(run.collected - run.ran):
        return f"{missed} test{'s' if missed > 1 else ''} did not run"
    if run.left_out:
        return f"{run.left_out} test{'s were' if run.left_out > 1 else ' was'} left out"
    return None


def covers(run: Run, file: Path, exists: Callable[[Path], bool] = Path.exists) -> bool:
    """Whether the tests of a file would all have been collected: it is among what was to be run, and was read, or is gone.

    A file that is there and was not read was left out by somebody: `collect_ignore`, `python_files`, `norecursedirs`, ...
    """
    return any(file.is_relative_to(place) for place in run.told) and (file in run.modules or not exists(file))
