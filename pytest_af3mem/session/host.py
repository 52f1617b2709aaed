"""The machine that measures: what of it this process may use, and its way of asking processes to end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORKER_MEMORY_BYTES = 4 * 2**30  # a worker was seen to take 2 to 3 GiB of host memory


def cores(root: Path = Path("/")) -> int:
    """How many cores this process may keep busy: its affinity, within the CPU quota of its control groups."""
    quotas = [quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None]
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """Host memory that can still be taken: Linux's own estimate, within what control groups leave. None where nothing says."""
    found = [left for folder in _groups(root, "memory") if (left := _left_bytes(folder)) is not None]
    lines = _text(root / "proc/meminfo").splitlines()
    found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return max(0, min(found)) if found else None


def _quota(folder: Path) -> float | None:
    """Cores that a control group may keep busy."""
    quota, period = [*_text(folder / "cpu.max").split(), "", ""][:2]
    if not quota:
        quota, period = (_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _left_bytes(folder: Path) -> int | None:
    """Memory that a control group may still take; what it holds of files that can be read again counts as free."""
    found = [_number(folder / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    used = next((n for name in ("current", "usage_in_bytes") if (n := _number(folder / f"memory.{name}")) is not None), None)
    limits = [limit for limit in found if limit is not None]
    if not limits or used is None:
        return None
    statistics = dict(line.split(maxsplit=1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    files = statistics.get("total_inactive_file", statistics.get("inactive_file", "0"))
    return min(limits) - used + (int(files) if files.isdecimal() else 0)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that hold this process for `controller`, from its own up to the outermost that is seen."""
    mounts: list[tuple[str, list[str], str, str]] = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        parts, described = before.split(), [*after.split(), "", "", ""]
        if len(parts) > 4 and described[0] in ("cgroup", "cgroup2"):
            mounts.append((described[0], described[2].split(","), parts[3], parts[4]))
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for kind, options, top, place in mounts:
            if not controllers if kind == "cgroup2" else controller in options and controller in controllers.split(","):
                outermost = root / place.lstrip("/")
                inside = Path(path.removeprefix(top.rstrip("/")).lstrip("/")) if path.startswith(top) else Path()
                yield from (outermost / inside, *(outermost / parent for parent in inside.parents))


def _number(path: Path) -> int | None:
    """None also for `max`, and for the number near 2**63 by which version 1 says the same."""
    text = _text(path).strip()
    return int(text) if text.isdecimal() and int(text) < 2**60 else None


def _text(path: Path) -> str:
    """Empty where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def ends_on_signals() -> Iterator[Callable[[], None]]:
    """Meanwhile SIGTERM and SIGHUP end the process as Ctrl-C does, by KeyboardInterrupt, so that it cleans up and reports.

    In the main thread alone, and for signals that nobody else handles or ignores. Those that follow the first are dropped, for
    `timeout` and Slurm send some twice. What this gives is called when the process ends by itself and reports: from then on
    these signals are dropped, and the first Ctrl-C.
    """
    ours = threading.current_thread() is threading.main_thread()
    numbers = [one for one in (signal.SIGTERM, signal.SIGHUP) if ours and signal.getsignal(one) is signal.SIG_DFL]
    ending = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal ending
        if not ending:
            ending = True
            raise KeyboardInterrupt(signal.Signals(number).name)

    def drop_one(number: int, frame: Any) -> None:
        signal.signal(number, signal.default_int_handler)

    def finish() -> None:
        nonlocal ending
        ending = True
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, drop_one)

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield finish
    finally:
        for number in numbers:
            if signal.getsignal(number) is interrupt:
                signal.signal(number, signal.SIG_DFL)
        if ours and signal.getsignal(signal.SIGINT) is drop_one:
            signal.signal(signal.SIGINT, signal.default_int_handler)
