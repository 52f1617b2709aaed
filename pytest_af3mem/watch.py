"""What a running process holds of a GPU, as far as that can be known from outside: a pool reserved is not memory in use."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem import gpus, visible
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.probes import nvml
from pytest_af3mem.size import format_bytes

_SHARE = 0.75  # what JAX preallocates unless told otherwise: https://docs.jax.dev/en/latest/gpu_memory_allocation.html
_UNKNOWN = "not known from outside; in that process: jax.local_devices()[0].memory_stats(), and for the need: af3mem measure"


@dataclass(frozen=True)
class Seen:
    """One process on one device. `environment` is what it was started with, `has_jax` whether it has loaded JAX's CUDA plugin;
    both None where they cannot be read, as of another user's process. `held_bytes` is None where the driver does not tell."""

    pid: int
    name: str
    device: str
    uuid: str
    memory_bytes: int
    held_bytes: int | None
    environment: Mapping[str, str] | None
    has_jax: bool | None


def look(pid: int) -> list[Seen]:
    """The process on each device where NVML names it. Raises NotJudged where it names it nowhere, UsageError for no process."""
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
            target = visible.target_of(gpu)  # CUDA's total, of which JAX takes its share, is less than NVML's
            memory_bytes = gpus.find(target).memory_bytes if target else usage.memory_bytes
            where, held = (gpu.name, gpu.uuid, memory_bytes), usage.processes[pid]
            found.append(Seen(pid, nvml.process_name(pid), *where, held, _environment(pid), _has_jax(pid)))
    if not found:
        raise NotJudged(
            f"NVML names process {pid} on no GPU: it holds no memory there, or NVML names nobody here, as in a container"
        )
    return found


def render(seen: Seen) -> list[str]:
    """What it holds, split into what its pool reserved, what of that is in use, and the rest, each with how that is known."""
    held = "an unknown part" if seen.held_bytes is None else format_bytes(seen.held_bytes)
    head = f"{seen.name or 'process'} {seen.pid} holds {held} of {format_bytes(seen.memory_bytes)} of {seen.device} ({seen.uuid})"
    rows = [("pool, reserved", _reserved(seen)), ("pool, in use", _UNKNOWN), ("outside the pool", _outside(seen))]
    if seen.has_jax is False:
        rows = [("what for", "not known: it has not loaded JAX's CUDA plugin")]
    return [head, *(f"  {name:<18}{text}" for name, text in rows)]


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


def _reserved(seen: Seen) -> str:
    if seen.environment is None:
        return "not known: the environment of that process cannot be read"
    share = preallocated(seen.environment)
    if share is None:
        most = "" if seen.held_bytes is None else f"at most {format_bytes(seen.held_bytes)}: "
        return f"{most}it grows by need and gives nothing back, so it shows the most so far"
    stated = "as it was started" if any("MEM_FRACTION" in name for name in seen.environment) else "JAX's default"
    reserved = int(share * seen.memory_bytes)
    if seen.held_bytes is not None and reserved > seen.held_bytes:
        return f"not known: it was started to take {share:.0%} of the GPU at once, and holds less"
    return f"{format_bytes(reserved)}: {share:.0%} of the GPU at once, whatever the need ({stated})"


def _outside(seen: Seen) -> str:
    share = preallocated(seen.environment) if seen.environment is not None else None
    outside = seen.held_bytes - int(share * seen.memory_bytes) if share is not None and seen.held_bytes is not None else -1
    if outside < 0:
        return "not known: CUDA context, libraries and kernels, some hundred MiB"
    return f"{format_bytes(outside)}: CUDA context, libraries, kernels"


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
