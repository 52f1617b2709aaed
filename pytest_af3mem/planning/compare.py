"""The same inputs measured on two sides that differ in interpreter, sources, model or settings: is NEW worse than OLD?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_af3mem.errors import NotJudged, SetupError, UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.ask import Show, ask
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Outcome, worst
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


@dataclass(frozen=True)
class Side:
    """OLD or NEW: its `name`, how it was asked for, where it is measured, and what its model is set to.

    `unmet` is what its sources ask for and its interpreter does not have: by name what is asked for, as `==1.2`, and the version
    that there is. Where it `has_own`, an environment was made in which it has all of that.
    """

    name: str
    text: str
    settings: Settings
    model_settings: Mapping[str, Any]
    unmet: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    has_own: bool = False

    def shown(self, show: Show) -> Show:
        """As `show`, with the side's name."""
        return lambda text: show(f"{self.name}: {text}")


@dataclass(frozen=True)
class OldAndNew:
    """One input, asked for and answered on both sides."""

    asked: tuple[Request, Request]
    old: Peak | NotJudged
    new: Peak | NotJudged

    @property
    def peaks(self) -> tuple[Peak, Peak] | None:
        """Both peaks; None where one of them was not judged."""
        return (self.old, self.new) if isinstance(self.old, Peak) and isinstance(self.new, Peak) else None

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
    """Both sides and their pairs, by tokens; `notes` are what users should know of the caches."""

    old: Side
    new: Side
    tolerance: Size
    pairs: tuple[OldAndNew, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst: over, then not judged, then within."""
        return worst(pair.outcome(self.tolerance) for pair in self.pairs)

    @property
    def differing(self) -> dict[str, tuple[str, str]]:
        """What differs besides memory: the model, its sources, its settings, versions; empty text for what a side lacks."""
        peaks = next((pair.peaks for pair in self.pairs if pair.peaks), None)
        if peaks is None:
            return {}
        old, new = map(_described, peaks)
        return {name: (old.get(name, ""), new.get(name, "")) for name in {**old, **new} if old.get(name) != new.get(name)}


def compare(old: Side, new: Side, tokens: Sequence[int], options: Mapping[str, Any], tolerance: Size, show: Show) -> Comparison:
    """Generated inputs of so many tokens on both sides. Raises UsageError and SetupError, with the name of the side."""
    found: dict[str, list[tuple[Request, Peak | NotJudged]]] = {}
    notes: list[str] = []
    for settings in dict.fromkeys((old.settings, new.settings)):
        asked: list[tuple[Side, list[Request]]] = []
        with closing(Session(settings)) as session:
            for side in (one for one in (old, new) if one.settings == settings):
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
    pairs = [OldAndNew((a, b), before, after) for (a, before), (b, after) in zip(found[old.name], found[new.name], strict=True)]
    return Comparison(old, new, tolerance, tuple(pairs), tuple(notes))


@contextmanager
def named(what: str) -> Iterator[None]:
    """Errors meanwhile begin with `what` they are about."""
    try:
        yield
    except (SetupError, UsageError) as error:
        kind = SetupError if isinstance(error, SetupError) else UsageError
        raise kind(f"{what}: {error}") from error


def _described(peak: Peak) -> dict[str, str]:
    """All that a peak was measured with, as text."""
    return {
        "model": f"{peak.model.name}, {peak.model.distribution}",
        "sources": peak.model.fingerprint,
        **{f"setting {name}": str(value) for name, value in peak.model.config.items()},
        **{name: text for name, text in peak.software.items() if text},
    }
