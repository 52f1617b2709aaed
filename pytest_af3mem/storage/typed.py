"""Records out of JSON and into it: a dataclass and its types say what may stand there, and all else is refused with its place.

Whole numbers are at least 0 and numbers are finite, unless the type says otherwise. What has a default, and what may be None,
may be left out.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, NoReturn, TypeVar, Union, cast

from pytest_af3mem.errors import InputError, near
from pytest_af3mem.storage.document import Node

MOST = 2**63 - 1
Signed = Annotated[int, -MOST]
Positive = Annotated[int, 1]
Filled = Annotated[str, 1]
"""A text that is not empty."""


_Record = TypeVar("_Record")
_Read = Callable[[Any], Any]
_Put = Callable[[Any, dict[str, Any]], None]
_MISSING = object()


def at(*keys: str) -> dict[str, tuple[str, ...]]:
    """Metadata of a field that stands deeper in JSON than in the record: `field(metadata=at("model", "name"))`."""
    return {"at": keys}


def read(kind: type[_Record], data: object, path: str = "", *, others: bool = False) -> _Record:
    """The record that `data`, parsed JSON, holds; `path` is its place, for errors. With `others`, unknown keys are left alone.

    Raises InputError for what is no such record, and nothing else.
    """
    try:
        return cast(_Record, _record(cast(Any, kind), others)(data))
    except _Wrong as wrong:
        wrong.refuse(path)
    except RecursionError:
        raise InputError(path, "is nested too deeply") from None


def write(record: object) -> dict[str, Any]:
    """The inverse of `read`: what JSON can hold of a record, each field where it stands there."""
    found: dict[str, Any] = {}
    for item in dataclasses.fields(cast(Any, record)):
        outer, last = _place(item)
        if item.init:
            _branch(found, outer)[last] = plain(getattr(record, item.name))
    return found


def _place(item: dataclasses.Field[Any]) -> tuple[Sequence[str], str]:
    *outer, last = item.metadata.get("at", (item.name,))
    return outer, last


def _branch(tree: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The object that these keys lead to, made where it is not there."""
    return functools.reduce(lambda found, key: found.setdefault(key, {}), keys, tree)


def parse(text: str | bytes) -> Any:
    """What a text holds. Raises InputError for what is not valid JSON, and for keys that appear twice."""
    try:
        return Node.parse(text.decode() if isinstance(text, bytes) else text).value
    except UnicodeDecodeError as error:
        raise InputError("", "is not text in UTF-8") from error


def read_text(data: object) -> str:
    """`data` where it is a text that is not empty. Raises InputError."""
    return Node(data).filled()


def render(value: object, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """`value` as JSON that any reader takes. What JSON lacks, such as an infinity, becomes text."""
    return json.dumps(plain(value), allow_nan=False, indent=indent, sort_keys=sort_keys)


def plain(value: object) -> Any:
    """`value` as JSON can hold it: records and mappings as objects, sequences as lists, and text for what it lacks."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return write(value)
    return str(value)


class _Wrong(Exception):
    """A value that breaks a rule; `keys` lead to it, the innermost first."""

    def __init__(self, value: object, rule: str):
        super().__init__(rule)
        self.value, self.rule = value, rule
        self.keys: list[str | int] = []

    def refuse(self, path: str) -> NoReturn:
        for key in reversed(self.keys):
            path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else key
        if self.value is _MISSING:
            raise InputError(path, self.rule)
        Node(self.value, path).refuse(self.rule)


@functools.cache
def _record(kind: type, others: bool = False) -> _Read:
    # By the globals of its module, and not by its name: a pytest that ran in this process may have taken that out of sys.modules.
    hints = typing.get_type_hints(kind, globalns=vars(kind)["__init__"].__globals__, include_extras=True)
    tree: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        if not item.init:
            continue
        outer, last = _place(item)
        _branch(tree, outer)[last] = _field(item, hints[item.name])
    put = _object(tree, others)

    def read(value: Any) -> Any:
        found: dict[str, Any] = {}
        put(value, found)
        return kind(**found)

    return read


def _object(tree: Mapping[str, Any], others: bool) -> _Put:
    """Reads the parts of an object, each into the field that it is of; what is missing is said before what is wrong."""
    parts: dict[str, _Put] = {key: _object(part, False) if isinstance(part, dict) else part.put for key, part in tree.items()}
    needed = [key for key, part in tree.items() if isinstance(part, dict) or part.needed]
    known = parts.keys()

    def put(value: Any, found: dict[str, Any]) -> None:
        if type(value) is not dict:
            raise _Wrong(value, "must be an object")
        if not others and not value.keys() <= known:
            unknown = next(key for key in value if key not in known)
            wrong = _Wrong(unknown, f"is not a key here{near(unknown, known)} (keys: {', '.join(known)})")
            wrong.keys += [unknown] if unknown.isidentifier() else []
            raise wrong
        for key in needed:
            if value.get(key) is None:
                wrong = _Wrong(_MISSING, "is missing")
                wrong.keys.append(key)
                raise wrong
        for key, part in parts.items():
            try:
                part(value.get(key), found)
            except _Wrong as wrong:
                wrong.keys.append(key)
                raise

    return put


class _Field(NamedTuple):
    put: _Put
    needed: bool


def _field(item: dataclasses.Field[Any], hint: Any) -> _Field:
    read, name = _reader(hint), item.name
    may_be_none = hint is Any or _is_optional(hint)
    has_default = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING

    def put(value: Any, found: dict[str, Any]) -> None:
        if value is not None:
            found[name] = read(value)
        elif not has_default:
            found[name] = None

    return _Field(put, not has_default and not may_be_none)


@functools.cache
def _reader(hint: Any) -> _Read:
    """What reads a value of this type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        return _record(cast(type, hint))
    if origin is Annotated:
        return _text(parts[1]) if parts[0] is str else _whole(parts[1])
    if _is_optional(hint):
        (inner,) = (_reader(part) for part in parts if part is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is tuple and parts[-1] is Ellipsis:
        return _list(_reader(parts[0]))
    if origin is tuple:
        return _row([_reader(part) for part in parts])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(_reader(parts[1]))
    raise TypeError(f"{hint} is no type that a record may have")


def _is_optional(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType) and type(None) in typing.get_args(hint)


def _whole(least: int) -> _Read:
    def read(value: Any) -> int:
        if type(value) is not int:
            raise _Wrong(value, "must be a whole number")
        if not least <= value <= MOST:
            raise _Wrong(value, f"must be from {least:,} to {MOST:,}")
        return value

    return read


def _text(least: int) -> _Read:
    def read(value: Any) -> str:
        if type(value) is not str:
            raise _Wrong(value, "must be a text")
        if len(value) < least:
            raise _Wrong(value, "must not be empty")
        return value

    return read


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise _Wrong(value, "must be true or false")
    return value


def _number(value: Any) -> float:
    if type(value) is int and abs(value) <= MOST:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise _Wrong(value, "must be a number")
    return value


_PLAIN: dict[Any, _Read] = {Any: lambda value: value, int: _whole(0), str: _text(0), bool: _truth, float: _number}


def _list(read: _Read) -> _Read:
    def read_all(value: Any) -> tuple[Any, ...]:
        if type(value) not in (list, tuple):
            raise _Wrong(value, "must be a list")
        return tuple(_inside(read, part, index) for index, part in enumerate(value))

    return read_all


def _row(reads: list[_Read]) -> _Read:
    def read_all(value: Any) -> tuple[Any, ...]:
        if type(value) not in (list, tuple) or len(value) != len(reads):
            raise _Wrong(value, f"must be a list of {len(reads)}")
        return tuple(_inside(read, part, index) for index, (read, part) in enumerate(zip(reads, value, strict=True)))

    return read_all


def _mapping(read: _Read) -> _Read:
    def read_all(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Wrong(value, "must be an object")
        return {key: _inside(read, part, key) for key, part in value.items()}

    return read_all


def _inside(read: _Read, value: Any, key: str | int) -> Any:
    try:
        return read(value)
    except _Wrong as wrong:
        wrong.keys.append(key)
        raise
