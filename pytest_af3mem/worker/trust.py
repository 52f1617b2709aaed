"""Whether a reading of a real GPU can be believed. A record of what was around it in, the reason not to out; pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_af3mem import gpus
from pytest_af3mem.gpus.local import WITHOUT_GPU
from pytest_af3mem.gpus.size import format_bytes

# A context of CUDA takes a few hundred MiB, an idle GPU next to nothing (the driver's own reserve is not counted).
_UNNAMED_BYTES = 64 * 2**20


# What JAX reads when it makes its client for a GPU: jaxlib.xla_client.generate_pjrt_gpu_plugin_options (jaxlib 0.10.2) and
# XLA's own TF_ variables.
ALLOCATOR = (
    "TF_FORCE_UNIFIED_MEMORY",
    "TF_GPU_ALLOCATOR",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)
VARIABLES = ("CUDA_VISIBLE_DEVICES", *ALLOCATOR)


@dataclass(frozen=True)
class Counters:
    """JAX's counters of one GPU's allocator at one moment, in bytes."""

    in_use_bytes: int
    peak_bytes: int
    largest_bytes: int
    pool_bytes: int
    limit_bytes: int


@dataclass(frozen=True)
class GpuProcess:
    """Another process that holds memory of the GPU; `held_bytes` is None where the driver does not tell."""

    pid: int
    name: str
    held_bytes: int | None


@dataclass(frozen=True)
class Surroundings:
    """What was around one reading.

    `environment` holds those of `VARIABLES` that were set when JAX made its client; `platform` and `device` are JAX's
    names of the device. `fresh` are the counters before anything was put on it, `final` those after the runs, `peaks` the peak
    so far at the end of each phase, in bytes. `no_nvml` says why NVML could not be read. `unnamed_bytes` were taken before,
    by nobody whom NVML names.
    """

    target: str
    platform: str
    device: str
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh: Counters | None = None
    final: Counters | None = None
    argument_bytes: int = 0
    peaks: tuple[int, ...] = ()
    no_nvml: str = ""
    tenants: tuple[GpuProcess, ...] = ()
    unnamed_bytes: int = 0


def why_not_trusted(around: Surroundings) -> str:
    """Why the reading is not judged, and the way out; empty where it can be believed."""
    return why_not_measurable(around) or _why_wrong_counters(around)


def why_not_measurable(around: Surroundings) -> str:
    """The same before anything was read: what would make any reading worthless."""
    return _why_other_device(around) or why_no_counters(around.environment) or _why_preallocated(around) or _why_shared(around)


def why_no_counters(environment: Mapping[str, str]) -> str:
    """Why what these variables make of JAX's allocator cannot be measured; empty where it can."""
    for name in ("XLA_PYTHON_CLIENT_ALLOCATOR", "TF_GPU_ALLOCATOR"):
        value = environment.get(name, "")
        if value.lower() not in ("", "default", "bfc"):
            return f"{name}={value} replaces JAX's allocator, whose counters are what is measured: unset it"
    return why_unified(environment)


def why_unified(environment: Mapping[str, str]) -> str:
    """Why nothing can be read of a GPU whose memory goes on in the host's; empty where it does not."""
    switch, *fractions = "TF_FORCE_UNIFIED_MEMORY", "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"
    names = [switch] if environment.get(switch, "").lower() in ("1", "true") else []
    names += [name for name in fractions if _number(environment.get(name, "")) > 1]
    if not names:
        return ""
    return (
        f"unified memory is on ({names[0]}={environment[names[0]]}): what the GPU lacks spills into host memory unseen, so that "
        "nothing is ever over; unset it, or measure with --af3-method compiled"
    )


def what_would_spill(needed_bytes: int, target: str) -> str:
    """What unified memory would mean for a program that asks for so much on `target`."""
    memory_bytes = gpus.find(target).memory_bytes
    spilled = format_bytes(needed_bytes - memory_bytes) if needed_bytes > memory_bytes else "nothing"
    return (
        f"compiled, it needs {format_bytes(needed_bytes)} of the {format_bytes(memory_bytes)} of {target}: {spilled} would spill"
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _why_other_device(around: Surroundings) -> str:
    if around.platform not in ("gpu", "cuda"):
        return f"JAX ran on {around.device} ({around.platform}) and not on a GPU, which takes pytest-af3mem[gpu]; {WITHOUT_GPU}"
    if around.no_nvml:
        return f"the GPU cannot be watched ({around.no_nvml}): install nvidia-ml-py and NVIDIA's driver; {WITHOUT_GPU}"
    if around.device != (asked := gpus.find(around.target)).description:
        return (
            f"JAX ran on {around.device}, and {asked.name} ({asked.description}) was asked for: name what is here; {WITHOUT_GPU}"
        )
    return ""


def _why_preallocated(around: Surroundings) -> str:
    stated = around.environment.get("XLA_PYTHON_CLIENT_PREALLOCATE", "")
    pool = around.fresh.pool_bytes if around.fresh else 0
    way_out = "the model sets it, or made JAX's client before it was asked to: leave XLA_PYTHON_CLIENT_PREALLOCATE alone"
    if stated not in ("false", "False", "0"):
        return f"preallocation is on (XLA_PYTHON_CLIENT_PREALLOCATE={stated or 'unset'}): {way_out}"
    if around.fresh and pool > max(around.fresh.limit_bytes // 2, around.fresh.in_use_bytes):
        return f"preallocation is on ({format_bytes(pool)} were taken before anything was asked for): {way_out}"
    return ""


def _why_shared(around: Surroundings) -> str:
    if around.tenants:
        held = [
            f"{one.name or 'a process'} (pid {one.pid}{f', {format_bytes(one.held_bytes)}' if one.held_bytes else ''})"
            for one in around.tenants
        ]
        return f"another process holds memory on the GPU: {', '.join(held)}; end it, or choose a GPU with CUDA_VISIBLE_DEVICES"
    if around.unnamed_bytes > _UNNAMED_BYTES:
        return (
            f"{format_bytes(around.unnamed_bytes)} of the GPU were taken before, by processes that NVML does not name here (as "
            "in a container): end them, or choose a GPU with CUDA_VISIBLE_DEVICES"
        )
    return ""


def _why_wrong_counters(around: Surroundings) -> str:
    fresh, final = around.fresh, around.final
    if fresh is None or final is None:
        return f"JAX has no memory counters for {around.device}: its allocator cannot be read"
    if final.peak_bytes < around.argument_bytes:
        return (
            f"the counters cannot be right: a peak of {format_bytes(final.peak_bytes)} is below the "
            f"{format_bytes(around.argument_bytes)} of the program's own arguments"
        )
    if final.peak_bytes < final.in_use_bytes or (final.limit_bytes and final.peak_bytes > final.limit_bytes):
        return (
            f"the counters cannot be right: a peak of {format_bytes(final.peak_bytes)}, with {format_bytes(final.in_use_bytes)} "
            f"in use and a limit of {format_bytes(final.limit_bytes)}"
        )
    for before, after in itertools.pairwise(around.peaks):
        if after < before:
            return (
                f"the counters cannot be right: the peak so far went from {format_bytes(before)} back to {format_bytes(after)}, "
                "as if something had set it back"
            )
    return ""
