"""One fold as `pytest_af3mem.production` records it, and a file of such lines, read: its folds, and why other lines are none.

A file is read line by line: none of them, and no file, is read without end.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import InputError
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.typed import Filled, Positive

SCHEMA = 1
MOST_LINES = 100_000
_MOST_BYTES = 2**30
_LINE_BYTES = 2**14
_NEVER_WHOLE = "no valid JSON: cut off, or of another program"


@dataclass(frozen=True)
class Fold:
    """One fold of a process that may make many. `time` is that of its end, in UTC; `process` the number of the process.

    `peak_bytes` is what JAX's allocator peaked at in the life of the process, `before_bytes` the same at the fold before (None
    for the first). The counter never falls: the peak is this fold's own only if it `rose`. `limit_bytes` is what the allocator
    may take.

    `device` is the GPU as CUDA calls it, `target` the catalogue's name of it (empty where it has none). `distribution` is
    AlphaFold 3's, `environment` has the variables that the allocator is made with, and `settings` those of the model that
    the runner's options state.
    """

    schema: Positive
    time: Filled
    process: Positive
    tokens: Positive
    bucket: Positive
    peak_bytes: Positive
    before_bytes: int | None
    rose: bool
    limit_bytes: int | None
    device: Filled
    target: str
    distribution: str
    software: Mapping[str, str]
    xla_flags: str
    environment: Mapping[str, str]
    settings: Mapping[str, Any]

    def line(self) -> bytes:
        """As it stands in a file."""
        return typed.render(typed.write(self)).encode() + b"\n"

    @property
    def day(self) -> str:
        """As 2026-11-24."""
        return self.time[:10]


@dataclass(frozen=True)
class Folds:
    """What a file has: folds by the number of their line, and for each reason the lines that are not used."""

    used: Mapping[int, Fold]
    unused: Mapping[str, tuple[int, ...]]

    def without(self, reasons: Mapping[int, str]) -> Folds:
        """The same, but that these lines are not used, each for its reason."""
        unused = {reason: list(numbers) for reason, numbers in self.unused.items()}
        for number, reason in reasons.items():
            unused.setdefault(reason, []).append(number)
        used = {number: fold for number, fold in self.used.items() if number not in reasons}
        return Folds(used, {reason: tuple(sorted(numbers)) for reason, numbers in unused.items()})


def read(path: Path, now: datetime.datetime) -> Folds:
    """The folds of a file. Raises InputError where it cannot be read; what is wrong with a line is said of that line."""
    try:
        if not path.is_file():
            raise InputError("", "is a folder" if path.is_dir() else "is no file that is here")
        if path.stat().st_size > _MOST_BYTES:
            raise InputError("", f"is larger than {_MOST_BYTES / 2**30:g} GiB: part it")
        with path.open("rb") as file:
            return parsed(_lines(file.readline), now)
    except OSError as error:
        raise InputError("", f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("", "is not a path") from error


def parsed(lines: Iterable[bytes], now: datetime.datetime) -> Folds:
    """The folds in these lines; an empty one is nothing."""
    found: dict[int, Fold] = {}
    reasons: dict[int, str] = {}
    known: set[bytes] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if number > MOST_LINES:
            reasons[number] = f"beyond the first {MOST_LINES:,} lines, which are read: part the file"
            break
        try:
            fold = _fold(line)
            if reason := _why_absurd(fold, now):
                raise InputError("", reason)
            if fold.line() in known:
                raise InputError("", "there already: the same line stands before it")
        except InputError as error:
            reasons[number] = str(error)
        else:
            known.add(fold.line())
            found[number] = fold
    return Folds(found, {}).without(reasons)


def _lines(readline: Any) -> Iterator[bytes]:
    """Each line; of one that is too long for a fold its first bytes, which are no JSON."""
    while line := readline(_LINE_BYTES):
        yield line
        while len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            line = readline(_LINE_BYTES)


def _fold(line: bytes) -> Fold:
    """Raises InputError, with a reason that other lines may have too."""
    try:
        data = typed.parse(line)
    except InputError as error:
        raise InputError("", _NEVER_WHOLE) from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if type(schema) is int and schema > SCHEMA and "peak_bytes" in data:
        raise InputError("", f"of schema {schema}, which a newer pytest-af3mem wrote: this one reads {SCHEMA}")
    if schema != SCHEMA or "peak_bytes" not in data:
        raise InputError("", "no record of a fold")
    return typed.read(Fold, data, others=True)


def _why_absurd(fold: Fold, now: datetime.datetime) -> str:
    """Why it cannot be true, whatever was folded; empty where it can."""
    try:
        ended = datetime.datetime.fromisoformat(fold.time)
    except ValueError:
        return f"absurd: {fold.time[:40]!r} is no time"
    if ended.tzinfo is None or ended > now + datetime.timedelta(days=1):
        return f"absurd: {fold.time[:40]} is {'of no time zone' if ended.tzinfo is None else 'still to come'}"
    if fold.tokens > fold.bucket:
        return f"absurd: {fold.tokens} tokens in a bucket of {fold.bucket}"
    if fold.before_bytes is not None and fold.before_bytes > fold.peak_bytes:
        return "absurd: the peak of a process fell"
    if fold.rose != (fold.before_bytes is None or fold.peak_bytes > fold.before_bytes):
        return "absurd: whether the peak rose contradicts the peaks"
    if fold.limit_bytes is not None and fold.peak_bytes > fold.limit_bytes:
        return "absurd: a peak beyond what the allocator may take"
    return ""
