"""One question, precisely: which job, for which target, with which settings; and the identity that a cache files it under."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import InputError, UsageError, spelled
from pytest_af3mem.inputs.buckets import bucket
from pytest_af3mem.models.function_call import shortened
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.cache import digest
from pytest_af3mem.storage.typed import MOST, Filled, Positive

FUNCTION = "function"
"""The setting of a request that measures a function, and of its peak's config: the call, as `models.function_call` writes it."""


def conditions(tokens: int | None, bucket: int | None, target: str, method: str, function: str = "") -> str:
    """What a number belongs to, said everywhere the same way: `[3072 tokens, bucket 3072, a100-40gb, compiled]`.

    Of a function, which has no tokens: `[blocks:gram('float32[64,64]'), a100-40gb, compiled]`.
    """
    what = shortened(function) if tokens is None else f"{tokens} tokens, bucket {bucket}"
    return f"[{what}, {target}, {method}]"


def of_function(tokens: int | None, bucket: int | None, settings: Mapping[str, Any]) -> str:
    """The call that was measured with these settings; empty for a job. Raises InputError for what is neither."""
    if tokens is not None and bucket is not None:
        return ""
    if FUNCTION not in settings:
        raise InputError("tokens" if tokens is None else "bucket", "is missing")
    return str(settings[FUNCTION])


@dataclass(frozen=True)
class Installation:
    """What a worker's interpreter holds. Everything here is learnt without importing JAX or the network.

    `spec` is how the model was asked for, `model` its name, `fingerprint` a digest of all sources that decide the number.
    `environment` is one of all variables that may; `software` names those that may be shown.
    """

    spec: str
    model: str
    distribution: str
    fingerprint: str
    buckets: tuple[int, ...]
    settings: tuple[str, ...]
    software: Mapping[str, str]
    environment: str = ""

    @property
    def identity(self) -> str:
        """A digest of all of it."""
        return digest(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Installation:
        """Raises InputError for what is no such record."""
        return typed.read(cls, data)


@dataclass(frozen=True, eq=False)
class Request:
    """One measurement to make. `job` is AlphaFold 3 JSON; `tokens` is our own count of it, which the worker checks.

    Of a function there are no tokens: they are None, and `job` is the call, which stands in the settings, too.

    `generated`: the job was made for that token count, and any other with as many tokens would do.

    `launch`: kernels that ask for more shared memory than the target has are to be found, too, which takes a compile to its end.

    Requests are equal if they are the same JSON: a setting of 1 is another question than one of 1.0 or of True.
    """

    job: str
    tokens: Positive | None
    buckets: tuple[Positive, ...]
    target: Filled
    method: Filled = "compiled"
    settings: tuple[tuple[str, Any], ...] = ()
    generated: bool = False
    launch: bool = False

    @property
    def bucket(self) -> int | None:
        """The padded size that AlphaFold 3 will choose: the first that holds all tokens, or the exact count above the largest."""
        return None if self.tokens is None else bucket(self.tokens, self.buckets)

    @property
    def function(self) -> str:
        """The call that is to be measured; empty for a job."""
        return of_function(self.tokens, self.bucket, dict(self.settings))

    @property
    def conditions(self) -> str:
        """As `Peak.conditions`."""
        return conditions(self.tokens, self.bucket, self.target, self.method, self.function)

    @cached_property
    def settings_text(self) -> str:
        """The settings as JSON, in which 1 is not True."""
        return typed.render(dict(self.settings), sort_keys=True)

    @cached_property
    def identity(self) -> str:
        """A digest of the whole request."""
        return digest(self.to_json())

    def __eq__(self, other: object) -> bool:
        return self.identity == other.identity if isinstance(other, Request) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.identity)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"settings": dict(self.settings), **gpus.carried(self.target)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Takes a described target as well. Raises InputError for what is no such record, and UsageError for what cannot be."""
        settings = data.get("settings")
        pairs = list(settings.items()) if isinstance(settings, dict) else settings
        read = typed.read(cls, {**gpus.take(data), "settings": pairs})
        return dataclasses.replace(read, settings=freeze(dict(read.settings)))


def freeze(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Options as sorted pairs that can be hashed and written as JSON; lists become tuples. Raises UsageError for other values."""
    return tuple((name, _frozen(value, name)) for name, value in sorted(options.items()))


def _frozen(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, name) for item in value)
    if isinstance(value, int) and abs(value) > MOST:
        raise UsageError(f"{name}={spelled(value)} must be from -(2**63 - 1) to 2**63 - 1")
    for plain in (bool, int, float, str):  # also of NumPy's numbers and of enumerations
        if isinstance(value, plain) and value == value and value not in (float("inf"), -float("inf")):
            return plain(value)
    if value is not None:
        raise UsageError(f"{name}={value!r} must be a finite number, a text, true, false, none, or a list of these")
    return None
