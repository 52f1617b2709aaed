"""Content-addressed store: what was measured once is not measured twice, and a change is never hidden.

An entry is filed under a digest of its whole identity, which it also holds in clear. Entries are written whole or not at
all, and carry a checksum: a damaged one is measured again, and said.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import SetupError
from pytest_af3mem.peak import Peak
from pytest_af3mem.request import Request, digest

_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by pytest-af3mem; may be deleted. https://bford.info/cachedir/\n"


def prepared(folder: Path) -> Path:
    """`folder`, made and checked to be writable. Raises SetupError, naming the way out, where it is not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "CACHEDIR.TAG").exists():
            (folder / "CACHEDIR.TAG").write_text(_TAG)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        way_out = "choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR"
        raise SetupError(f"the cache folder {folder} cannot be written ({error.strerror}): {way_out}") from error
    return folder


class Cache:
    """Entries of several kinds in one folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.problems: list[str] = []

    def get(self, kind: str, identity: Mapping[str, Any]) -> Any | None:
        """The stored value, or None. A damaged entry is noted in `problems` and counts as missing."""
        path = self._path(kind, identity)
        if not path.exists():
            return None
        try:
            entry = json.loads(path.read_bytes())
            value = entry["value"]
            if entry["checksum"] != _checksum(value):
                raise ValueError("its checksum does not match")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problems.append(f"cache entry {path} is damaged ({error}); measured again")
            return None
        return value

    def put(self, kind: str, identity: Mapping[str, Any], value: Any) -> None:
        """Stores a value; one that cannot be stored is noted in `problems`, for the value itself is good."""
        path = self._path(kind, identity)
        entry = {"identity": identity, "value": value, "checksum": _checksum(value)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_atomically(path) as unfinished:
                unfinished.write_text(json.dumps(entry))
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


def find_peak(cache: Cache, identity: Mapping[str, Any], request: Request) -> Peak | None:
    """The stored peak of an equal program, said of this request's token count."""
    stored = cache.get("peaks", identity)
    return None if stored is None else Peak.from_json({**stored, "tokens": request.tokens, "seconds": 0.0, "cached": True})


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds an exclusive lock on `path`, which the kernel releases when its owner dies. Calls `waiting` where another has it."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end: readers see the whole file or none."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
