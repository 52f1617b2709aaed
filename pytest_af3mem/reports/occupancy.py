"""What a process holds of a GPU, as text."""

from __future__ import annotations

from pytest_af3mem.gpus.occupancy import Occupancy, preallocated
from pytest_af3mem.gpus.size import format_bytes

_UNKNOWN = "not known from outside; in that process: jax.local_devices()[0].memory_stats(), and for the need: af3mem measure"


def render(seen: Occupancy) -> list[str]:
    """What it holds, split into what its pool reserved, what of that is in use, and the rest, each with how that is known."""
    held = "an unknown part" if seen.held_bytes is None else format_bytes(seen.held_bytes)
    head = f"{seen.name or 'process'} {seen.pid} holds {held} of {format_bytes(seen.memory_bytes)} of {seen.gpu} ({seen.uuid})"
    share = None if seen.environment is None else preallocated(seen.environment)
    reserved_bytes = None if share is None else int(share * seen.memory_bytes)
    outside = "not known: CUDA context, libraries and kernels, some hundred MiB"
    if reserved_bytes is not None and seen.held_bytes is not None and seen.held_bytes >= reserved_bytes:
        outside = f"{format_bytes(seen.held_bytes - reserved_bytes)}: CUDA context, libraries, kernels"
    rows = [("pool, reserved", _reserved(seen, share)), ("pool, in use", _UNKNOWN), ("outside the pool", outside)]
    if seen.has_jax is False:
        rows = [("what for", "not known: it has not loaded JAX's CUDA plugin")]
    return [head, *(f"  {name:<18}{text}" for name, text in rows)]


def _reserved(seen: Occupancy, share: float | None) -> str:
    if seen.environment is None:
        return "not known: the environment of that process cannot be read"
    if share is None:
        most = "" if seen.held_bytes is None else f"at most {format_bytes(seen.held_bytes)}: "
        return f"{most}it grows by need and gives nothing back, so it shows the most so far"
    stated = "as it was started" if any("MEM_FRACTION" in name for name in seen.environment) else "JAX's default"
    reserved = int(share * seen.memory_bytes)
    if seen.held_bytes is not None and reserved > seen.held_bytes:
        return f"not known: it was started to take {share:.0%} of the GPU at once, and holds less"
    return f"{format_bytes(reserved)}: {share:.0%} of the GPU at once, whatever the need ({stated})"
