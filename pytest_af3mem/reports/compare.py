"""A comparison of two sides in, text and JSON out."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.compare import Comparison, OldAndNew
from pytest_af3mem.records.holders import by_component, grown
from pytest_af3mem.records.read_program import Planned, ReadProgram
from pytest_af3mem.reports import growth, read
from pytest_af3mem.reports.columns import aligned, change, printed, signed
from pytest_af3mem.reports.json import document, row


def render_text(found: Comparison) -> str:
    """Both sides, a line a size, what grew at each, and what differs besides."""
    lines = [f"OLD  {found.old.text}", f"NEW  {found.new.text}", ""]
    rows = [("tokens", "bucket", "target", "old", "new", "difference", "verdict"), *(_row(pair, found) for pair in found.pairs)]
    if not any(pair.asked for pair in found.pairs):
        rows = [row[3:] for row in rows]  # of compiled programs no tokens are known
    lines += aligned(rows, right={at for at, heading in enumerate(rows[0]) if heading not in ("target", "verdict")})
    sizes_of: dict[tuple[str, ...], list[str]] = {}
    for pair in found.pairs:
        sizes_of.setdefault(tuple(_details(pair)), []).append(f"{pair.asked[0].tokens}" if pair.asked else "")
    for details, sizes in sizes_of.items():  # often the same at all sizes, above all where a side cannot be measured
        where = f"at {', '.join(sizes)} tokens:" if any(sizes) else "at the peak:"
        lines += ["", where, *(f"  {line}" for line in details)] if details else []
    lines += _differing(found)
    return printed([*found.notes, *lines])


def render_json(found: Comparison) -> str:
    """As the JSON report of measurements, with the `side` of each; `comparisons` holds them against each other."""
    rows, comparisons = [], []
    for pair in found.pairs:
        for at, (side, answer) in enumerate((("old", pair.old), ("new", pair.new))):
            rows.append(_measurement(found, pair, at, answer, side=side))
        changes = grown(*map(by_component, pair.peaks)) if pair.peaks else []
        comparisons.append(
            {
                "tokens": pair.asked[0].tokens if pair.asked else None,
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
        differing={name: {"old": old, "new": new} for name, (old, new) in found.differing.items()},
        measurements=rows,
    )


def _measurement(found: Comparison, pair: OldAndNew, at: int, answer: Planned | NotJudged, side: str) -> dict[str, Any]:
    """One answer as JSON; of a compiled program as `af3mem read` has it."""
    program = (found.old, found.new)[at].program
    if isinstance(answer, ReadProgram):
        return read.row(answer, side=side)
    if program or pair.asked is None:
        return {"side": side, "file": str(program), "total_bytes": None, "reason": str(answer)}
    return row("compare", pair.asked[at], answer, side=side)


def _row(pair: OldAndNew, found: Comparison) -> tuple[str, ...]:
    of = ("-", "-", "-")
    if pair.asked:
        old, new = pair.asked
        of = (f"{old.tokens}", f"{old.bucket}" if old.bucket == new.bucket else f"{old.bucket} -> {new.bucket}", old.target)
    return (
        *of,
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
    if not found.differing and not found.has_programs:
        return ["", "OLD and NEW have the same sources, settings and versions"]
    lines = [
        "the model's sources" if name == "sources" else f"{name}: {old or 'none'} -> {new or 'none'}"
        for name, (old, new) in found.differing.items()
    ]
    unknown = ["", "what else differs is not known: a compiled program says neither settings nor versions"]
    differing = ["", "what differs:", *(f"  {line}" for line in lines)] if lines else []
    return differing + (unknown if found.has_programs else [])
