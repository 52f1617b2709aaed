"""Effects of a controlled experiment in, text and JSON out."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.vary import Effect
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, change, origin, printed
from pytest_af3mem.reports.json import document, row

_WIDTH = 24  # of the longest bar


def render_text(effects: Sequence[Effect], notes: Sequence[str] = ()) -> str:
    """One line an effect: what was changed, the peak, how far it is from the base, a bar of that, and where it came from."""
    base = effects[0]
    longest = max(abs(one.bytes_more_than(base) or 0) for one in effects)
    rows = [("over", "value", "total", "difference", "", "how")]
    for one in effects:
        total, difference, bar, how = "not judged", "", "", str(one.answer)
        if isinstance(one.answer, Peak):
            total = format_bytes(one.answer.total_bytes)
            how = origin(one.answer) if one.same_as is None else f"the same program as {one.same_as}"
            if one.over and isinstance(base.answer, Peak):
                difference = change(base.answer.total_bytes, one.answer.total_bytes, 1)
        if more := one.bytes_more_than(base):
            bar = ("+" if more > 0 else "-") * max(1, round(abs(more) / longest * _WIDTH))
        rows.append((one.over or "base", one.value, total, difference, bar, how))
    return printed([*notes, base.request.conditions, *aligned(rows, right={2, 3})])


def render_json(effects: Sequence[Effect]) -> str:
    """As the JSON report of measurements, with `over`, `value`, `difference_bytes` and `same_as` added to each."""
    rows = []
    for one in effects:
        more = {"over": one.over, "value": one.value, "difference_bytes": one.bytes_more_than(effects[0]), "same_as": one.same_as}
        rows.append(row("vary", one.request, one.answer, **more))
    return document(measurements=rows)
