"""What decides an answer: the identity that a cache files it under."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pytest_af3mem import gpus
from pytest_af3mem.errors import InputError
from pytest_af3mem.records import shipped
from pytest_af3mem.records.answering import Answer, why_not_the_answer
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.storage.typed import read_text

_Found = TypeVar("_Found")


def find_peak(
    cache: Cache, identity: Mapping[str, Any], request: Request, why_not: Callable[[Peak], str] = lambda peak: ""
) -> Peak | None:
    """The stored peak of an equal program, said of this request's tokens. One that cannot be it, as `why_not` says, is damage."""

    def read(value: Any) -> Peak:
        peak = dataclasses.replace(Peak.from_json(value), tokens=request.tokens, bucket=request.bucket, seconds=0.0, cached=True)
        if reason := why_not(peak):
            raise InputError("", reason)
        return peak

    found: Peak | None = cache.get("peaks", identity, read)
    return found


def known_signature(cache: Cache, installation: Installation, request: Request) -> str | None:
    """The stored digest of the shapes of a job's features."""
    found: str | None = cache.get("signatures", batch_identity(installation, request), read_text)
    size = request.bucket
    if found is None and request.generated and size is not None:  # any input in its bucket would do
        return _shipped(cache, lambda folder: shipped.signature_of(folder, installation, request.target, size))
    return found


def known_peak(cache: Cache, installation: Installation, request: Request) -> Peak | None:
    """The stored answer to a request whose features are known; None where nothing was stored that can be it."""
    signature = known_signature(cache, installation, request)
    return None if signature is None else peak_of(cache, installation, request, signature)


def peak_of(cache: Cache, installation: Installation, request: Request, signature: str) -> Peak | None:
    """The stored answer to a request whose features have this signature; None where nothing was stored that can be it."""
    why_not = functools.partial(why_not_the_answer, request, installation)
    identity = peak_identity(installation, request, signature)
    found = find_peak(cache, identity, request, why_not)
    if found is None and (peak := _shipped(cache, lambda folder: shipped.peak_of(folder, identity))):
        found = shipped_answer(peak, request)
        if reason := why_not(found):
            cache.problems.append(f"the shipped answer for {request.conditions} is not used: {reason}")
            return None
    return found


def shipped_answer(peak: Peak, request: Request) -> Peak:
    """A peak of a shipped table, said of this request's tokens."""
    return dataclasses.replace(peak, tokens=request.tokens, bucket=request.bucket, seconds=0.0, cached=True, shipped=True)


def _shipped(cache: Cache, look_up: Callable[[Path], _Found | None]) -> _Found | None:
    """What the shipped answers have, where this cache may look there; a table that cannot be read has nothing, which is said."""
    if cache.shipped is None:
        return None
    try:
        return look_up(cache.shipped)
    except InputError as error:
        cache.problems.append(f"shipped answers in {cache.shipped} are not used: {error}")
        return None


def keep(cache: Cache, installation: Installation, request: Request, answer: Answer) -> None:
    """Stores what `known_peak` finds."""
    cache.put("peaks", peak_identity(installation, request, answer.signature), answer.peak.to_json())
    cache.put("signatures", batch_identity(installation, request), answer.signature)


def batch_identity(installation: Installation, request: Request) -> dict[str, Any]:
    """All that decides the shapes of a job's features."""
    return {
        "installation": dataclasses.asdict(installation),
        "buckets": request.buckets,
        "job": hashlib.sha256(request.job.encode()).hexdigest(),
    }


def parameters_identity(
    installation: Installation, request: Request, platform: str = "gpu", signature: str | None = None
) -> dict[str, Any]:
    """All that decides shapes and types of the network's parameters: no `signature` where they follow the settings alone.

    `platform` is JAX's name for the device that the network sees: AlphaFold 3 stores less of it in bfloat16 on a CPU.
    """
    return {
        "installation": dataclasses.asdict(installation),
        "platform": platform,
        "compute_capability": gpus.find(request.target).compute_capability,
        "settings": dict(request.settings),
        "signature": signature,
    }


def peak_identity(installation: Installation, request: Request, signature: str) -> dict[str, Any]:
    """All that decides the peak: two requests with the same identity have the same answer."""
    return {
        "installation": dataclasses.asdict(installation),
        "method": request.method,
        "launch": request.launch,
        "target": [request.target, gpus.find(request.target).target_config()],
        "settings": dict(request.settings),
        "signature": signature,
    }
