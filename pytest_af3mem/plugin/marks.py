"""What the markers on a test say together, checked: a mistake is found when tests are collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_af3mem.errors import UsageError, near
from pytest_af3mem.plugin.markers import MARKERS, Baseline, Budget, spell
from pytest_af3mem.records.request import freeze


@dataclass(frozen=True)
class Marks:
    """All that the markers of one test ask for. The marker nearest to the test wins."""

    tokens: tuple[int, ...]
    up_to: int | None
    job: tuple[tuple[str, Any], ...]
    budgets: tuple[Budget, ...]
    model_settings: tuple[tuple[str, Any], ...]
    baseline: Baseline | None = None

    def all_tokens(self, buckets: Iterable[int]) -> tuple[int, ...]:
        """The numbers of tokens to run the test for; with `up_to`, every smaller bucket and then itself."""
        if self.up_to is None:
            return self.tokens
        return (*(bucket for bucket in buckets if bucket < self.up_to), self.up_to)

    @property
    def ask(self) -> bool:
        """Whether they ask for something to be measured."""
        return bool(self.tokens or self.up_to or self.budgets or self.baseline)

    @property
    def target(self) -> str | None:
        """The target that all budgets name, if they name one and the same."""
        targets = {budget.target for budget in self.budgets}
        return targets.pop() if len(targets) == 1 else None


def of(node: pytest.Item, fixtures: Iterable[str]) -> Marks:
    """What the markers on a test, its classes and its module say. Raises UsageError for what cannot be right."""
    return read(_levels(node), fixtures)


def check_names(node: pytest.Item, registered: Iterable[str]) -> None:
    """Raises UsageError for a marker that looks like one of ours and that nobody registered, as a misspelled one does."""
    names = {re.split(r"[:(\s]", line, maxsplit=1)[0] for line in registered}
    for mark in node.iter_markers():
        if mark.name.startswith("af3_") and mark.name not in names:
            ours = sorted(name.removeprefix("af3_") for name in names if name.startswith("af3_"))
            hint = near(mark.name.removeprefix("af3_"), ours)
            raise UsageError(f"there is no marker {mark.name}{hint} (after af3_: {', '.join(ours)})")


def read(levels: Iterable[Iterable[pytest.Mark]], fixtures: Iterable[str]) -> Marks:
    """The markers of a test, those nearest to it first; of two on one level neither is nearer, and that is a contradiction.

    Raises UsageError for what cannot be right.
    """
    found: dict[str, dict[Any, Any]] = {name: {} for name in MARKERS}
    for level in levels:
        here: dict[tuple[str, Any], tuple[pytest.Mark, Any]] = {}
        for mark in level:
            for what, value in MARKERS[mark.name].read(mark).items() if mark.name in MARKERS else ():
                if (mark.name, what) in here:
                    before, _ = here[mark.name, what]
                    both = " and ".join(spell(one.name, one.args, one.kwargs) for one in (before, mark))
                    way_out = "leave one out (of a test, its class and its module, the nearest counts)"
                    raise UsageError(f"{both} stand at one place and contradict each other: {way_out}")
                here[mark.name, what] = mark, value
        for (name, what), (_, value) in here.items():
            found[name].setdefault(what, value)
    tokens, up_to, job = found["af3_tokens"].get(None, ((), None, {}))
    budgets, baseline = tuple(found["af3_budget"].values()), found["af3_baseline"].get(None)
    if (budgets or baseline) and not tokens and up_to is None and "gpu_peak" not in fixtures:
        name = "af3_budget" if budgets else "af3_baseline"
        raise UsageError(f"{name} has no size to measure: add af3_tokens(...), or call the gpu_peak fixture in the test")
    return Marks(tokens, up_to, freeze(job), budgets, freeze(found["af3_model"]), baseline)


def _levels(node: pytest.Item) -> Iterator[list[pytest.Mark]]:
    """Markers by where they stand, nearest first: on a parameter, the test, its classes and their bases, the module, ..."""
    for one in reversed(node.listchain()):
        rest = list(one.own_markers)
        nearer: list[Iterable[pytest.Mark]] = []
        if isinstance(one, pytest.Function) and hasattr(one, "callspec"):
            nearer = [one.callspec.marks]
        elif isinstance(one, pytest.Class):
            nearer = [_own(each) for each in one.obj.__mro__[:-1]]
        for marks in nearer:
            level = [mark for mark in rest if any(mark is other for other in marks)]
            rest = [mark for mark in rest if not any(mark is other for other in level)]
            yield level
        yield rest


def _own(each: type) -> list[Any]:
    """The markers that stand on a class itself, and not on its bases."""
    found = vars(each).get("pytestmark", [])
    return [getattr(mark, "mark", mark) for mark in (found if isinstance(found, list | tuple) else [found])]
