"""What NVML says of one GPU while this process measures there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_af3mem.gpus import nvml
from pytest_af3mem.worker.sampler import Sampler
from pytest_af3mem.worker.trust import GpuProcess

_SECONDS = 0.02


@dataclass
class GpuWatch:
    """What NVML says of one GPU while this process measures: before it touched the GPU, and the most since."""

    uuid: str
    before: nvml.GpuMemory
    largest: dict[int, int | None] = field(default_factory=dict)
    used_bytes: int = 0
    gap_seconds: float = 0.0

    def keep(self, usage: nvml.GpuMemory) -> None:
        self.used_bytes = max(self.used_bytes, usage.used_bytes)
        for pid, held in usage.processes.items():
            known = self.largest.get(pid)
            self.largest[pid] = held if known is None or held is None else max(known, held)

    @property
    def own(self) -> int | None:
        """The process id by which NVML knows this process; None where it does not name it.

        From inside a container it may be another one than `os.getpid()`: then the only one that came after us.
        """
        came = [pid for pid in self.largest if pid not in self.before.processes]
        if os.getpid() in came:
            return os.getpid()
        return came[0] if len(came) == 1 else None

    @property
    def tenants(self) -> tuple[GpuProcess, ...]:
        """The other processes that held memory of the GPU, before or meanwhile."""
        return tuple(
            GpuProcess(pid, nvml.process_name(pid), held)
            for pid, held in sorted({**self.before.processes, **self.largest}.items())
            if pid != self.own
        )

    @property
    def unnamed_bytes(self) -> int:
        """What was taken before, by nobody whom NVML names."""
        return 0 if self.before.processes else self.before.used_bytes


@contextlib.contextmanager
def watching(gauge: nvml.Gauge, watched: GpuWatch) -> Iterator[None]:
    """Reads NVML in a thread meanwhile."""
    with Sampler(gauge.read, watched.keep, _SECONDS) as sampler:
        yield
    watched.gap_seconds = sampler.gap_seconds
