"""A JSON document whose every part knows where it is, so that what is wrong with it can be said."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from pytest_af3mem.errors import InputError, near

_SHOWN = 60  # characters of a value in an error
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"


class Node:
    """One value and its path. What it is asked for it has, or it raises InputError."""

    def __init__(self, value: Any, path: str = ""):
        self.value = value
        self.path = path

    @classmethod
    def parse(cls, text: str) -> Node:
        """The whole document. Keys that appear twice are refused: of two values one would be lost."""
        try:
            return cls(json.loads(text, object_pairs_hook=_object, parse_constant=_refused))
        except InputError:
            raise
        except json.JSONDecodeError as error:
            raise InputError("", f"is no JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
            raise InputError("", f"is no JSON that can be read: {str(error).splitlines()[0][:_SHOWN]}") from error

    def refuse(self, rule: str) -> NoReturn:
        raise InputError(self.path, rule, _shown(self.value))

    def fields(self, *known: str, required: Collection[str] = ()) -> Mapping[str, Node]:
        """The parts of an object by key, null ones left out."""
        value = self._of(dict)
        for key in value:
            if key not in known:
                where = Node(value[key], self._at(key)) if key.isidentifier() else self
                raise InputError(where.path, f"is no key here{near(key, known)} (keys: {', '.join(known)})", _shown(key))
        for key in required:
            if value.get(key) is None:
                raise InputError(self._at(key), "is missing")
        return {key: Node(part, self._at(key)) for key, part in value.items() if part is not None}

    def parts(self) -> Mapping[str, Node]:
        """The parts of an object that may have any keys."""
        return {key: Node(part, self._at(key)) for key, part in self._of(dict).items()}

    def items(self) -> Iterator[Node]:
        return (Node(part, f"{self.path}[{index}]") for index, part in enumerate(self._of(list)))

    def text(self) -> str:
        return str(self._of(str))

    def filled(self) -> str:
        """A text that is not empty."""
        return self.text() or self.refuse("must not be empty")

    def whole(self, least: int, most: int) -> int:
        value = int(self._of(int))
        return value if least <= value <= most else self.refuse(f"must be from {least:,} to {most:,}")

    def truth(self) -> bool:
        return bool(self._of(bool))

    def _of(self, kind: type) -> Any:
        if type(self.value) is not kind:
            self.refuse(f"must be {_KINDS[kind]}")
        return self.value

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def contents(node: Node, folder: Path | None) -> str:
    """Text of the file that `node` names, plain or packed by gzip, xz or zstd; `folder` is where its path starts."""
    try:
        path = Path(node.filled())
        if folder is None and not path.is_absolute():
            node.refuse("must be an absolute path where the document is no file")
        path = path if folder is None else folder / path
        if not path.is_file():
            node.refuse("is no file")
        return _unpacked(path.read_bytes(), node).decode()
    except OSError as error:
        node.refuse(f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError:
        node.refuse("is no text in UTF-8")
    except (EOFError, zlib.error, lzma.LZMAError):
        node.refuse("cannot be unpacked")
    except InputError:
        raise
    except ValueError:  # a path with a zero in it
        node.refuse("is no path")


def _unpacked(packed: bytes, node: Node) -> bytes:
    if packed.startswith(_GZIP):
        return gzip.decompress(packed)
    if packed.startswith(_XZ):
        return lzma.decompress(packed)
    if packed.startswith(_ZSTD):
        try:
            import zstandard
        except ImportError:
            node.refuse("is packed by zstd, which takes a package that is not installed here: pip install zstandard")
        try:
            with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
                return bytes(reader.read())
        except zstandard.ZstdError:
            node.refuse("cannot be unpacked")
    return packed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(key if key.isidentifier() else "", "is a key that appears twice in one object", _shown(key))
        found[key] = value
    return found


def _refused(constant: str) -> NoReturn:
    raise InputError("", f"is no JSON: {constant} is no number there")


def _shown(value: Any) -> str:
    """A value as it would stand in Python, in one line and not too long."""
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) and value else "[...]" if value else str(value)
    text = ascii(value) if isinstance(value, str) else str(value) if value is not None else "null"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
