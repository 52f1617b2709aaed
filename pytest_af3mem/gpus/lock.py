"""One measurement on a GPU at a time, whoever asks: other workers, other pytest sessions, other users of the machine.

The lock is a file named by the GPU's UUID, in a folder that is the same for all of them: $TMPDIR is not, which Slurm may set
for each job. The worker inherits it, so it is held as long as either of the two lives, and the kernel gives it back when both
are gone, however they went.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.nvml import VisibleGpu

FOLDERS = ("/run/lock", "/dev/shm", "/tmp")
_POLL_SECONDS = 0.2


def lock_path(uuid: str) -> Path:
    """In the first of `FOLDERS` in which every user may make files and nobody may remove those of others; else in the last."""
    shared = next((folder for folder in FOLDERS if _is_shared(folder)), FOLDERS[-1])
    return Path(shared, f"pytest-af3mem-{uuid.replace('/', '-')}.lock")


def _is_shared(folder: str) -> bool:
    try:
        mode = Path(folder).stat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and mode & 0o1007 == 0o1007


@contextlib.contextmanager
def turn(gpus: Sequence[VisibleGpu], stopped: Callable[[], bool] = lambda: False) -> Iterator[tuple[VisibleGpu, int]]:
    """The first of the GPUs that is free, and the descriptor of its lock, once there is one.

    Raises NotJudged when `stopped` before that, or where no lock can be made.
    """
    while not stopped():
        for gpu in gpus:
            if (descriptor := _taken(lock_path(gpu.uuid))) is not None:
                try:
                    yield gpu, descriptor
                finally:
                    os.close(descriptor)
                return
        time.sleep(_POLL_SECONDS)
    raise NotJudged("the session ended before it was measured")


def _taken(path: Path) -> int | None:
    """An open descriptor that holds the lock; None while somebody else does."""
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            with contextlib.suppress(OSError):  # whatever this user keeps from others usually
                os.fchmod(descriptor, 0o644)
        except PermissionError:  # another user's
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise NotJudged(
            f"the GPU cannot be kept to one measurement at a time: {path} cannot be opened ({error.strerror})"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
