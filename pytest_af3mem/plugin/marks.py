"""What the markers on a test say, checked: a mistake is found when tests are collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError, near
from pytest_af3mem.gpus.size import Size, read_tolerance
from pytest_af3mem.inputs import generate
from pytest_af3mem.records.request import freeze


@dataclass(frozen=True)
class Budget:
    """At most `size` on `target`; without a target, on whichever the test measures for."""

    size: Size
    target: str | None


@dataclass(frozen=True)
class Baseline:
    """At most the baseline and `tolerance`; without one, that of `--af3-tolerance`."""

    tolerance: Size | None


@dataclass(frozen=True)
class Marks:
    """All that the markers of one test ask for. The marker nearest to the test wins."""

    sizes: tuple[int, ...]
    up_to: int | None
    job: tuple[tuple[str, Any], ...]
    budgets: tuple[Budget, ...]
    settings: tuple[tuple[str, Any], ...]
    baseline: Baseline | None = None

    def all_sizes(self, buckets: Iterable[int]) -> tuple[int, ...]:
        """The sizes to run the test for; with `up_to`, every smaller bucket and then itself."""
        if self.up_to is None:
            return self.sizes
        return (*(size for size in buckets if size < self.up_to), self.up_to)

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
    found: dict[tuple[str, Any], Any] = {}
    for level in levels:
        here: dict[tuple[str, Any], Any] = {}
        stated: dict[tuple[str, Any], pytest.Mark] = {}
        for mark in level:
            for key, value in _said(mark):
                if key in here:
                    raise UsageError(
                        f"{_spelled(stated[key])} and {_spelled(mark)} stand at one place and contradict each other: "
                        "leave one out (of a test, its class and its module, the nearest counts)"
                    )
                here[key], stated[key] = value, mark
        found.update((key, value) for key, value in here.items() if key not in found)
    sizes, up_to, job = found.get(("af3_tokens", None), ((), None, {}))
    budgets = tuple(value for (name, _), value in found.items() if name == "af3_budget")
    baseline = found.get(("af3_baseline", None))
    settings = {setting: value for (name, setting), value in found.items() if name == "af3_model"}
    if (budgets or baseline) and not sizes and up_to is None and "gpu_peak" not in fixtures:
        name = "af3_budget" if budgets else "af3_baseline"
        raise UsageError(f"{name} has no size to measure: add af3_tokens(...), or call the gpu_peak fixture in the test")
    return Marks(sizes, up_to, freeze(job), budgets, freeze(settings), baseline)


def _levels(node: pytest.Item) -> Iterator[list[pytest.Mark]]:
    """Markers by where they stand, nearest first: on a parameter, the test, its classes and their bases, the module, ..."""
    for one in reversed(node.listchain()):
        rest = list(one.own_markers)
        nearer: list[Iterable[pytest.Mark]] = []
        if isinstance(one, pytest.Function) and hasattr(one, "callspec"):
            nearer = [one.callspec.marks]
        elif isinstance(one, pytest.Class):
            nearer = [_stated(each) for each in one.obj.__mro__[:-1]]
        for marks in nearer:
            level = [mark for mark in rest if any(mark is other for other in marks)]
            rest = [mark for mark in rest if not any(mark is other for other in level)]
            yield level
        yield rest


def _stated(each: type) -> list[Any]:
    """The markers that stand on a class itself, and not on its bases."""
    stated = vars(each).get("pytestmark", [])
    return [getattr(mark, "mark", mark) for mark in (stated if isinstance(stated, list | tuple) else [stated])]


def _said(mark: pytest.Mark) -> list[tuple[tuple[str, Any], Any]]:
    """What one marker says, by what it says it of: budgets are of a target, settings each of their own."""
    if mark.name == "af3_tokens":
        return [((mark.name, None), _sizes(mark))]
    if mark.name == "af3_budget":
        budget = _budget(mark)
        return [((mark.name, budget.target), budget)]
    if mark.name == "af3_baseline":
        return [((mark.name, None), _baseline(mark))]
    if mark.name == "af3_model":
        if mark.args:
            raise UsageError(f"af3_model takes settings by name, like af3_model(num_samples=1), not {mark.args[0]!r}")
        return [((mark.name, setting), value) for setting, value in mark.kwargs.items()]
    return []


def _spelled(mark: pytest.Mark) -> str:
    words = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
    return f"{mark.name}({', '.join(words)})"


def _sizes(mark: pytest.Mark) -> tuple[tuple[int, ...], int | None, Mapping[str, Any]]:
    """The sizes, or the largest of a range, and the options of the job."""
    options = dict(mark.kwargs)
    up_to = options.pop("up_to", None)
    if mark.args and up_to is not None:
        raise UsageError(f"{_spelled(mark)}: sizes and up_to exclude each other: leave one out")
    if not mark.args and up_to is None:
        raise UsageError(
            "af3_tokens needs at least one size, like af3_tokens(512), or every bucket up to one: af3_tokens(up_to=2048)"
        )
    mix = generate.Mix.of(options)
    for tokens in mark.args or [up_to]:
        generate.check_tokens(tokens)
        generate.check_room(tokens, mix)
    return tuple(dict.fromkeys(mark.args)), up_to, options


def _budget(mark: pytest.Mark) -> Budget:
    unknown = mark.kwargs.keys() - {"target"}
    if len(mark.args) != 1 or unknown:
        raise UsageError('af3_budget takes one size and perhaps a target, like af3_budget("16 GiB", target="a100-40gb")')
    target = mark.kwargs.get("target")
    if not isinstance(target, str | None) or target == "":
        raise UsageError(f"af3_budget: target={target!r} must be the name of a target, like 'a100-40gb'")
    return Budget(Size.parse(mark.args[0], name="af3_budget"), gpus.find(target).name if target else None)


def _baseline(mark: pytest.Mark) -> Baseline:
    if mark.args or mark.kwargs.keys() - {"tolerance"}:
        raise UsageError('af3_baseline takes at most a tolerance, by name, like af3_baseline(tolerance="0.5 %")')
    tolerance = mark.kwargs.get("tolerance")
    return Baseline(None if tolerance is None else read_tolerance(tolerance, "af3_baseline: tolerance"))
