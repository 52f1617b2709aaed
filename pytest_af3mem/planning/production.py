"""Holds folds of production against what is compiled for the same tokens, GPU, flags and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError
from pytest_af3mem.models.alphafold3_config import container_flags
from pytest_af3mem.planning.ask import Answer, Show, ask
from pytest_af3mem.records import flags
from pytest_af3mem.records.agreement import share
from pytest_af3mem.records.calibration import PRODUCTION, VERSIONS, Calibration, Point
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.production import Fold, Folds
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.session import Session
from pytest_af3mem.worker import trust

EARLIER = "the peak is that of an earlier fold of the same process: this one's own is lower, and not known"


@dataclass(frozen=True)
class Program:
    """One program: what was compiled of it, and the folds that ran it. `usual`: with the settings that go without saying."""

    request: Request
    answer: Answer
    folds: tuple[Fold, ...]
    usual: bool

    @property
    def peaks(self) -> tuple[int, int]:
        """The lowest and the highest peak of its folds, in bytes."""
        found = [fold.peak_bytes for fold in self.folds]
        return min(found), max(found)

    @property
    def gap(self) -> float | None:
        """How much more the highest peak is than what was compiled: 0.01 is 1 % more. None where nothing was compiled."""
        return share(self.answer.total_bytes, self.peaks[1]) if isinstance(self.answer, Peak) else None


@dataclass(frozen=True)
class Production:
    """Each program of a file's folds, and the lines that were not used, by the reason."""

    programs: tuple[Program, ...]
    unused: Mapping[str, tuple[int, ...]]


def compare(session: Session, folds: Folds, show: Show) -> Production:
    """Compiles, or finds, what each fold ran. Raises SetupError where nothing is installed that could be compiled."""
    folds = folds.without({number: reason for number, fold in folds.used.items() if (reason := _why_unusable(session, fold))})
    folds, usual = _requests(session, folds, lambda fold: {})
    answers = ask(session, usual.values(), show)

    def stated(fold: Fold) -> dict[str, Any]:
        """What the runner changed of the model's settings, as far as that is known: the usual program says what they are."""
        answer = answers[usual[_place(fold)]]
        known = answer.model.config if isinstance(answer, Peak) else {}
        return {name: value for name, value in fold.settings.items() if name not in known or known[name] != value}

    folds, requests = _requests(session, folds, stated)
    answers |= ask(session, requests.values(), show)
    programs: dict[Request, list[Fold]] = {}
    for fold in folds.used.values():
        programs.setdefault(requests[_place(fold)], []).append(fold)
    nothing = {name: session.request(tokens=1, target=name).settings for name in {request.target for request in programs}}
    found = [Program(one, answers[one], tuple(of), one.settings == nothing[one.target]) for one, of in programs.items()]
    return Production(tuple(sorted(found, key=lambda one: (one.request.target, one.request.bucket))), folds.unused)


def records(production: Production) -> list[Calibration]:
    """A record for each target: of each bucket the highest peak of the folds that ran the usual program."""
    by_target: dict[str, list[tuple[Program, Peak]]] = {}
    for one in production.programs:
        if one.usual and isinstance(one.answer, Peak):
            by_target.setdefault(one.request.target, []).append((one, one.answer))
    return [
        Calibration(
            target=target,
            device=found[0][0].folds[0].device,
            driver="",
            date=max(fold.day for one, _ in found for fold in one.folds),
            model=found[0][1].model.distribution,
            software=dict(found[0][1].software),
            points=tuple(_point(one, peak) for one, peak in found),
            origin=PRODUCTION,
        )
        for target, found in by_target.items()
    ]


def _point(program: Program, peak: Peak) -> Point:
    highest, tokens = program.peaks[1], program.request.tokens
    assert tokens is not None
    assert peak.bucket is not None
    return Point(tokens, peak.bucket, peak.total_bytes, None, highest, None, None, None, folds=len(program.folds))


def _place(fold: Fold) -> tuple[Any, ...]:
    """What decides the program of a fold, as far as a file says it."""
    return fold.target, fold.bucket, fold.xla_flags, tuple(sorted((name, str(value)) for name, value in fold.settings.items()))


def _requests(
    session: Session, folds: Folds, settings_of: Callable[[Fold], Mapping[str, Any]]
) -> tuple[Folds, dict[tuple[Any, ...], Request]]:
    """The request for each program of the folds, and the folds without those of which none can be made."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, fold in folds.used.items():
        groups.setdefault(_place(fold), []).append(number)
    requests: dict[tuple[Any, ...], Request] = {}
    reasons: dict[int, str] = {}
    for place, numbers in groups.items():
        largest = max((folds.used[number] for number in numbers), key=lambda fold: fold.tokens)
        try:
            requests[place] = _request(session, largest, settings_of(largest))
        except UsageError as error:
            reasons |= dict.fromkeys(numbers, f"what it ran cannot be asked for: {error}")
    return folds.without(reasons), requests


def _request(session: Session, fold: Fold, settings: Mapping[str, Any]) -> Request:
    made = session.request(
        tokens=fold.tokens,
        target=fold.target,
        method="compiled",
        model_settings={**settings, flags.SETTING: _flags(fold)},
    )
    return made if made.bucket == fold.bucket else dataclasses.replace(made, buckets=(fold.bucket,))


def _flags(fold: Fold) -> str:
    """The flags of a fold as the setting of a request: `container` and `default` where they are these."""
    if not fold.xla_flags.strip():
        return flags.DEFAULT
    container = container_flags(gpus.find(fold.target).compute_capability)
    return flags.CONTAINER if flags.parsed(fold.xla_flags) == container else fold.xla_flags


def _why_unusable(session: Session, fold: Fold) -> str:
    """Why a fold cannot be held against what is compiled here; empty where it can."""
    try:
        device = gpus.find(fold.target).description if fold.target else ""
    except UsageError as error:
        return str(error)
    if device != fold.device:
        return f"{fold.device} is {'no target of the catalogue' if not fold.target else f'not {fold.target}'}"
    if not fold.rose:
        return EARLIER
    if reason := trust.why_no_counters(fold.environment):
        return reason
    if "=..." in fold.xla_flags:
        return f"a flag of XLA had the path of a file as its value, which is not recorded: {fold.xla_flags}"
    here = session.installation
    pairs: Sequence[tuple[str, str]] = [(fold.distribution, here.distribution)]
    pairs = [*pairs, *((_named(name, fold.software), _named(name, here.software)) for name in VERSIONS)]
    other = [f"{then or 'another model'}, and {now} is here" for then, now in pairs if then != now]
    return f"made with {'; '.join(other)}" if other else ""


def _named(name: str, software: Mapping[str, str]) -> str:
    return f"{name} {software.get(name, 'not installed')}"
