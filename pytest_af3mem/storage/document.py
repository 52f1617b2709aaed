"""A JSON document whose every part knows where it is, so that what is wrong with it can be said."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NoReturn

from pytest_af3mem.errors import InputError, near

_SHOWN = 60  # characters of a value in an error
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
_PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "lzma", b"\x28\xb5\x2f\xfd": "zstandard"}  # the module that unpacks it
MAX_UNPACKED_BYTES = 2**30
_PIECE_BYTES = 2**20


class Node:
    """One value and its path. What it is asked for it has, or it raises InputError.

    `notes` collects what is read in another way than its author may think; without it, that is refused.
    """

    __slots__ = ("notes", "path", "value")

    def __init__(self, value: Any, path: str = "", notes: list[InputError] | None = None):
        self.value = value
        self.path = path
        self.notes = notes

    @classmethod
    def parse(cls, text: str, notes: list[InputError] | None = None) -> Node:
        """The whole document. Of a key that appears twice the last value counts, as in any JSON, which is noted."""

        def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) < len(pairs):
                key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
                cls(key, key if key.isidentifier() else "", notes).note("is a key that appears twice in one object")
            return found

        try:
            return cls(json.loads(text, object_pairs_hook=read, parse_constant=_refused), notes=notes)
        except InputError:
            raise
        except json.JSONDecodeError as error:
            raise InputError("", f"is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
        except RecursionError as error:
            raise InputError("", "is not JSON that can be read: its brackets are nested too deeply") from error
        except ValueError as error:  # numbers of thousands of digits
            raise InputError("", f"is not JSON that can be read: {str(error).splitlines()[0][:_SHOWN]}") from error

    def refuse(self, rule: str) -> NoReturn:
        raise InputError(self.path, rule, _shown(self.value))

    def note(self, rule: str) -> None:
        """Notes that the value is read in another way than its author may think. Raises InputError where nothing is noted."""
        if self.notes is None:
            self.refuse(rule)
        self.notes.append(InputError(self.path, rule, _shown(self.value)))

    def fields(
        self,
        *known: str,
        required: Collection[str] = (),
        nullable: Collection[str] | None = None,
        others_are_ignored: bool = False,
    ) -> Mapping[str, Node]:
        """The parts of an object by key, without those that are null, which may be the `nullable` ones: by default, any."""
        value = self._of(dict)
        for key in value:
            if key not in known:
                where = Node(key, self._at(key) if key.isidentifier() else self.path, self.notes)
                rule = f"is not a key here{near(key, known)} (keys: {', '.join(known)})"
                where.note(f"{rule}; AlphaFold 3 ignores it") if others_are_ignored else where.refuse(rule)
        found = {
            key: self._part(part, self._at(key))
            for key, part in value.items()
            if key in known and (part is not None or (nullable is not None and key not in nullable))
        }
        for key in required:
            if key not in found:
                raise InputError(self._at(key), "is missing")
        return found

    def parts(self) -> Mapping[str, Node]:
        """The parts of an object that may have any keys."""
        return {key: self._part(part, self._at(key)) for key, part in self._of(dict).items()}

    def items(self) -> Iterator[Node]:
        parts = self.value if type(self.value) is tuple else self._of(list)
        return (self._part(part, f"{self.path}[{index}]") for index, part in enumerate(parts))

    def text(self) -> str:
        return str(self._of(str))

    def filled(self) -> str:
        """A text that is not empty."""
        return self.text() or self.refuse("must not be empty")

    def whole(self, least: int, most: int, *, or_truth: bool = False) -> int:
        """A whole number; with `or_truth` also what Python counts as 0 and 1, which is noted."""
        if or_truth and type(self.value) is bool and self.notes is not None:
            self.note(f"is not a number: AlphaFold 3 reads it as {int(self.value)}")
        else:
            self._of(int)
        value = int(self.value)
        return value if least <= value <= most else self.refuse(f"must be from {least:,} to {most:,}")

    def truth(self) -> bool:
        return bool(self._of(bool))

    def _of(self, kind: type) -> Any:
        if type(self.value) is not kind:
            self.refuse(f"must be {_KINDS[kind]}")
        return self.value

    def _part(self, value: Any, path: str) -> Node:
        return Node(value, path, self.notes)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def contents(node: Node, folder: Path | None) -> str:
    """Text of the file that `node` names, plain or packed by gzip, xz or zstd; `folder` is where its path starts."""
    try:
        path = Path(node.filled())
        if folder is None and not path.is_absolute():
            node.refuse("must be an absolute path where the document is not a file")
        path = path if folder is None else folder / path
        if not path.is_file():
            node.refuse("is a folder" if path.is_dir() else "does not exist")
        data = path.read_bytes()
        opened = _opened(data, node)
        if opened is None:
            return data.decode()
        with opened as stream:
            text = _whole(stream, node).decode()
        return text.replace("\r\n", "\n").replace("\r", "\n")  # as AlphaFold 3, which opens packed files in text mode
    except InputError:
        raise
    except OSError as error:
        node.refuse(f"cannot be read: {error.strerror}" if error.strerror else "cannot be unpacked")
    except UnicodeDecodeError:
        node.refuse("is not text in UTF-8")
    except ValueError:  # a path with a zero in it
        node.refuse("is not a path")


def _opened(data: bytes, node: Node) -> Any:
    """What a packed file holds, opened for reading; None for a file that is not packed."""
    kind = next((kind for start, kind in _PACKED.items() if data.startswith(start)), None)
    try:
        return importlib.import_module(kind).open(BytesIO(data)) if kind else None
    except ImportError:
        node.refuse("is packed by zstd, which takes a package that is not installed here: pip install zstandard")


def _whole(stream: IO[bytes], node: Node) -> bytes:
    """All that a packed file holds, piece by piece: a few kilobytes may unpack to more than there is memory."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size <= MAX_UNPACKED_BYTES and (piece := stream.read(_PIECE_BYTES)):
            pieces.append(piece)
            size += len(piece)
    except Exception:  # gzip, zlib, lzma and zstandard have errors of their own
        node.refuse("cannot be unpacked")
    if size > MAX_UNPACKED_BYTES:
        node.refuse(f"unpacks to more than {MAX_UNPACKED_BYTES / 2**30:g} GiB, the most that is read")
    return b"".join(pieces)


def _refused(constant: str) -> NoReturn:
    raise InputError("", f"is not valid JSON: {constant} is not a number there")


def _shown(value: Any) -> str:
    """A value as it would stand in Python, in one line and not too long."""
    if isinstance(value, dict | list):
        return "{...}" if isinstance(value, dict) and value else "[...]" if value else str(value)
    text = ascii(value) if isinstance(value, str) else str(value) if value is not None else "null"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
