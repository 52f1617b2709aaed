"""A comparison of two sides in, text and JSON out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.compare import Comparison, OldAndNew, Side
from pytest_af3mem.records.holders import by_component, grown
from pytest_af3mem.reports import growth
from pytest_af3mem.reports.columns import aligned, change, printed, signed
from pytest_af3mem.reports.json import document, row

_MOST_PINS = 8  # in a line


def render_text(found: Comparison) -> str:
    """Both sides, a line a size, what grew at each, and what differs besides."""
    lines = [f"OLD  {found.old.text}", f"NEW  {found.new.text}", *filter(None, map(_pins, (found.old, found.new))), ""]
    rows = [("tokens", "bucket", "target", "old", "new", "difference", "verdict")]
    lines += aligned([*rows, *(_row(pair, found) for pair in found.pairs)], right={0, 1, 3, 4, 5})
    sizes_of: dict[tuple[str, ...], list[str]] = {}
    for pair in found.pairs:
        sizes_of.setdefault(tuple(_details(pair)), []).append(str(pair.asked[0].tokens))
    for details, sizes in sizes_of.items():  # often the same at all sizes, above all where a side cannot be measured
        lines += ["", f"at {', '.join(sizes)} tokens:", *(f"  {line}" for line in details)] if details else []
    lines += _differing(found)
    return printed([*found.notes, *lines])


def render_json(found: Comparison) -> str:
    """As the JSON report of measurements, with the `side` of each; `comparisons` holds them against each other."""
    rows, comparisons = [], []
    for pair in found.pairs:
        for side, request, answer in zip(("old", "new"), pair.asked, (pair.old, pair.new), strict=True):
            rows.append(row("compare", request, answer, side=side))
        changes = grown(*map(by_component, pair.peaks)) if pair.peaks else []
        comparisons.append(
            {
                "tokens": pair.asked[0].tokens,
                "difference_bytes": pair.difference_bytes,
                "verdict": pair.outcome(found.tolerance).value,
                "grown": [dataclasses.asdict(one) for one in changes],
            }
        )
    return document(
        old=found.old.text,
        new=found.new.text,
        tolerance=str(found.tolerance),
        verdict=found.outcome.value,
        comparisons=comparisons,
        pins={one.name.lower(): {"unmet": _asked(one), "has_own": one.has_own} for one in (found.old, found.new)},
        differing={name: {"old": old, "new": new} for name, (old, new) in found.differing.items()},
        measurements=rows,
    )


def _pins(side: Side) -> str:
    """What a side asks for that its interpreter does not have, in a line; empty where that is nothing."""
    if not side.unmet:
        return ""
    if side.has_own:
        return f"{side.name} is measured in an environment of its own, with {_few(_asked(side))}"
    said = [f"{name}{asked} ({has or 'not installed'})" for name, (asked, has) in side.unmet.items()]
    return f"{side.name} asks for {_few(said)}; it is measured with what is installed, and --with-pins measures it with its own"


def _asked(side: Side) -> list[str]:
    return [f"{name}{asked}" for name, (asked, _) in side.unmet.items()]


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_PINS
    return ", ".join(texts[:_MOST_PINS]) + (f" and {more} more" if more > 0 else "")


def _row(pair: OldAndNew, found: Comparison) -> tuple[str, ...]:
    old, new = pair.asked
    return (
        str(old.tokens),
        str(old.bucket) if old.bucket == new.bucket else f"{old.bucket} -> {new.bucket}",
        old.target,
        *(("-" if isinstance(one, NotJudged) else format_bytes(one.total_bytes)) for one in (pair.old, pair.new)),
        change(pair.peaks[0].total_bytes, pair.peaks[1].total_bytes, 2) if pair.peaks else "not judged",
        pair.outcome(found.tolerance).value,
    )


def _details(pair: OldAndNew) -> list[str]:
    """What grew and fell, or why a side was not judged; nothing where nothing differs."""
    lines = []
    for name, answer in (("OLD", pair.old), ("NEW", pair.new)):
        if isinstance(answer, NotJudged):
            lines += [f"{name} is not judged: {answer}", *(f"    {line}" for line in answer.detail.splitlines())]
    if pair.peaks:
        lines += growth.changes(*pair.peaks)
        live = [one.live_bytes for one in pair.peaks]
        if lines and live[0] is not None and live[1] is not None and live[0] != live[1]:
            lines.append(f"{signed(live[1] - live[0]):>13}  live peak, the same without fragmentation")
    return lines


def _differing(found: Comparison) -> list[str]:
    """What differs between the sides besides memory. Digests of sources say nothing to people but that they differ."""
    if not any(pair.peaks for pair in found.pairs):
        return []
    if not found.differing:
        return ["", "OLD and NEW have the same sources, settings and versions"]
    lines = [
        "the model's sources" if name == "sources" else f"{name}: {old or 'none'} -> {new or 'none'}"
        for name, (old, new) in found.differing.items()
    ]
    return ["", "what differs:", *(f"  {line}" for line in lines)]
