"""The same inputs measured on two sides that differ in interpreter, sources, model or settings: is NEW worse than OLD?

A side may also be a program that is compiled already, which is read and not measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, SetupError, UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.ask import Show, ask
from pytest_af3mem.planning.hunks import Edits, Share
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.read_program import Planned, ReadProgram
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Outcome, worst
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


@dataclass(frozen=True)
class Side:
    """OLD or NEW: its `name`, how it was asked for, where it is measured, what its model is set to; or a compiled `program`.

    `unmet` is what its sources ask for and its interpreter does not have: by name what is asked for, as `==1.2`, and the version
    that there is. Where it `has_own`, an environment was made in which it has all of that, and `brought` is what that requires
    and has in other versions, as `flax 0.12.4`.
    """

    name: str
    text: str
    settings: Settings
    model_settings: Mapping[str, Any]
    program: Path | None = None
    unmet: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    has_own: bool = False
    brought: tuple[str, ...] = ()

    def shown(self, show: Show) -> Show:
        """As `show`, with the side's name."""
        return lambda text: show(f"{self.name}: {text}")


@dataclass(frozen=True)
class OldAndNew:
    """One input, asked for and answered on both sides; None where neither was asked for, as both are compiled programs."""

    asked: tuple[Request, Request] | None
    old: Planned | NotJudged
    new: Planned | NotJudged

    @property
    def peaks(self) -> tuple[Planned, Planned] | None:
        """Both peaks; None where one of them was not judged."""
        return None if isinstance(self.old, NotJudged) or isinstance(self.new, NotJudged) else (self.old, self.new)

    @property
    def difference_bytes(self) -> int | None:
        """How much more NEW needs; None where a side was not judged."""
        return self.peaks[1].total_bytes - self.peaks[0].total_bytes if self.peaks else None

    def outcome(self, tolerance: Size) -> Outcome:
        """OVER where NEW needs more than OLD by more than the tolerance, of which percentages are of OLD."""
        if self.peaks is None or self.difference_bytes is None:
            return Outcome.NOT_JUDGED
        return Outcome.OVER if self.difference_bytes > tolerance.of(self.peaks[0].total_bytes) else Outcome.WITHIN


@dataclass(frozen=True)
class Comparison:
    """Both sides and their pairs, by tokens; `notes` are what users should know of the caches, `edits` what git says differs."""

    old: Side
    new: Side
    tolerance: Size
    pairs: tuple[OldAndNew, ...]
    notes: tuple[str, ...] = ()
    edits: Edits | None = None

    def by_hunk(self, pair: OldAndNew) -> list[Share]:
        """The peaks of a pair by the hunks of the diff, the rest last; empty without a diff, or without known holders."""
        if not (self.edits and self.edits.diff) or pair.peaks is None or not all(peak.holders for peak in pair.peaks):
            return []
        old, new = pair.peaks
        return self.edits.by_hunk(old.holders, new.holders)

    @property
    def outcome(self) -> Outcome:
        """The worst: over, then not judged, then within."""
        return worst(pair.outcome(self.tolerance) for pair in self.pairs)

    @property
    def has_programs(self) -> bool:
        """Whether a side is a compiled program."""
        return bool(self.old.program or self.new.program)

    @property
    def differing(self) -> dict[str, tuple[str, str]]:
        """What differs besides memory: the model, its sources, its settings, versions; empty text for what a side lacks.

        Where a side is a compiled program, only what is known of both counts.
        """
        peaks = next((pair.peaks for pair in self.pairs if pair.peaks), None)
        if peaks is None:
            return {}
        if self.has_programs:
            old, new = map(_compiled_for, peaks)
            return {name: (text, new[name]) for name, text in old.items() if text != new.get(name, text)}
        old, new = map(_described, peaks)
        return {name: (old.get(name, ""), new.get(name, "")) for name in {**old, **new} if old.get(name) != new.get(name)}


def compare(
    old: Side,
    new: Side,
    tokens: Sequence[int],
    options: Mapping[str, Any],
    tolerance: Size,
    show: Show,
    edits: Edits | None = None,
) -> Comparison:
    """Generated inputs of so many tokens on both sides. Raises UsageError and SetupError, with the name of the side.

    One compiled program is held against one size; of two no tokens are known.
    """
    found: dict[str, list[tuple[Request | None, Planned | NotJudged]]] = {}
    notes: list[str] = []
    measured = [side for side in (old, new) if not side.program]
    for side in (one for one in (old, new) if one.program):
        if measured and len(tokens) != 1:
            rule = (
                f"is one compiled program: state with --tokens N the size that it is of, for which {measured[0].name} is measured"
            )
            raise UsageError(f"{side.name} {side.text!r} {rule}")
        found[side.name] = [(None, _read(side, show))]
    for settings in dict.fromkeys(side.settings for side in measured):
        asked: list[tuple[Side, list[Request]]] = []
        with closing(Session(settings)) as session:
            for side in (one for one in measured if one.settings == settings):
                given: dict[str, Any] = {"options": options, "model_settings": side.model_settings}
                with named(f"{side.name} {side.text!r}"):
                    requests = [session.request(tokens=count, **given) for count in tokens]
                    for request in requests:
                        session.pool.submit(request)
                asked.append((side, requests))
            for side, requests in asked:
                with named(f"{side.name} {side.text!r}"):
                    found[side.name] = list(ask(session, requests, side.shown(show)).items())
            notes += session.pool.notes
    pairs = [
        OldAndNew(_asked(a or b, b or a), before, after)
        for (a, before), (b, after) in zip(found[old.name], found[new.name], strict=True)
    ]
    return Comparison(old, new, tolerance, tuple(pairs), tuple(notes), edits)


def _asked(old: Request | None, new: Request | None) -> tuple[Request, Request] | None:
    return (old, new) if old and new else None


def _read(side: Side, show: Show) -> ReadProgram | NotJudged:
    assert side.program is not None
    side.shown(show)("reading")
    try:
        with closing(Pool(side.settings)) as pool:
            return pool.read(side.program)
    except NotJudged as error:
        return error
    except UsageError as error:
        raise UsageError(f"{side.name} {error}") from error


@contextmanager
def named(what: str) -> Iterator[None]:
    """Errors meanwhile begin with `what` they are about."""
    try:
        yield
    except (SetupError, UsageError) as error:
        kind = SetupError if isinstance(error, SetupError) else UsageError
        raise kind(f"{what}: {error}") from error


def _compiled_for(program: Planned) -> dict[str, str]:
    """What is known of a program that a file may say, too, as text."""
    if isinstance(program, Peak):
        return {"compute capability": ".".join(map(str, gpus.find(program.target).compute_capability))}
    known = {"module": program.module, "compute capability": program.compute_capability, "GPU": program.gpu}
    return {name: text for name, text in known.items() if text}


def _described(peak: Planned) -> dict[str, str]:
    """All that a peak was measured with, as text."""
    assert isinstance(peak, Peak)
    return {
        "model": f"{peak.model.name}, {peak.model.distribution}",
        "sources": peak.model.fingerprint,
        **{f"setting {name}": str(value) for name, value in peak.model.config.items()},
        **{name: text for name, text in peak.software.items() if text},
    }
