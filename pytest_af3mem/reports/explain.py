"""What a log says, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.explain import Explanation
from pytest_af3mem.planning.log_causes import CUDNN
from pytest_af3mem.planning.next_steps import steps
from pytest_af3mem.records.out_of_memory import amount
from pytest_af3mem.reports.columns import printed
from pytest_af3mem.reports.json import document

_LABEL = 7  # characters, as `line 12`
_LOOKED_FOR = (
    "GPU memory, a kernel's shared memory, host memory, a killed process, a time limit, driver, CUDA and cuDNN, GPUs, "
    "databases, parameters, full disks"
)


def render_text(logs: Sequence[tuple[str, Explanation]]) -> str:
    """About five lines for each log; with several logs, below its name."""
    lines: list[str] = []
    for name, one in logs:
        lines += [f"{name}:"] if len(logs) > 1 else []
        rows = list(_rows(one))
        width = max(_LABEL, *(len(label) for label, _ in rows))
        lines += [_head(one), *(f"  {label:<{width}} {text}" for label, text in rows)]
    return printed(lines)


def render_json(logs: Sequence[tuple[str, Explanation]], broken: Sequence[tuple[str, str]]) -> str:
    """`cause` is null where a log says nothing that is known; all amounts are in bytes, null where it does not say them."""
    return document(
        logs=[_to_json(name, one) for name, one in logs],
        broken=[{"log": name, "reason": reason} for name, reason in broken],
    )


def _head(one: Explanation) -> str:
    if one.found is None:
        return "nothing is known of this log: it names no memory that ran out, and no other end that is known here"
    amounts = []
    if one.asked_bytes is not None:
        piece = " in one piece" if one.memory == "gpu" else ""
        limit = f", of {_size(one.limit_bytes)}" if one.limit_bytes is not None else ""
        amounts.append(f"{_size(one.asked_bytes)} asked for{piece}{limit}")
    if one.in_use_bytes is not None:
        amounts.append(f"{_size(one.in_use_bytes)} {'in use' if one.memory == 'gpu' else 'held'}")
    if one.found.cause is CUDNN and one.free_bytes is not None:
        amounts.append(f"{_size(one.free_bytes)} of the GPU free")
    return " ".join([one.found.cause.title, *([f"({', '.join(amounts)})"] if amounts else [])])


def _rows(one: Explanation) -> Iterable[tuple[str, str]]:
    if one.found:
        yield f"line {one.found.number}", one.line
    else:
        yield "sought", _LOOKED_FOR
        if "error" in one.said:
            yield "error", f"the last in it is {one.said['error']}"
    during = f"while {one.stage}" if one.stage and one.is_failure else ""
    if one.tokens:
        yield "input", f"{one.tokens} tokens, padded to the bucket of {one.bucket}{f', {during}' if during else ''}"
    elif during:
        yield "input", f"its tokens are not in the log; it ended {during}"
    if one.needed_bytes:
        yield "XLA", f"the program takes {_size(one.needed_bytes)} in all: arguments, results, constants and temporaries"
    if one.planned_bytes and one.xla_limit_bytes:
        yield "XLA", f"planned {_size(one.planned_bytes)} at once, and warned that its limit was {_size(one.xla_limit_bytes)}"
    if one.memory == "gpu":
        yield "pool", _pool(one)
    if one.gpu:
        yield "GPU", _gpu(one)
    for other in one.also[:2]:
        yield "also", f"{other.cause.title} (line {other.number})"
    if one.ended_well:
        yield "later", "a later run or job of this log ended well"
    following = steps(one)
    width = max((len(step.command) for step in following), default=0)
    for index, step in enumerate(following):
        yield "" if index else "next", f"{step.command.ljust(width)}  # {step.purpose}"


def _pool(one: Explanation) -> str:
    """What JAX's pool was set to, as far as the log says it."""
    taken = {True: "taken at once", False: "taken by need", None: "whether it is taken at once is not in the log"}
    unified = {True: "unified memory on", False: "unified memory off", None: "nothing of unified memory in the log"}
    known = ", ".join(f"{name}={value}" for name, value in one.environment.items())
    return f"{taken[one.is_preallocated]}, {unified[one.is_unified]}{f' ({known})' if known else ''}"


def _gpu(one: Explanation) -> str:
    named = f"target {one.target}" if one.target else "not a target of af3mem"
    memory = f", {_size(one.memory_bytes)}" if one.memory_bytes else ""
    used = amount(one.said.get("used"))
    return f"{one.gpu}, {named}{memory}{f', of which nvidia-smi shows {_size(used)} in use' if used else ''}"


def _size(size: int) -> str:
    return format_bytes(size) if size >= 2**20 else f"{size:,} bytes"


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
        "needed_bytes": one.needed_bytes,
        "planned_bytes": one.planned_bytes,
        "xla_limit_bytes": one.xla_limit_bytes,
        "gpu": one.gpu or None,
        "target": one.target or None,
        "gpu_memory_bytes": one.memory_bytes,
        "preallocated": one.is_preallocated,
        "unified_memory": one.is_unified,
        "environment": dict(one.environment),
        "also": [{"cause": other.cause.name, "line_number": other.number} for other in one.also],
        "ended_well_later": one.ended_well,
        "next": [{"command": step.command, "purpose": step.purpose} for step in steps(one)],
    }
