"""What a running process holds of a GPU, as far as that can be known from outside: a pool reserved is not memory in use."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.gpus import local, nvml

_SHARE = 0.75  # what JAX preallocates unless told otherwise: https://docs.jax.dev/en/latest/gpu_memory_allocation.html


@dataclass(frozen=True)
class Occupancy:
    """One process on one GPU. `environment` is what it was started with, `has_jax` whether it has loaded JAX's CUDA plugin;
    both None where they cannot be read, as of another user's process. `held_bytes` is None where the driver does not tell."""

    pid: int
    name: str
    gpu: str
    uuid: str
    memory_bytes: int
    held_bytes: int | None
    environment: Mapping[str, str] | None
    has_jax: bool | None


def look(pid: int) -> list[Occupancy]:
    """The process on each GPU where NVML names it. Raises NotJudged where it names it nowhere, UsageError for no process."""
    if not Path("/proc", str(pid)).exists():
        raise UsageError(f"there is no process {pid} here")
    visible_gpus, reason = nvml.visible_gpus()
    if not visible_gpus:
        raise NotJudged(f"no GPU is visible ({reason})")
    found = []
    for gpu in visible_gpus:
        with contextlib.closing(nvml.Gauge(gpu.uuid)) as gauge:
            usage = gauge.read()
        if pid in usage.processes:
            target = local.target_of(gpu)  # CUDA's total, of which JAX takes its share, is less than NVML's
            memory_bytes = gpus.find(target).memory_bytes if target else usage.memory_bytes
            where, held = (gpu.name, gpu.uuid, memory_bytes), usage.processes[pid]
            found.append(Occupancy(pid, nvml.process_name(pid), *where, held, _environment(pid), _has_jax(pid)))
    if not found:
        raise NotJudged(
            f"NVML names process {pid} on no GPU: it holds no memory there, or NVML names nobody here, as in a container"
        )
    return found


def preallocated(environment: Mapping[str, str]) -> float | None:
    """The share of the GPU that JAX takes at once with this environment; None where it takes memory by need."""
    if environment.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true") in ("false", "False", "0"):
        return None
    if environment.get("XLA_PYTHON_CLIENT_ALLOCATOR", "default").lower() not in ("default", "bfc"):
        return None
    stated = environment.get("XLA_CLIENT_MEM_FRACTION") or environment.get("XLA_PYTHON_CLIENT_MEM_FRACTION")
    with contextlib.suppress(ValueError):
        return float(stated) if stated else _SHARE
    return None


def _environment(pid: int) -> dict[str, str] | None:
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return dict(entry.partition("=")[::2] for entry in text.split("\0") if "=" in entry)


def _has_jax(pid: int) -> bool | None:
    try:
        return "xla_cuda_plugin" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return None
