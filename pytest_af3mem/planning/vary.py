"""Controlled experiments: everything is fixed, one component of the input or the model is changed at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_af3mem.errors import NotJudged, UsageError, near
from pytest_af3mem.inputs.generate import OPTIONS
from pytest_af3mem.planning.ask import Show, ask
from pytest_af3mem.records.identity import peak_identity
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.session import Session


@dataclass(frozen=True)
class Conditions:
    """What is fixed, as `Session.request` takes it: tokens of the generated input, its options, and the model's settings."""

    tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)
    model_settings: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, name: str, value: Any, settings: Sequence[str]) -> Conditions:
        """The same but for one component: `tokens`, an option of the input, or a setting. Raises UsageError for another name."""
        if name == "tokens":
            return replace(self, tokens=value)
        if name in OPTIONS:
            return replace(self, options={**self.options, name: value})
        if name in settings or "." in name:
            return replace(self, model_settings={**self.model_settings, name: value})
        known = ("tokens", *OPTIONS, *settings)
        raise UsageError(f"{name!r} cannot be varied{near(name, known)} (there are {', '.join(known)}, and dotted settings)")


@dataclass(frozen=True)
class Effect:
    """One condition and what it needs: `over` and `value` say what was changed (empty for the base).

    `same_as` names the earlier condition with the same shapes and settings, whose program this is; None for one of its own.
    """

    over: str
    value: str
    request: Request
    answer: Peak | NotJudged
    same_as: str | None

    def bytes_more_than(self, base: Effect) -> int | None:
        """How far its peak is above that of the base; None where one of them was not judged."""
        if isinstance(self.answer, Peak) and isinstance(base.answer, Peak):
            return self.answer.total_bytes - base.answer.total_bytes
        return None


def vary(session: Session, base: Conditions, axes: Mapping[str, Sequence[tuple[str, Any]]], show: Show) -> list[Effect]:
    """The base, then each value (as text and as such) of each axis with all else as in the base. Raises UsageError."""
    asked = [("", "", base)]
    for name, values in axes.items():
        asked += [(name, text, base.changed(name, value, session.installation.settings)) for text, value in values]
    requests = [session.request(**vars(one)) for _, _, one in asked]
    owners: dict[str, str] = {}
    effects = []
    for (over, text, _), request in zip(asked, requests, strict=True):
        show(f"featurising {over}={text}" if over else "featurising the base")
        try:
            program = str(peak_identity(session.installation, request, session.pool.featurise(request)["signature"]))
        except NotJudged:
            program = str(request)  # one whose features cannot be made is like no other
        effects.append((over, text, request, owners.get(program)))
        owners.setdefault(program, f"{over}={text}" if over else "base")
    answers = ask(session, requests, show)
    return [Effect(over, text, request, answers[request], owner) for over, text, request, owner in effects]
