"""Measures the same inputs compiled and on a real GPU, for several numbers of tokens."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
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


def measure(session: Session, tokens: Sequence[int], show: Show) -> list[CompiledAndRun]:
    """So many tokens compiled and run; compiling goes on beside what the GPU does."""
    pairs = [[session.request(tokens=count, method=method) for method in ("run", "compiled")] for count in tokens]
    answers = ask(session, itertools.chain(*pairs), show)
    return [CompiledAndRun(run, answers[compiled], answers[run]) for run, compiled in pairs]


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
