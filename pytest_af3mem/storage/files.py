"""Files that are written whole or not at all, locks, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_af3mem.errors import SetupError

TAG = "CACHEDIR.TAG"
TRUST = "AF3MEM_TRUST_CACHE"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# Made by pytest-af3mem; may be deleted. https://bford.info/cachedir/\n"


def prepared(folder: Path) -> Path:
    """`folder`, made and checked: it can be written, and by nobody else. Raises SetupError, which names the way out."""
    way_out = "choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        is_trusted = os.environ.get(TRUST, "").lower() in ("1", "true", "yes", "on")
        if (owner := foreign(folder)) and not is_trusted:
            rule = f"{owner}, and whoever may write it decides what passes: {way_out}, or trust it with ${TRUST}=1"
            raise SetupError(f"the cache folder {folder} {rule}")
        if not (folder / TAG).exists():
            (folder / TAG).write_text(_TAG)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise SetupError(f"the cache folder {folder} cannot be written ({error.strerror}): {way_out}") from error
    return folder


def foreign(folder: Path) -> str:
    """Who else may write `folder`; empty where nobody may but its user, and root, who may do all anyway."""
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user ({status.st_uid})"
    return "may be written by others (chmod go-w mends that)" if status.st_mode & 0o022 else ""


def is_ours(folder: Path) -> bool:
    """Whether `folder` was made a cache folder by `prepared`."""
    try:
        return (folder / TAG).read_bytes() == _TAG.encode()
    except OSError:
        return False


def in_use(folder: Path) -> contextlib.ExitStack:
    """Says that the cache folder is in use until it is closed, or its process ends. Waits while `alone` has the folder."""
    lock = contextlib.ExitStack()
    with contextlib.suppress(OSError):  # where no lock can be made, `alone` has none either
        fcntl.flock(lock.enter_context((folder / TAG).open()), fcntl.LOCK_SH)
    return lock


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the cache folder; if so, whoever wants to waits until the end of this."""
    with contextlib.ExitStack() as lock:
        try:
            fcntl.flock(lock.enter_context((folder / TAG).open("r+")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock `path`."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


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
    """A temporary path next to `path`, renamed to it at the end: readers see the whole file or none.

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
