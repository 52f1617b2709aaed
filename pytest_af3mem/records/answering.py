"""Whether an answer is that of the question: what was measured is held against what was asked, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_af3mem.errors import InputError, NotJudged
from pytest_af3mem.records.job_sequence import Step
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.typed import Filled, Positive

_Record = TypeVar("_Record")


@dataclass(frozen=True)
class Answer:
    """A peak, and what says of which question it is: what a worker replies.

    `settings` are those of the model that were asked for, `signature` the digest of the features' shapes, and `installation` that
    of what the worker's interpreter holds (`Installation.identity`).
    """

    peak: Peak
    settings: Mapping[str, Any]
    signature: Filled
    installation: Filled

    def to_json(self) -> dict[str, Any]:
        return typed.write(self)


@dataclass(frozen=True)
class Features:
    """What the featuriser made of a job: its tokens, shape and type of each feature by name, and their digest."""

    tokens: Positive | None
    bucket: Positive | None
    signature: Filled
    shapes: Mapping[str, str]


def accepted(request: Request, installation: Installation, reply: object) -> Answer:
    """A worker's reply as the answer to `request`. Raises NotJudged where it is none."""
    answer = _read(Answer, reply)
    reason = why_not_the_answer(request, installation, answer.peak, answer.settings)
    if not reason and request.method != "run" and answer.installation != installation.identity:
        reason = "what is installed, or the environment, is not as it was at the start of the session: start it again"
    if reason:
        raise NotJudged(reason)
    return answer


def why_not_the_answer(
    request: Request, installation: Installation, peak: Peak, settings: Mapping[str, Any] | None = None
) -> str:
    """Why `peak` does not answer `request` of a session that measures `installation`; empty where it does.

    `settings` are those of the model that it was measured with, None where the place that it was found at says so.
    """
    software = dict(installation.software)
    if request.method == "run":
        software.pop("environment", None)  # that of the GPU's process
    measured: dict[str, tuple[Any, Any]] = {
        "tokens": (peak.tokens, request.tokens),
        "bucket": (peak.bucket, request.bucket),
        "target": (peak.target, request.target),
        "method": (peak.method, request.method),
        "launch": (peak.program_limits.launch is not None, request.launch),
        "settings": (dict(request.settings if settings is None else settings), dict(request.settings)),
        "model": (peak.model.name, installation.model),
        "distribution": (peak.model.distribution, installation.distribution),
        "sources": (peak.model.fingerprint, installation.fingerprint),
        **{name: (peak.software.get(name), text) for name, text in software.items()},
    }
    for name, (found, asked) in measured.items():
        if typed.render(found, sort_keys=True) != typed.render(asked, sort_keys=True):
            return _other(name, found, asked)
    if peak.method == "compiled" and peak.total_bytes != (parts := peak.program_bytes + peak.constant_bytes):
        return f"its parts add up to {parts} bytes, and it says {peak.total_bytes}"
    return ""


def features(request: Request, reply: object) -> Features:
    """What a worker made of a job's features. Raises NotJudged where it is of another."""
    found = _read(Features, reply)
    for name, made, asked in (("tokens", found.tokens, request.tokens), ("bucket", found.bucket, request.bucket)):
        if made != asked:
            raise NotJudged(_other(name, made, asked))
    return found


def steps(requests: Sequence[Request], reply: object) -> tuple[Step, ...]:
    """What a worker did of a sequence. Raises NotJudged where that is not what was asked."""
    found = _read(_Steps, {"steps": reply}).steps
    if [(step.tokens, step.bucket) for step in found] != [(one.tokens, one.bucket) for one in requests]:
        raise NotJudged("the worker ran other jobs than those of the sequence")
    return found


@dataclass(frozen=True)
class _Steps:
    steps: tuple[Step, ...]


def _read(kind: type[_Record], reply: object) -> _Record:
    try:
        return typed.read(kind, reply)
    except InputError as error:
        raise NotJudged(f"the worker's reply cannot be read: {error}") from error


def _other(name: str, found: object, asked: object) -> str:
    if name == "sources":
        return "the model's sources are others than at the start of the session: they were edited meanwhile; start it again"
    return f"the answer is of another question: {name} {typed.render(found)} was measured, {typed.render(asked)} was asked for"
