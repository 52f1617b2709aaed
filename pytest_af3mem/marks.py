"""What the markers on a test say, checked: a mistake is found when tests are collected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs import generate
from pytest_af3mem.request import freeze
from pytest_af3mem.size import Size, read_tolerance


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


def read(marks: Iterable[pytest.Mark], fixtures: Iterable[str]) -> Marks:
    """The markers of a test, nearest first. Raises UsageError for what cannot be right."""
    sizes: tuple[int, ...] = ()
    up_to: int | None = None
    job: Mapping[str, Any] = {}
    budgets: dict[str | None, Budget] = {}
    baseline: Baseline | None = None
    settings: dict[str, Any] = {}
    for mark in marks:
        if mark.name == "af3_tokens" and not sizes and up_to is None:
            sizes, up_to, job = _sizes(mark)
        elif mark.name == "af3_budget":
            budget = _budget(mark)
            budgets.setdefault(budget.target, budget)
        elif mark.name == "af3_baseline":
            baseline = baseline or _baseline(mark)
        elif mark.name == "af3_model":
            if mark.args:
                raise UsageError(f"af3_model takes settings by name, like af3_model(num_samples=1), not {mark.args[0]!r}")
            settings = {**mark.kwargs, **settings}
    if (budgets or baseline) and not sizes and up_to is None and "gpu_peak" not in fixtures:
        name = "af3_budget" if budgets else "af3_baseline"
        raise UsageError(f"{name} has no size to measure: add af3_tokens(...), or call the gpu_peak fixture in the test")
    return Marks(sizes, up_to, freeze(job), tuple(budgets.values()), freeze(settings), baseline)


def _sizes(mark: pytest.Mark) -> tuple[tuple[int, ...], int | None, Mapping[str, Any]]:
    """The sizes, or the largest of a range, and the options of the job."""
    options = dict(mark.kwargs)
    up_to = options.pop("up_to", None)
    if bool(mark.args) == (up_to is not None):
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
