"""Peaks of real folds: two lines in `run_alphafold.py` append what JAX's allocator peaked at to a file, a line for each fold.

    from pytest_af3mem import production

    result = model_runner.run_inference(example, rng_key)
    production.record("peaks.jsonl", example)

`af3mem calibrate --from peaks.jsonl` holds what was compiled against it; docs/production.md says what a line has. Importing this
loads the standard library alone. Whatever fails is logged as a warning, and the fold goes on.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_af3mem.errors import UsageError, first_line

if TYPE_CHECKING:
    from pytest_af3mem.records.production import Fold

_LOCK_SECONDS = 2.0  # a fold does not wait longer for another process: a line is written in one piece without the lock, too
_VERSIONS = ("jax", "jaxlib", "tokamax")


# Options of run_alphafold.py that change the program, and the settings of the model that they are.
_SETTINGS = {
    "num_diffusion_samples": "num_samples",
    "flash_attention_implementation": "attention",
    "save_embeddings": "return_embeddings",
    "save_distogram": "return_distogram",
}
_log = logging.getLogger("pytest_af3mem")
_lock = threading.Lock()
_peaks: dict[int, int] = {}  # of each device, at the fold before


def record(
    path: str | os.PathLike[str],
    example: Mapping[str, Any] | None = None,
    *,
    tokens: int | None = None,
    bucket: int | None = None,
    device: Any = None,
) -> None:
    """Appends one line on the fold that has just ended, once its results are on the host. It raises nothing.

    Args:
      path: The file. Several processes may write it at the same time.
      example: The featurised example that was folded, of which `tokens` and `bucket` are read.
      tokens, bucket: Tokens of the input, and what they were padded to, where there is no `example`.
      device: The JAX device, where the process used several.
    """
    try:
        with _lock:
            fold = _fold(example, tokens, bucket, device)
            _append(Path(path), fold.line())
    except Exception as error:
        words = str(error) if isinstance(error, UsageError) else first_line(error)
        _log.warning("pytest-af3mem did not record the peak of this fold: %s", words)


def _fold(example: Mapping[str, Any] | None, tokens: int | None, bucket: int | None, device: Any) -> Fold:
    from pytest_af3mem import gpus
    from pytest_af3mem.models import fingerprint
    from pytest_af3mem.records.production import SCHEMA, Fold
    from pytest_af3mem.worker.trust import ALLOCATOR

    used, counters = _used(device)
    peak_bytes = int(counters["peak_bytes_in_use"])
    before_bytes = _peaks.get(used.id)
    _peaks[used.id] = peak_bytes  # first of all, so that no later fold is taken for the one that peaked
    if example is not None:
        mask = example["seq_mask"]
        tokens, bucket = int(mask.sum()), int(mask.shape[0])
    if not tokens or not bucket:
        raise UsageError("give the featurised example, or tokens= and bucket=")
    names = gpus.described_as(used.device_kind)
    return Fold(
        schema=SCHEMA,
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        process=os.getpid(),
        tokens=int(tokens),
        bucket=int(bucket),
        peak_bytes=peak_bytes,
        before_bytes=before_bytes,
        rose=before_bytes is None or peak_bytes > before_bytes,
        limit_bytes=counters.get("bytes_limit"),
        device=used.device_kind,
        target=names[0] if len(names) == 1 else "",
        distribution=_distribution(),
        software={name: found for name in _VERSIONS if (found := fingerprint.installed(name))},
        xla_flags=fingerprint.without_paths(os.environ.get("XLA_FLAGS", "")),
        environment={name: os.environ[name] for name in ALLOCATOR if name in os.environ},
        settings=_settings(),
    )


def _used(device: Any) -> tuple[Any, Mapping[str, int]]:
    """The GPU that this process folds on, and the counters of its allocator."""
    jax = sys.modules.get("jax")
    if jax is None:
        raise UsageError("JAX was not imported in this process, so nothing was folded in it")
    devices = [device] if device is not None else jax.local_devices()
    read = [(one, one.memory_stats() or {}) for one in devices]
    used = [(one, counters) for one, counters in read if counters.get("peak_bytes_in_use")]
    if not used:
        raise UsageError(f"{read[0][0].device_kind} has no counters of memory" if read else "JAX has no device")
    if len(used) > 1:
        raise UsageError("the process used several GPUs: name the one of this fold with device=")
    return used[0]


def _distribution() -> str:
    """AlphaFold 3's, with its version; empty where that is not known."""
    from pytest_af3mem.models.alphafold3 import AlphaFold3

    with contextlib.suppress(Exception):
        return AlphaFold3().distribution()
    return ""


def _settings() -> dict[str, Any]:
    """What the options of run_alphafold.py make of the model; nothing of a runner without them."""
    absl = sys.modules.get("absl.flags")
    stated = absl.FLAGS if absl is not None and absl.FLAGS.is_parsed() else {}
    return {name: stated[option].value for option, name in _SETTINGS.items() if option in stated}


def _append(path: Path, line: bytes) -> None:
    """Adds a line in one piece, after the end of one that was cut off, as by a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise UsageError(f"{path} is not a file")
        _wait_for(file)
        size = os.fstat(file).st_size
        whole = line if not size or os.pread(file, 1, size - 1) == b"\n" else b"\n" + line
        if os.write(file, whole) != len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(file)  # and with it the lock


def _wait_for(file: int) -> None:
    """Holds the lock of the file, if nobody else does so for long: on a network's file system it keeps lines apart."""
    end = time.monotonic() + _LOCK_SECONDS
    with contextlib.suppress(OSError):  # of a file system without locks
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.01)
