"""Content-addressed store: what was measured once is not measured twice, and a change is never hidden.

An entry is filed under a digest of its whole identity, which it also holds in clear. Entries are written whole or not at
all, and carry a checksum of all that they say: a damaged one, or one that is of another question, is measured again, and said.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import InputError, SetupError
from pytest_af3mem.peak import Peak
from pytest_af3mem.records import render
from pytest_af3mem.request import Request, digest

TRUST = "AF3MEM_TRUST_CACHE"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by pytest-af3mem; may be deleted. https://bford.info/cachedir/\n"


def prepared(folder: Path) -> Path:
    """`folder`, made and checked: it can be written, and by nobody else. Raises SetupError, which names the way out."""
    way_out = "choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if (owner := _foreign(folder)) and not _is_trusted():
            rule = f"{owner}, and whoever may write it decides what passes: {way_out}, or trust it with ${TRUST}=1"
            raise SetupError(f"the cache folder {folder} {rule}")
        if not (folder / "CACHEDIR.TAG").exists():
            (folder / "CACHEDIR.TAG").write_text(_TAG)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SetupError(f"the cache folder {folder} cannot be written ({error.strerror}): {way_out}") from error
    return folder


def _foreign(folder: Path) -> str:
    """Who else may write `folder`; empty where nobody may but its user, and root, who may do all anyway."""
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user ({status.st_uid})"
    return "may be written by others (chmod go-w mends that)" if status.st_mode & 0o022 else ""


def _is_trusted() -> bool:
    return os.environ.get(TRUST, "").lower() in ("1", "true", "yes", "on")


class Cache:
    """Entries of several kinds in one folder."""

    def __init__(self, folder: Path):
        self._folder = folder
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
            return read(value)
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
                unfinished.write_text(render(entry))
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


def find_peak(
    cache: Cache, identity: Mapping[str, Any], request: Request, why_not: Callable[[Peak], str] = lambda peak: ""
) -> Peak | None:
    """The stored peak of an equal program, said of this request's size. One that cannot be it, as `why_not` says, is damage."""

    def read(value: Any) -> Peak:
        peak = dataclasses.replace(Peak.from_json(value), tokens=request.tokens, bucket=request.bucket, seconds=0.0, cached=True)
        if reason := why_not(peak):
            raise InputError("", reason)
        return peak

    found: Peak | None = cache.get("peaks", identity, read)
    return found


def _checksum(kind: str, identity: Mapping[str, Any], value: Any) -> str:
    return digest({"kind": kind, "identity": identity, "value": value})


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
def written_atomically(path: Path, *, of_the_user: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end: readers see the whole file or none.

    What is `of_the_user` keeps its mode, and is on the disk before it takes the place of what was there.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield unfinished
        if of_the_user:
            with unfinished.open("rb") as file:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
                os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
