"""The temporary folder of a session: what workers leave in theirs is gone with it, also after a session that was killed.

Its name carries the machine and the session's process; a lock in it is held as long as the session lives. The next session on
this machine removes those whose process is gone and whose lock is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from pytest_af3mem.errors import SetupError
from pytest_af3mem.storage.files import is_free

_LOCK = "lock"
TREE = "tree"
"""In such a folder, the sources of a git revision."""


class Scratch:
    """A folder at `path` until `close`, or until the process ends. Raises SetupError where none can be made."""

    def __init__(self) -> None:
        parent = Path(os.environ.get("TMPDIR", "/tmp"))
        try:
            parent = Path(tempfile.gettempdir())
            sweep(parent)
            self.path = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=parent))
            self._lock = (self.path / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(f"no temporary folder can be made in {parent} ({error.strerror}): set $TMPDIR to another") from error
        self.close = weakref.finalize(self, _remove, self.path, os.getpid(), self._lock)


def sweep(parent: Path) -> None:
    """Removes what sessions left in `parent` that are no more."""
    for folder in left(parent):
        shutil.rmtree(folder, ignore_errors=True)


def left(parent: Path) -> Iterator[Path]:
    """The folders in `parent` of sessions that are no more.

    The lock is asked too: of a container that shares the folder and the name of the machine, a process is not seen.
    """
    for folder in parent.glob(f"{_prefix()}*-*"):
        process = re.match(r"\d+", folder.name.removeprefix(_prefix()))
        with contextlib.suppress(OSError):
            is_dead = process and not Path("/proc", process[0]).exists() and folder.lstat().st_uid == os.getuid()
            if is_dead and is_free(folder / _LOCK):
                yield folder


def _prefix() -> str:
    """With the machine, for a folder may be shared by several, where the same number is another process."""
    return f"af3mem-{re.sub(r'[^A-Za-z0-9.]', '.', os.uname().nodename)}-"


def _remove(folder: Path, owner: int, lock: contextlib.AbstractContextManager[object]) -> None:
    if os.getpid() == owner:  # and no process that was forked of it
        shutil.rmtree(folder, ignore_errors=True)
        with lock:
            pass
