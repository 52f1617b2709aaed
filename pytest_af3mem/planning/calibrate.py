"""Measures the same inputs compiled and on a real GPU, for several numbers of tokens."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.planning.ask import Show, ask
from pytest_af3mem.records.calibration import Calibration, Point
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import unmeasured
from pytest_af3mem.session.session import Session


@dataclass(frozen=True)
class CompiledAndRun:
    """One input measured in both ways; what gave no number stands there as its error."""

    request: Request
    compiled: Peak | NotJudged
    run: Peak | NotJudged

    @property
    def is_whole(self) -> bool:
        return isinstance(self.compiled, Peak) and isinstance(self.run, Peak)

    @property
    def problems(self) -> list[str]:
        return [unmeasured(one, self.request.conditions).line for one in (self.compiled, self.run) if isinstance(one, NotJudged)]


def measure(session: Session, tokens: Sequence[int], show: Show) -> Iterator[CompiledAndRun]:
    """So many tokens compiled and run, in this order, each as soon as it has both; the next is compiled meanwhile."""
    runs, compiled = ([session.request(tokens=count, method=method) for count in tokens] for method in ("run", "compiled"))
    for at, (run, without_gpu) in enumerate(zip(runs, compiled, strict=True)):
        for request in (run, without_gpu, *compiled[at + 1 : at + 2]):
            session.pool.submit(request)
        place = f"{tokens[at]} tokens, {at + 1} of {len(tokens)}"
        answers = ask(session, (run, without_gpu), functools.partial(_show_at, show, place))
        yield CompiledAndRun(run, answers[without_gpu], answers[run])


def _show_at(show: Show, place: str, text: str) -> None:
    show(f"{place}: {text}")


def record(pairs: Sequence[CompiledAndRun], today: datetime.date) -> Calibration | None:
    """The record of those that have both numbers; None where none has."""
    whole = [(one.compiled, one.run) for one in pairs if isinstance(one.compiled, Peak) and isinstance(one.run, Peak)]
    last = whole[-1][1] if whole else None
    if last is None or last.run is None:
        return None
    return Calibration(
        target=last.target,
        device=last.run.device,
        driver=last.run.driver,
        date=today.isoformat(),
        model=last.model.distribution,
        software=dict(last.software),
        points=tuple(Point.of(compiled, run) for compiled, run in whole),
    )
