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
from dataclasses import MISSING
from typing import Annotated, Any, TypeVar, Union, cast

from pytest_af3mem.errors import InputError
from pytest_af3mem.storage.document import Node

MOST = 2**63 - 1
Signed = Annotated[int, -MOST]
Positive = Annotated[int, 1]
Filled = Annotated[str, 1]
"""A text that is not empty."""

_MOST_LEVELS = 100
_TOO_DEEP = "is nested too deeply"


_Record = TypeVar("_Record")
_Read = Callable[[Node], Any]


def at(*keys: str) -> dict[str, tuple[str, ...]]:
    """Metadata of a field that stands deeper in JSON than in the record: `field(metadata=at("model", "name"))`."""
    return {"at": keys}


def read(kind: type[_Record], data: object, path: str = "", *, others: bool = False) -> _Record:
    """The record that `data`, parsed JSON, holds; `path` is its place, for errors. With `others`, unknown keys are left alone.

    Raises InputError for what is no such record, and nothing else.
    """
    if others and isinstance(data, dict):
        known = _tree(kind, str)
        data = {key: part for key, part in data.items() if key in known}
    try:
        return cast(_Record, _record(cast(Any, kind))(Node(data, path)))
    except RecursionError:
        raise InputError(path, _TOO_DEEP) from None


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


@functools.cache
def _record(kind: type) -> _Read:
    # By the globals of its module, and not by its name: a pytest that ran in this process may have taken that out of sys.modules.
    hints = typing.get_type_hints(kind, globalns=vars(kind)["__init__"].__globals__, include_extras=True)
    read = _object(_tree(kind, lambda item: item), hints)
    return lambda node: kind(**read(node))


def _object(tree: Mapping[str, Any], hints: Mapping[str, Any]) -> Callable[[Node], dict[str, Any]]:
    """Reads an object of JSON to the fields that stand in it, by name; what is missing is said before what is wrong."""
    branches = {key: _object(part, hints) for key, part in tree.items() if isinstance(part, dict)}
    items = {key: item for key, item in tree.items() if key not in branches}
    leaves = {key: (item.name, _reader(hints[item.name])) for key, item in items.items()}
    optional = {key for key, item in items.items() if item.default is not MISSING or item.default_factory is not MISSING}
    required = [key for key in tree if key in branches or not (key in optional or _may_be_none(hints[items[key].name]))]

    def read(node: Node) -> dict[str, Any]:
        parts = node.fields(*tree, required=required)
        found: dict[str, Any] = {}
        for key in tree:
            if key in branches:
                found |= branches[key](parts[key])
            elif key in parts or key not in optional:
                name, read_part = leaves[key]
                found[name] = read_part(parts[key]) if key in parts else None
        return found

    return read


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
        return Node.filled if parts[0] is str else lambda node: node.whole(parts[1], MOST)
    if _may_be_none(hint):
        (inner,) = (_reader(part) for part in parts if part is not type(None))
        return lambda node: None if node.value is None else inner(node)
    if origin is tuple and parts[-1] is Ellipsis:
        read = _reader(parts[0])
        return lambda node: tuple(map(read, node.items()))
    if origin is tuple:
        return functools.partial(_row, list(map(_reader, parts)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        read = _reader(parts[1])
        return lambda node: {key: read(part) for key, part in node.parts().items()}
    raise TypeError(f"{hint} is no type that a record may have")


def _number(node: Node) -> float:
    value = node.value
    if type(value) is int and abs(value) <= MOST:
        return float(value)
    return value if type(value) is float and math.isfinite(value) else node.refuse("must be a number")


def _anything(node: Node) -> Any:
    """A value of any kind, which must not be nested so deeply that it could not be written again."""
    level = [node.value]
    for _ in range(_MOST_LEVELS):
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one if _is_list(one) else ())]
        if not level:
            return node.value
    raise InputError(node.path, _TOO_DEEP)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


_PLAIN: dict[Any, _Read] = {
    Any: _anything,
    int: lambda node: node.whole(0, MOST),
    str: Node.text,
    bool: Node.truth,
    float: _number,
}


def _row(reads: Sequence[_Read], node: Node) -> tuple[Any, ...]:
    if type(node.value) not in (list, tuple) or len(node.value) != len(reads):
        node.refuse(f"must be a list of {len(reads)}")
    return tuple(read(part) for read, part in zip(reads, node.items(), strict=True))
