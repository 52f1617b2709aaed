"""What a file says of a compiled program in, text and JSON out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.holders import explained
from pytest_af3mem.records.measurement import HOLDERS
from pytest_af3mem.records.read_program import ReadProgram
from pytest_af3mem.reports import program_limits, terminal
from pytest_af3mem.reports.columns import printed
from pytest_af3mem.reports.json import document

_FEW = 3


def render_text(found: ReadProgram) -> str:
    """What it is, and as of a measurement where the bytes are, the kernels, and who holds the peak."""
    limit_bytes = found.program_limits.rematerialization.limit_bytes
    limit = (
        f"  {'limit':<12}{format_bytes(limit_bytes or 0):>12}  of temporaries and outputs, above which XLA computes arrays anew"
    )
    return printed(
        [
            found.file,
            f"  {', '.join(filter(None, (found.form, found.module, found.compiled_for)))}",
            *beside(found),
            f"  {'total':<12}{format_bytes(found.total_bytes):>12}  {found.total_bytes:,} bytes",
            *terminal.memory(found),
            *([limit] if limit_bytes is not None else []),
            *terminal.kernels(found),
            *program_limits.lines(found),
            *terminal.holders(found),
        ]
    )


def beside(found: ReadProgram) -> list[str]:
    """What else is in the folder."""
    folder = Path(found.file).parent
    lines = [f"  the one with the largest total of {1 + found.others} programs in {folder}"] if found.others else []
    lines += [f"  not read: {one}" for one in found.unread[:_FEW]]
    return lines + ([f"  and {len(found.unread) - _FEW} more that are not read"] if len(found.unread) > _FEW else [])


def render_json(found: ReadProgram, *, all_holders: bool = False) -> str:
    return document(programs=[row(found, all_holders=all_holders)])


def row(found: ReadProgram, *, all_holders: bool = False, **more: Any) -> dict[str, Any]:
    """One program; keys are called as those of a measurement, and what such a file does not hold has none."""
    program = found.to_json()
    return {
        **more,
        **program,
        "total_bytes": found.total_bytes,
        "packing_bytes": found.packing_bytes,
        "holders": program["holders"][: None if all_holders else HOLDERS],
        "explained": round(explained(found), 4) if found.holders else None,
    }
