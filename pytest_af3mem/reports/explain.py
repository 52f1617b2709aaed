"""What a log says, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.explain import Explanation
from pytest_af3mem.planning.next_steps import steps
from pytest_af3mem.reports.columns import printed
from pytest_af3mem.reports.json import document

_LOOKED_FOR = (
    "GPU memory, a kernel's shared memory, host memory, a killed process, a time limit, driver, CUDA and cuDNN, GPUs, "
    "databases, parameters, full disks"
)


def render_text(told: Sequence[tuple[str, Explanation]]) -> str:
    """About five lines for each log; with several logs, below its name."""
    lines: list[str] = []
    for name, one in told:
        lines += [f"{name}:"] if len(told) > 1 else []
        lines += [_head(one), *(f"  {label:<8}{text}" for label, text in _rows(one))]
    return printed(lines)


def render_json(told: Sequence[tuple[str, Explanation]], broken: Sequence[tuple[str, str]]) -> str:
    """`cause` is null where a log says nothing that is known; all amounts are in bytes, null where it does not say them."""
    return document(
        logs=[_to_json(name, one) for name, one in told],
        broken=[{"log": name, "reason": reason} for name, reason in broken],
    )


def _head(one: Explanation) -> str:
    if one.found is None:
        return "nothing is known of this log: it names no memory that ran out, and no other end that is known here"
    asked, limit = one.asked_bytes, one.limit_bytes
    if asked is None:
        return one.found.cause.title
    of = f", of {_exact(limit) if limit < 2**20 else format_bytes(limit)}" if limit is not None else ""
    return f"{one.found.cause.title}: {_exact(asked)} asked for in one piece{of}"


def _rows(one: Explanation) -> Iterable[tuple[str, str]]:
    if one.found:
        yield f"line {one.found.number}", one.line
    else:
        yield "sought", _LOOKED_FOR
    if one.tokens:
        padded = f", padded to the bucket of {one.bucket}" if one.bucket else ""
        yield "input", f"{one.tokens} tokens{padded}{f', while {one.stage}' if one.stage else ''}"
    elif one.stage:
        yield "input", f"the log does not say its tokens; it ended while {one.stage}"
    if one.planned_bytes and one.xla_limit_bytes:
        planned, limit = format_bytes(one.planned_bytes), format_bytes(one.xla_limit_bytes)
        yield "XLA", f"planned {planned} of buffers at once; its limit, of which it warns, was {limit}"
    if one.memory == "gpu":
        yield "pool", _pool(one)
    if one.gpu:
        named = f"target {one.target}" if one.target else "not a target of af3mem's catalogue"
        yield "GPU", f"{one.gpu}, {named}{f', {format_bytes(one.memory_bytes)}' if one.memory_bytes else ''}"
    for other in one.also[:2]:
        yield "also", f"{other.cause.title} (line {other.number})"
    if one.ended_well:
        yield "later", "a later run or job of this log ended well"
    for index, step in enumerate(steps(one)):
        yield "" if index else "next", f"{step.command}    # {step.purpose}"


def _pool(one: Explanation) -> str:
    """What JAX's pool was set to, and what was in use of it."""
    parts = [f"{name}={value}" for name, value in one.environment.items()]
    if not parts:
        parts = ["not in the log: JAX takes 75 % of the GPU at once, AlphaFold 3's container 95 %"]
    if one.is_unified is None and one.environment:
        parts.append("nothing of unified memory")
    if one.in_use_bytes is not None:
        parts.append(f"{format_bytes(one.in_use_bytes)} in use")
    return ", ".join(parts)


def _exact(size: int) -> str:
    return format_bytes(size) if size < 1024 else f"{format_bytes(size)} ({size:,} bytes)"


def _to_json(name: str, one: Explanation) -> dict[str, Any]:
    found = one.found
    return {
        "log": name,
        "cause": found.cause.name if found else None,
        "title": found.cause.title if found else None,
        "memory": one.memory or None,
        "line_number": found.number if found else None,
        "line": one.line or None,
        "asked_bytes": one.asked_bytes,
        "limit_bytes": one.limit_bytes,
        "in_use_bytes": one.in_use_bytes,
        "tokens": one.tokens,
        "bucket": one.bucket,
        "stage": one.stage or None,
        "planned_bytes": one.planned_bytes,
        "xla_limit_bytes": one.xla_limit_bytes,
        "gpu": one.gpu or None,
        "target": one.target or None,
        "gpu_memory_bytes": one.memory_bytes,
        "unified_memory": one.is_unified,
        "environment": dict(one.environment),
        "also": [{"cause": other.cause.name, "line_number": other.number} for other in one.also],
        "ended_well_later": one.ended_well,
        "next": [{"command": step.command, "purpose": step.purpose} for step in steps(one)],
    }
