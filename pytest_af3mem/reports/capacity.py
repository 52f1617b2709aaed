"""What fits which target in, text, JSON and Markdown out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.capacity import Capacity
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, markdown_table, size
from pytest_af3mem.reports.json import document

_HEADINGS = ("target", "memory", "fits up to", "needs", "headroom", "next", "needs", "spills")


def render_text(found: Sequence[Capacity], fraction: Size, notes: Sequence[str] = ()) -> str:
    """One line a target, and what the columns mean; then why targets are not judged."""
    lines = [
        *notes,
        *aligned([_HEADINGS, *map(_row, found)], right={1, 2, 3, 4, 6, 7}),
        "",
        f"fits: within {fraction} of the memory; headroom is the rest of that. next: inputs of all these sizes need the same and",
        "do not fit; spills: what of it would lie in host memory where memory is unified, which TF_FORCE_UNIFIED_MEMORY allows.",
        *_unjudged(found),
    ]
    return "\n".join([*lines, ""])


def _unjudged(found: Sequence[Capacity]) -> list[str]:
    """A line for each reason, with all targets that have it."""
    targets: dict[str, list[str]] = {}
    for one in found:
        if one.reason:
            targets.setdefault(one.reason, []).append(one.target.name)
    return [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not judged further: {shown(reason)}"
        for reason, names in targets.items()
    ]


def render_markdown(found: Sequence[Capacity], fraction: Size) -> str:
    """The same as a Markdown document, with the day and what it was measured with."""
    peak = next((peak for one in found for peak in (one.fits, one.beyond) if peak), None)
    made = f"Measured by `af3mem plan` on {datetime.date.today():%Y-%m-%d}"
    if peak:
        software = ", ".join(f"{name} {peak.software[name]}" for name in ("jax", "tokamax") if peak.software.get(name))
        made += f", {peak.method}: {peak.model.name}, of {peak.model.distribution} with {software}"
    lines = [
        "# The largest input that fits",
        "",
        f"{shown(made)}.",
        "",
        f"Fits: the largest padded size in tokens that needs at most {fraction} of the target's memory; headroom is the rest of",
        "that. Next: inputs of all these sizes need the same, which does not fit, and spills into host memory by so much where",
        "memory is unified.",
        "",
        *markdown_table([_HEADINGS, *map(_row, found)], right=range(1, len(_HEADINGS))),
        *(f"\n{line}" for line in _unjudged(found)),
    ]
    return "\n".join([*lines, ""])


def render_json(found: Sequence[Capacity], fraction: Size, jobs: Mapping[str, Any] | None = None) -> str:
    """Each target with the largest peak that fits and the smallest that does not, as measurements; and `jobs`."""
    rows = [
        {
            "target": one.target.name,
            "memory_bytes": one.target.memory_bytes,
            "limit_bytes": one.limit_bytes,
            "fits": _peak(one.fits),
            "beyond": _peak(one.beyond),
            "headroom_bytes": one.headroom_bytes,
            "excess_bytes": one.excess_bytes,
            "reason": one.reason or None,
        }
        for one in found
    ]
    return document(fraction=str(fraction), capacities=rows, **(jobs or {}))


def _peak(peak: Peak | None) -> dict[str, Any] | None:
    return None if peak is None else {**peak.to_json(), "holders": [], "high_water": {}, "timeline": None}


def _row(one: Capacity) -> tuple[str, ...]:
    fits, beyond = one.fits, one.beyond
    least = fits.bucket + 1 if fits and fits.bucket else 1
    return (
        one.target.name,
        size(one.target.memory_bytes),
        str(fits.bucket) if fits else "not judged" if one.reason else "none",
        size(fits.total_bytes if fits else None),
        size(one.headroom_bytes),
        (str(least) if least == beyond.bucket else f"{least}-{beyond.bucket}") if beyond and not one.reason else "-",
        size(beyond.total_bytes if beyond else None),
        size(one.excess_bytes),
    )
