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
from typing import Annotated, Any, NoReturn, TypeVar, Union, cast

from pytest_af3mem.errors import InputError, near
from pytest_af3mem.storage.document import KINDS, Node

MOST = 2**63 - 1
Signed = Annotated[int, -MOST]
Positive = Annotated[int, 1]
Filled = Annotated[str, 1]
"""A text that is not empty."""


_Record = TypeVar("_Record")
_Read = Callable[[Any], Any]
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
    return _tree(record, lambda item: plain(getattr(record, item.name)))


def _tree(record: object, leaf: Callable[[dataclasses.Field[Any]], Any]) -> dict[str, Any]:
    """The JSON object of a record or of its class, with `leaf` of a field where that stands."""
    tree: dict[str, Any] = {}
    for item in dataclasses.fields(cast(Any, record)):
        if item.init:
            *outer, last = item.metadata.get("at", (item.name,))
            functools.reduce(lambda found, key: found.setdefault(key, {}), outer, tree)[last] = leaf(item)
    return tree


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

    def __init__(self, value: object, rule: str, *keys: str | int):
        super().__init__(rule)
        self.value, self.rule, self.keys = value, rule, list(keys)

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
    read = _object(_tree(kind, lambda item: item), hints, others)
    return lambda value: kind(**read(value))


def _object(tree: Mapping[str, Any], hints: Mapping[str, Any], others: bool = False) -> _Read:
    """Reads an object of JSON to the fields that stand in it, by name; what is missing is said before what is wrong."""
    branches = {key: _object(part, hints) for key, part in tree.items() if isinstance(part, dict)}
    items = {key: item for key, item in tree.items() if key not in branches}
    leaves = {key: (item.name, _reader(hints[item.name]), _has_default(item)) for key, item in items.items()}
    needed = [key for key in tree if key in branches or not (leaves[key][2] or _may_be_none(hints[leaves[key][0]]))]

    def read(value: Any) -> dict[str, Any]:
        _check(value, dict)
        if not others and not value.keys() <= tree.keys():
            unknown = next(key for key in value if key not in tree)
            rule = f"is not a key here{near(unknown, tree)} (keys: {', '.join(tree)})"
            raise _Wrong(unknown, rule, *([unknown] if unknown.isidentifier() else []))
        for key in needed:
            if value.get(key) is None:
                raise _Wrong(_MISSING, "is missing", key)
        found: dict[str, Any] = {}
        for key in tree:
            part = value.get(key)
            if key in branches:
                found |= _inside(branches[key], part, key)
                continue
            name, read_part, has_default = leaves[key]
            if part is not None:
                found[name] = _inside(read_part, part, key)
            elif not has_default:
                found[name] = None
        return found

    return read


def _has_default(item: dataclasses.Field[Any]) -> bool:
    return item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING


def _may_be_none(hint: Any) -> bool:
    return hint is Any or (typing.get_origin(hint) in (Union, types.UnionType) and type(None) in typing.get_args(hint))


@functools.cache
def _reader(hint: Any) -> _Read:
    """What reads a value of this type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        return _record(cast(type, hint))
    if origin is Annotated:
        return functools.partial(_bounded, *parts)
    if _may_be_none(hint):
        (inner,) = (_reader(part) for part in parts if part is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is tuple and parts[-1] is Ellipsis:
        return functools.partial(_list, _reader(parts[0]))
    if origin is tuple:
        return functools.partial(_row, [_reader(part) for part in parts])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_mapping, _reader(parts[1]))
    raise TypeError(f"{hint} is no type that a record may have")


def _check(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise _Wrong(value, f"must be {KINDS[kinds[0]]}")
    return value


def _bounded(kind: type, least: int, value: Any) -> Any:
    """A whole number of at least `least`, or a text of so many characters."""
    _check(value, kind)
    if kind is str and len(value) < least:
        raise _Wrong(value, "must not be empty")
    if kind is int and not least <= value <= MOST:
        raise _Wrong(value, f"must be from {least:,} to {MOST:,}")
    return value


def _number(value: Any) -> float:
    if type(value) is int and abs(value) <= MOST:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise _Wrong(value, f"must be {KINDS[float]}")
    return value


_PLAIN: dict[Any, _Read] = {
    Any: lambda value: value,
    int: functools.partial(_bounded, int, 0),
    str: functools.partial(_bounded, str, 0),
    bool: lambda value: _check(value, bool),
    float: _number,
}


def _list(read: _Read, value: Any) -> tuple[Any, ...]:
    return tuple(_inside(read, part, index) for index, part in enumerate(_check(value, list, tuple)))


def _row(reads: Sequence[_Read], value: Any) -> tuple[Any, ...]:
    if type(value) not in (list, tuple) or len(value) != len(reads):
        raise _Wrong(value, f"must be a list of {len(reads)}")
    return tuple(_inside(read, part, index) for index, (read, part) in enumerate(zip(reads, value, strict=True)))


def _mapping(read: _Read, value: Any) -> dict[str, Any]:
    return {key: _inside(read, part, key) for key, part in _check(value, dict).items()}


def _inside(read: _Read, value: Any, key: str | int) -> Any:
    try:
        return read(value)
    except _Wrong as wrong:
        wrong.keys.append(key)
        raise
