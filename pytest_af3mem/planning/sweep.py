"""Every combination of tokens, targets, models and settings. The cache holds what was measured, so a sweep can be resumed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.planning import scaling
from pytest_af3mem.planning.ask import Answer, Show, ask
from pytest_af3mem.planning.vary import Conditions
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.backend import Backend
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

Axis = Sequence[tuple[str, Any]]
"""Values, each as text and as such."""


@dataclass(frozen=True)
class Curve:
    """One model on one target, with the values of the axes in `changed`: the answer to each request, by tokens."""

    model: str
    target: str
    changed: Mapping[str, str]
    answers: Mapping[Request, Answer]

    @cached_property
    def points(self) -> list[tuple[int, int]]:
        """Bucket and bytes of each bucket that was measured, increasing."""
        peaks = [answer for answer in self.answers.values() if isinstance(answer, Peak)]
        return sorted({peak.bucket: peak.total_bytes for peak in peaks if peak.bucket}.items())

    @cached_property
    def law(self) -> scaling.Law | None:
        return scaling.fit(self.points)


@dataclass(frozen=True)
class Grid:
    """What to sweep. No `tokens` means every bucket of each model."""

    models: Sequence[str]
    targets: Sequence[Gpu]
    tokens: Sequence[int] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Axis] = field(default_factory=dict)


@dataclass(frozen=True)
class Swept:
    """All curves; why models could not be measured at all; the buckets of the models; what users should know of the cache."""

    curves: tuple[Curve, ...]
    unmeasured: Mapping[str, str]
    buckets: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_judged(self) -> bool:
        return not self.unmeasured and all(isinstance(answer, Peak) for curve in self.curves for answer in curve.answers.values())


def sweep(settings: Settings, grid: Grid, show: Show, pool: Callable[[Settings], Backend] = Pool) -> Swept:
    """Measures the whole grid, one model after the other and all else side by side.

    One of several models that is not installed is reported. Raises UsageError, before anything is measured, for what is unknown.
    """
    curves: list[Curve] = []
    notes: list[str] = []
    buckets: set[int] = set()
    unmeasured: dict[str, str] = {}

    @contextmanager
    def reported(model: str) -> Iterator[None]:
        """What one model of several lacks is reported, and the others are measured."""
        try:
            yield
        except SetupError as error:
            if len(grid.models) == 1:
                raise
            unmeasured[model] = str(error)

    planned: dict[str, list[tuple[str, Mapping[str, str], list[Request]]]] = {}
    with ExitStack() as stack:
        sessions = {one: stack.enter_context(closing(Session(replace(settings, model=one), pool))) for one in grid.models}
        for model, session in sessions.items():
            with reported(model):
                planned[model] = _planned(session, grid)
        for model, plans in planned.items():
            with reported(model), closing(sessions[model]) as session:
                answers = ask(session, [request for *_, requests in plans for request in requests], show)
                curves += [
                    Curve(model, target, changed, {one: answers[one] for one in asked}) for target, changed, asked in plans
                ]
            notes += session.pool.notes
            buckets.update(session.buckets)
    return Swept(tuple(curves), unmeasured, tuple(sorted(buckets)), tuple(notes))


def _planned(session: Session, grid: Grid) -> list[tuple[str, Mapping[str, str], list[Request]]]:
    """Target, values of the axes, and the requests by tokens, of every curve of one model."""
    tokens = grid.tokens or session.buckets
    if not tokens:
        raise UsageError(f"{session.installation.model} has no buckets to sweep: say --tokens, or --buckets")
    planned: list[tuple[str, Mapping[str, str], list[Request]]] = []
    for values in itertools.product(*grid.axes.values()):
        changed, base = {}, Conditions(0, grid.options, grid.model_settings)
        for name, (text, value) in zip(grid.axes, values, strict=True):
            changed[name], base = text, base.changed(name, value, session.installation.settings)
        one = [session.request(target=grid.targets[0].name, **vars(replace(base, tokens=count))) for count in tokens]
        planned += [(each.name, changed, [session.retarget(request, each.name) for request in one]) for each in grid.targets]
    return planned
