"""What lies in the cache folder, and what of it goes: by age, by size, or all that can be made again.

Files are known by place and name; no other is touched, and no link is followed. An entry is read whole or not at all, so it
may go at any time. A dictionary, a lock and what is being written may go only while no session uses the folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem.errors import Af3memError, SetupError
from pytest_af3mem.storage.files import TAG, alone, is_free, is_ours, prepared
from pytest_af3mem.storage.scratch import TREE, left

DAY = 86_400
UNUSED_DAYS = 90
"""What no session used for so long goes at the end of one, looked for once a day."""

DICTIONARIES, LOCKS, UNFINISHED = "dictionaries", "locks", "unfinished files"
ENVIRONMENTS = "environments"
INPUTS, CALIBRATION = "kept inputs", "calibration records"
TREES, SCRATCH = "git trees", "scratch"
_RESULTS = ("peaks", "programs", "parameters", "signatures")
KINDS = (*_RESULTS, DICTIONARIES, ENVIRONMENTS, INPUTS, CALIBRATION, LOCKS, UNFINISHED, TREES, SCRATCH)
"""Of the last two are only those that dead sessions left, in the folder for temporary files."""
_OF_A_SESSION = (DICTIONARIES, ENVIRONMENTS, LOCKS, UNFINISHED)
_OF_NO_USE = (LOCKS, UNFINISHED, TREES, SCRATCH)

_DIGEST = "[0-9a-f]{64}"
_OF_WRITING = r"\.\d+\.\d+"  # the end of the name of what `written_atomically` has not finished
_NAMES = {
    "": {r"ccd-.+\.(sqlite|pickle)": DICTIONARIES, r"ccd-.+\.lock": LOCKS, rf"\.ccd-.+{_OF_WRITING}": UNFINISHED},
    "failing": {r"\w*_[0-9a-f]{8}\.json": INPUTS},
    ENVIRONMENTS: {_DIGEST: ENVIRONMENTS, rf"{_DIGEST}\.lock": LOCKS},
    "calibration": {r"[\w.-]+\.json": CALIBRATION, rf"\..+\.json{_OF_WRITING}": UNFINISHED},
} | {
    kind: {rf"{_DIGEST}\.json": kind, rf"{_DIGEST}\.lock": LOCKS, rf"\.{_DIGEST}\.json{_OF_WRITING}": UNFINISHED}
    for kind in _RESULTS
}
"""By folder: the names of files, as regular expressions, and their kind."""


@dataclass(frozen=True)
class Entry:
    """A file of the cache, an environment in it, or a folder that a dead session left.

    `used` is when it was last used or written, in seconds.
    """

    kind: str
    path: Path
    size_bytes: int
    used: float
    in_use: bool = False


@dataclass(frozen=True)
class Limits:
    """What is to go: what was not used for so many seconds, the least recently used above so many bytes, all."""

    unused_seconds: float | None = None
    keep_bytes: int | None = None
    clear: bool = False


@dataclass(frozen=True)
class Freed:
    """What there was, what of it went, and why some did not."""

    entries: Sequence[Entry]
    gone: Sequence[Entry]
    problems: Sequence[str]


def to_remove(entries: Sequence[Entry], limits: Limits, now: float) -> list[Entry]:
    """Those that go. Calibration records stay, for only a GPU makes them again; kept inputs are no part of `clear`."""
    if limits == Limits():
        return []
    free = [one for one in entries if one.kind != CALIBRATION and not one.in_use]
    going = {one for one in free if one.kind in _OF_NO_USE or (limits.clear and one.kind != INPUTS)}
    if limits.unused_seconds is not None:
        going |= {one for one in free if now - one.used > limits.unused_seconds}
    if limits.keep_bytes is not None:
        excess = sum(one.size_bytes for one in entries if one not in going) - limits.keep_bytes
        for one in sorted({*free} - going, key=lambda one: (one.used, one.path)):
            if excess > 0:
                going.add(one)
                excess -= one.size_bytes
    return [one for one in entries if one in going]


def free(folder: Path, limits: Limits, *, dry_run: bool = False) -> Freed:
    """Looks through the cache folder, and removes what goes by these limits, or says what would.

    A folder that is not there is empty. Raises SetupError for one that is not ours, or that others may write.
    """
    if not folder.exists():
        return Freed((), (), ())
    if not is_ours(folder):
        rule = f"holds no {TAG} of pytest-af3mem, and nothing is removed there"
        raise SetupError(f"{folder} is no cache folder: it {rule}; name another with --cache-dir or $AF3MEM_CACHE_DIR")
    prepared(folder)
    with alone(folder) as is_alone:
        entries = [*_files(folder, is_alone=is_alone), *_left()]
        going = to_remove(entries, limits, time.time())
        if dry_run:
            return Freed(entries, going, ())
        gone, problems = [], []
        for one in going:
            try:
                if _remove(one):
                    gone.append(one)
            except OSError as error:
                problems.append(f"{one.path} cannot be removed: {error.strerror}")
    return Freed(entries, gone, problems)


def tidy(folder: Path) -> None:
    """At the end of a session, once a day: removes what was long not used. The tag's time is that of the last time.

    Where others still use the folder, the next that ends looks again.
    """
    with contextlib.suppress(OSError, Af3memError):
        if is_ours(folder) and time.time() - (folder / TAG).stat().st_mtime > DAY:
            freed = free(folder, Limits(unused_seconds=UNUSED_DAYS * DAY))
            if not any(one.in_use for one in freed.entries):
                os.utime(folder / TAG)


def _files(folder: Path, *, is_alone: bool) -> Iterator[Entry]:
    for place, names in _NAMES.items():
        within = folder / place
        if place and (within.is_symlink() or not within.is_dir()):
            continue
        for file in sorted(within.iterdir()):
            kind = next((kind for name, kind in names.items() if re.fullmatch(name, file.name)), None)
            with contextlib.suppress(FileNotFoundError):  # what was being written is there no more
                is_kind = stat.S_ISDIR if kind == ENVIRONMENTS else stat.S_ISREG
                if kind and is_kind(file.lstat().st_mode):
                    in_use = kind in _OF_A_SESSION and not (is_alone and (kind != LOCKS or is_free(file)))
                    yield Entry(kind, file, _size_bytes(file), _used(file), in_use)


def _left() -> Iterator[Entry]:
    """What sessions left behind that were killed."""
    for folder in left(Path(tempfile.gettempdir())):
        yield Entry(TREES if (folder / TREE).is_dir() else SCRATCH, folder, _size_bytes(folder), _used(folder))


def _size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.lstat().st_size for one in files if one.is_file() and not one.is_symlink())


def _used(path: Path) -> float:
    """A hit sets the time of an entry; that of a dictionary says when it was made, so a use sets that of access."""
    status = path.lstat()
    return max(status.st_mtime, status.st_atime) if path.suffix == ".sqlite" else status.st_mtime


def _remove(entry: Entry) -> bool:
    """Whether it is gone: what was used since it was looked at stays."""
    with contextlib.suppress(FileNotFoundError):  # another has removed it
        if entry.kind not in (TREES, SCRATCH) and _used(entry.path) != entry.used:
            return False
        if entry.path.is_dir():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink()
    return True
