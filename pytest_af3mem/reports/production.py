"""Folds of production, and what was compiled for them: text and JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.production import Production, Program
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.verdict import unmeasured
from pytest_af3mem.reports import json
from pytest_af3mem.reports.columns import aligned, filled, printed, size

_FEW = 5  # numbers of lines that are named for one reason
_HEADINGS = ("bucket", "target", "folds", "compiled", "lowest peak", "highest peak", "gap", "settings")


def render_text(production: Production, more: Sequence[str] = ()) -> str:
    """A row for each program, what is not judged, and which lines were not used for which reason."""
    rows = filled([_HEADINGS, *map(_row, production.programs)]) if production.programs else []
    lines = [
        *aligned(rows, right=[at for at, name in enumerate(rows[0]) if name not in ("target", "settings")] if rows else ()),
        *([] if rows else ["no line can be held against what is compiled"]),
        *(
            unmeasured(one.answer, one.request.conditions).line
            for one in production.programs
            if isinstance(one.answer, NotJudged)
        ),
        *(f"not used: {_lines(numbers)}: {reason}" for reason, numbers in production.unused.items()),
        *more,
    ]
    return printed(lines)


def _row(one: Program) -> tuple[str, ...]:
    lowest, highest = one.peaks
    return (
        str(one.request.bucket),
        one.request.target,
        str(len(one.folds)),
        size(one.answer.total_bytes if isinstance(one.answer, Peak) else None, "not judged"),
        format_bytes(lowest),
        format_bytes(highest),
        "-" if one.gap is None else f"{one.gap * 100:+.2f} %",
        " ".join(f"{name}={value}" for name, value in one.request.settings) or "-",
    )


def _lines(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:_FEW]))
    more = f" and {len(numbers) - _FEW} more" if len(numbers) > _FEW else ""
    return f"line{'s' if len(numbers) > 1 else ''} {named}{more}"


def render_json(production: Production) -> str:
    """Each program as a measurement, with its folds; and the lines that were not used."""
    unused = [{"lines": list(numbers), "reason": reason} for reason, numbers in production.unused.items()]
    return json.document(measurements=[_json(one) for one in production.programs], unused=unused)


def _json(one: Program) -> dict[str, Any]:
    lowest, highest = one.peaks
    return json.row(
        "calibrate",
        one.request,
        one.answer,
        folds=len(one.folds),
        lowest_peak_bytes=lowest,
        highest_peak_bytes=highest,
        gap=None if one.gap is None else round(one.gap, 6),
    )
