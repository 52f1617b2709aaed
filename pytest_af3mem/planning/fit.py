"""Which settings make an input fit a target, with as little given up as possible.

Cost is an order: changes that leave the results as they are, then those that spread them over several runs, then those that
change them. How fast the model is with a change is not measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.models.alphafold3_config import PAIR_ATTENTION_CHUNKS, PAIR_TRANSITION_SHARDS, default_attention
from pytest_af3mem.planning.ask import Answer, Search
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.session.session import Session

LESS_PADDING, SAME, MORE_RUNS, OTHER = (
    "the same results, with less padding: a bucket more, for which AlphaFold 3 compiles once more",
    "the same results, made in smaller pieces or without outputs that were asked for",
    "fewer results a run: more runs for as many",
    "other results: the model sees less of its input",
)


@dataclass(frozen=True)
class Saving:
    """A setting that trades memory for something: `values` from mild to strong, and what it costs."""

    name: str
    values: tuple[Any, ...]
    cost: str


BUCKET = "bucket"  # not a setting of the model, but one more size to pad to
_STEPS = (256, 64)  # what a closer bucket is a multiple of
# Of AlphaFold 3, the cheapest first, after a bucket.
SAVINGS = (
    Saving("return_embeddings", (False,), SAME),
    Saving("return_distogram", (False,), SAME),
    Saving("attention", ("triton",), SAME),
    Saving(PAIR_TRANSITION_SHARDS, (((None, 512),), ((None, 256),), ((None, 128),)), SAME),
    Saving(PAIR_ATTENTION_CHUNKS, (((None, 32),), ((None, 16),)), SAME),
    Saving("num_samples", (4, 3, 2, 1), MORE_RUNS),
    Saving("num_msa", (512, 256, 128), OTHER),
)


@dataclass(frozen=True)
class Attempt:
    """Settings that were changed, and what the input needs then."""

    changes: Mapping[str, Any]
    answer: Answer

    def fits(self, limit_bytes: int) -> bool:
        return isinstance(self.answer, Peak) and self.answer.total_bytes <= limit_bytes


@dataclass(frozen=True)
class Fit:
    """All attempts, the unchanged settings first; `best` is the one to use, if any fits, and `costs` what its changes cost."""

    request: Request
    limit_bytes: int
    attempts: tuple[Attempt, ...]
    best: Attempt | None
    costs: Mapping[str, str]

    @property
    def is_judged(self) -> bool:
        """Whether it is known that there is a way, or that there is none."""
        return self.best is not None or all(isinstance(one.answer, Peak) for one in self.attempts)


def savings_of(session: Session, stated: Mapping[str, Sequence[Any]], request: Request) -> tuple[Saving, ...]:
    """The stated ones; without any, a closer bucket and those of AlphaFold 3 on this target. Raises UsageError."""
    if stated:
        session.check_settings(stated)
        return tuple(Saving(name, tuple(values), "as stated") for name, values in stated.items())
    named = {one.name for one in SAVINGS if "." not in one.name}
    if not named <= {*session.installation.settings}:
        raise UsageError(f"what may be changed in {session.installation.model} to save memory? Say so with --over NAME=VALUE,...")
    has_kernels = default_attention(gpus.find(request.target).compute_capability) == "triton"
    assert request.tokens is not None
    closer = Saving(BUCKET, tuple(dict.fromkeys(-(-request.tokens // step) * step for step in _STEPS)), LESS_PADDING)
    return closer, *(one for one in SAVINGS if one.name != "attention" or has_kernels)


def search(request: Request, limit_bytes: int, savings: Sequence[Saving], *, until_unjudged: bool = False) -> Search[Fit]:
    """Finds the changes with which `request` needs at most `limit_bytes`, none of which can be left out by itself.

    Changes are made as strongly as possible, those of one cost at a time, until the input fits: what a change saves shows only
    when no other part of the model is as large. Then each is made milder, or dropped, as long as it fits, the most costly first.
    Where `until_unjudged`, nothing stronger than what is not judged is tried.
    """
    attempts: list[Attempt] = []

    def tried(changes: Mapping[str, Any]) -> Search[Attempt]:
        known = next((one for one in attempts if one.changes == changes), None)
        if known is None:
            known = Attempt(dict(changes), (yield changed(request, changes)))
            attempts.append(known)
        return known

    best = yield from tried({})
    usable = [] if isinstance(best.answer, NotJudged) else _usable(savings, best.answer)
    strongest: dict[str, Any] = {}
    for _, alike in itertools.groupby(usable, key=lambda one: one.cost):
        if best.fits(limit_bytes) or (until_unjudged and isinstance(best.answer, NotJudged)):
            break
        strongest |= {one.name: one.values[-1] for one in alike}
        best = yield from tried(strongest)
    before = None
    while best.fits(limit_bytes) and before != best:  # again, for one that is dropped late may have cost memory in the meantime
        before = best
        for one in [one for one in reversed(usable) if one.name in best.changes]:
            without = {name: value for name, value in best.changes.items() if name != one.name}
            for changes in (without, *({**best.changes, one.name: value} for value in one.values)):
                milder = yield from tried(changes)
                if milder.fits(limit_bytes):
                    best = milder
                    break
    costs = {one.name: one.cost for one in savings if best.fits(limit_bytes) and one.name in best.changes}
    return Fit(request, limit_bytes, tuple(attempts), best if best.fits(limit_bytes) else None, costs)


def changed(request: Request, changes: Mapping[str, Any]) -> Request:
    """The same input with settings, or the buckets, changed."""
    buckets = {*request.buckets, *([changes[BUCKET]] if BUCKET in changes else ())}
    settings = freeze({**dict(request.settings), **settings_of(changes)})
    return replace(request, settings=settings, buckets=tuple(sorted(buckets)))


def settings_of(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that are settings of the model."""
    return {name: value for name, value in changes.items() if name != BUCKET}


def _usable(savings: Sequence[Saving], base: Peak) -> list[Saving]:
    """Those that change something: what is at a value already, or beyond it, is left out."""
    usable = []
    for one in savings:
        now = base.bucket if one.name == BUCKET else base.model.config.get(one.name)
        values = tuple(value for value in one.values if (value < now if type(now) is int else value != now))
        usable += [replace(one, values=values)] if values else []
    return usable
