"""Content-addressed store: what was measured once is not measured twice, and a change is never hidden.

An entry is filed under a digest of its whole identity, which it also holds in clear. Entries are written whole or not at
all, and carry a checksum of all that they say: a damaged one, or one that is of another question, is measured again, and said.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.storage import typed
from pytest_af3mem.storage.files import locked, written_atomically


class Cache:
    """Entries of several kinds in one folder; `shipped` is that of the answers that are looked up where it has none."""

    def __init__(self, folder: Path, shipped: Path | None = None):
        self._folder = folder
        self.shipped = shipped
        self.problems: list[str] = []

    def get(self, kind: str, identity: Mapping[str, Any], read: Callable[[Any], Any] = lambda value: value) -> Any | None:
        """The stored value as `read` gives it, or None. A damaged entry is noted in `problems` and counts as missing.

        So does one that `read` refuses, with an InputError.
        """
        path = self._path(kind, identity)
        try:
            entry = json.loads(path.read_bytes())
            value = entry["value"]
            if entry["checksum"] != _checksum(kind, entry["identity"], value):
                raise ValueError("its checksum does not match")
            if digest(entry["identity"]) != path.stem:
                raise ValueError("it is of another question")
            found = read(value)
            with contextlib.suppress(OSError):
                os.utime(path)  # the time of its last use, by which `housekeeping` goes
            return found
        except FileNotFoundError:
            return None
        except PermissionError as error:
            self.problems.append(f"cache entry {path} cannot be read ({error.strerror}); measured again")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self.problems.append(f"cache entry {path} is damaged ({error}); measured again")
        return None

    def put(self, kind: str, identity: Mapping[str, Any], value: Any) -> None:
        """Stores a value; one that cannot be stored is noted in `problems`, for the value itself is good."""
        path = self._path(kind, identity)
        entry = {"identity": identity, "value": value, "checksum": _checksum(kind, identity, value)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_atomically(path) as unfinished:
                unfinished.write_text(typed.render(entry))
        except OSError as error:
            self.problems.append(f"cache entry {path} cannot be written ({error.strerror}); it will be measured again")

    @contextlib.contextmanager
    def only_one(self, kind: str, identity: Mapping[str, Any], waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Of the processes that want this entry at once, one works while the others wait, told by `waiting`, and then find it.

        Where no lock can be made, each works for itself.
        """
        path = self._path(kind, identity).with_suffix(".lock")
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(path, waiting))
            yield

    def _path(self, kind: str, identity: Mapping[str, Any]) -> Path:
        return self._folder / kind / f"{digest(identity)}.json"


def _checksum(kind: str, identity: Mapping[str, Any], value: Any) -> str:
    return digest({"kind": kind, "identity": identity, "value": value})


def digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(typed.render(identity, sort_keys=True).encode()).hexdigest()
