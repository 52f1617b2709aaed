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
from pytest_af3mem.size import Size


@dataclass(frozen=True)
class Budget:
    """At most `size` on `target`; without a target, on whichever the test measures for."""

    size: Size
    target: str | None


@dataclass(frozen=True)
class Marks:
    """All that the markers of one test ask for. The marker nearest to the test wins."""

    sizes: tuple[int, ...]
    job: tuple[tuple[str, Any], ...]
    budgets: tuple[Budget, ...]
    settings: tuple[tuple[str, Any], ...]

    @property
    def target(self) -> str | None:
        """The target that all budgets name, if they name one and the same."""
        targets = {budget.target for budget in self.budgets}
        return targets.pop() if len(targets) == 1 else None


def read(marks: Iterable[pytest.Mark], fixtures: Iterable[str]) -> Marks:
    """The markers of a test, nearest first. Raises UsageError for what cannot be right."""
    sizes: tuple[int, ...] = ()
    job: Mapping[str, Any] = {}
    budgets: dict[str | None, Budget] = {}
    settings: dict[str, Any] = {}
    for mark in marks:
        if mark.name == "af3_tokens" and not sizes:
            sizes, job = _sizes(mark), mark.kwargs
        elif mark.name == "af3_budget":
            budget = _budget(mark)
            budgets.setdefault(budget.target, budget)
        elif mark.name == "af3_model":
            if mark.args:
                raise UsageError(f"af3_model takes settings by name, like af3_model(num_samples=1), not {mark.args[0]!r}")
            settings = {**mark.kwargs, **settings}
    if budgets and not sizes and "gpu_peak" not in fixtures:
        raise UsageError("af3_budget has no size to measure: add af3_tokens(...), or call the gpu_peak fixture in the test")
    return Marks(sizes, freeze(job), tuple(budgets.values()), freeze(settings))


def _sizes(mark: pytest.Mark) -> tuple[int, ...]:
    if not mark.args:
        raise UsageError("af3_tokens needs at least one size, like af3_tokens(512)")
    generate.check_options(mark.kwargs)
    for tokens in mark.args:
        generate.check_tokens(tokens)
        generate.check_room(tokens, chains=mark.kwargs.get("chains", 1))
    return tuple(dict.fromkeys(mark.args))


def _budget(mark: pytest.Mark) -> Budget:
    unknown = mark.kwargs.keys() - {"target"}
    if len(mark.args) != 1 or unknown:
        raise UsageError('af3_budget takes one size and perhaps a target, like af3_budget("16 GiB", target="a100-40gb")')
    target = mark.kwargs.get("target")
    if not isinstance(target, str | None) or target == "":
        raise UsageError(f"af3_budget: target={target!r} must be the name of a target, like 'a100-40gb'")
    return Budget(Size.parse(mark.args[0], name="af3_budget"), gpus.find(target).name if target else None)
