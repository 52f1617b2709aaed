"""Effects of a controlled experiment in, text and JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.vary import Effect
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, origin, printed, signed
from pytest_af3mem.reports.json import document

_WIDTH = 24  # of the longest bar


def render_text(effects: Sequence[Effect], notes: Sequence[str] = ()) -> str:
    """One line an effect: what was changed, the peak, how far it is from the base, a bar of that, and where it came from."""
    base = effects[0]
    changes = [one.bytes_more_than(base) for one in effects]
    longest = max(abs(change or 0) for change in changes)
    rows = [("over", "value", "total", "difference", "", "how")]
    for one, change in zip(effects, changes, strict=True):
        total = format_bytes(one.answer.total_bytes) if isinstance(one.answer, Peak) else "not judged"
        bar = ("+" if change > 0 else "-") * max(1, round(abs(change) / longest * _WIDTH)) if change else ""
        rows.append((one.over or "base", one.value, total, _difference(one, base), bar, _how(one)))
    return printed([*notes, base.request.conditions, *aligned(rows, right={2, 3})])


def render_json(effects: Sequence[Effect]) -> str:
    """As the JSON report of measurements, with `over`, `value`, `difference_bytes` and `same_as` added to each."""
    rows: list[dict[str, Any]] = []
    for one in effects:
        change = one.bytes_more_than(effects[0])
        row = Measurement.of("af3mem vary", one.request, one.answer).to_json()
        rows.append({"over": one.over, "value": one.value, "difference_bytes": change, "same_as": one.same_as, **row})
    return document(measurements=rows)


def _difference(effect: Effect, base: Effect) -> str:
    change = effect.bytes_more_than(base)
    if not effect.over or change is None or not isinstance(base.answer, Peak):
        return ""
    if not change:
        return "none"
    return f"{signed(change)} ({change / base.answer.total_bytes * 100:+.1f} %)"


def _how(effect: Effect) -> str:
    if not isinstance(effect.answer, Peak):
        return str(effect.answer)
    if effect.same_as is not None:
        return f"the same program as {effect.same_as}"
    return origin(effect.answer)
