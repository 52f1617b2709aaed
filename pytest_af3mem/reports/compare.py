"""A comparison of two sides in; text, JSON and annotations for GitHub out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.compare import Comparison, OldAndNew, Side
from pytest_af3mem.planning.hunks import Hunk, Share
from pytest_af3mem.records.holders import by_component, grown
from pytest_af3mem.records.read_program import Planned, ReadProgram
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.reports import growth, read
from pytest_af3mem.reports.columns import aligned, change, printed, signed
from pytest_af3mem.reports.github import annotation
from pytest_af3mem.reports.json import document, row

_MOST_HUNKS = _MOST_ANNOTATIONS = 10
_MOST_PINS = 8  # in a line


def render_text(found: Comparison) -> str:
    """Both sides, a line a size, what grew at each, and what differs besides."""
    lines = [f"OLD  {found.old.text}", f"NEW  {found.new.text}", *filter(None, map(_pins, (found.old, found.new))), ""]
    rows = [("tokens", "bucket", "target", "old", "new", "difference", "verdict"), *(_row(pair, found) for pair in found.pairs)]
    if not any(pair.asked for pair in found.pairs):
        rows = [row[3:] for row in rows]  # of compiled programs no tokens are known
    lines += aligned(rows, right={at for at, heading in enumerate(rows[0]) if heading not in ("target", "verdict")})
    sizes_of: dict[tuple[str, ...], list[str]] = {}
    for pair in found.pairs:
        sizes_of.setdefault((*_details(pair), *_by_hunk(found.by_hunk(pair))), []).append(_tokens(pair))
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
                "by_hunk": [_share(one) for one in found.by_hunk(pair)] or None,
            }
        )
    return document(
        old=found.old.text,
        new=found.new.text,
        tolerance=str(found.tolerance),
        verdict=found.outcome.value,
        comparisons=comparisons,
        pins={
            one.name.lower(): {"unmet": _asked(one), "has_own": one.has_own, "brought": one.brought}
            for one in (found.old, found.new)
        },
        differing={name: {"old": old, "new": new} for name, (old, new) in found.differing.items()},
        measurements=rows,
    )


def annotate(found: Comparison) -> list[str]:
    """One for each hunk whose lines hold more, at its first changed line; the ten that grew most, as GitHub shows of a step."""
    grown: dict[Hunk, list[tuple[OldAndNew, Share]]] = {}
    for pair in found.pairs:
        for share in found.by_hunk(pair):
            if share.hunk and share.hunk.new.file and share.difference_bytes > 0:
                grown.setdefault(share.hunk, []).append((pair, share))
    most = {hunk: max(shares, key=lambda one: one[1].difference_bytes) for hunk, shares in grown.items()}
    lines = []
    for hunk in sorted(grown, key=lambda one: -most[one][1].difference_bytes)[:_MOST_ANNOTATIONS]:
        is_over = any(pair.outcome(found.tolerance) is Outcome.OVER for pair, _ in grown[hunk])
        pair, share = most[hunk]
        title = f"{signed(share.difference_bytes)} at {_tokens(pair)} tokens"
        messages = (
            f"{hunk} holds {signed(one.difference_bytes)} of the peak at {_tokens(at)} tokens: "
            f"{format_bytes(one.before_bytes)} -> {format_bytes(one.after_bytes)}"
            for at, one in grown[hunk]
        )
        lines.append(annotation("error" if is_over else "notice", hunk.new.file, hunk.changed, title, "\n".join(messages)))
    return lines


def _by_hunk(shares: Sequence[Share]) -> list[str]:
    """A table of the hunks whose lines hold something, and of what no hunk touches; nothing where no bytes moved."""
    if not any(one.difference_bytes for one in shares):
        return []
    *hunks, elsewhere = shares
    named = [(str(one.hunk), one) for one in hunks[:_MOST_HUNKS]]
    if rest := hunks[_MOST_HUNKS:]:
        sums = sum(one.before_bytes for one in rest), sum(one.after_bytes for one in rest)
        named.append((f"{len(rest)} other hunks", Share(None, *sums)))
    rows = [("by hunk", "before", "after", "difference")]
    for name, one in [*named, ("elsewhere", elsewhere)]:
        difference = signed(one.difference_bytes) if one.difference_bytes else "none"
        rows.append((name, format_bytes(one.before_bytes), format_bytes(one.after_bytes), difference))
    return aligned(rows, right={1, 2, 3})


def _share(one: Share) -> dict[str, Any]:
    hunk = one.hunk
    lines = hunk and (hunk.new if hunk.new.count else hunk.old)
    return {
        "hunk": str(hunk) if hunk else "elsewhere",
        "file": lines and lines.file,
        "first_line": lines and lines.first,
        "last_line": lines and lines.first + lines.count - 1,
        "before_bytes": one.before_bytes,
        "after_bytes": one.after_bytes,
        "difference_bytes": one.difference_bytes,
    }


def _measurement(found: Comparison, pair: OldAndNew, at: int, answer: Planned | NotJudged, side: str) -> dict[str, Any]:
    """One answer as JSON; of a compiled program as `af3mem read` has it."""
    program = (found.old, found.new)[at].program
    if isinstance(answer, ReadProgram):
        return read.row(answer, side=side)
    if program or pair.asked is None:
        return {"side": side, "file": str(program), "total_bytes": None, "reason": str(answer)}
    return row("compare", pair.asked[at], answer, side=side)


def _tokens(pair: OldAndNew) -> str:
    """Of the input on both sides; empty for compiled programs, of which they are not known."""
    return f"{pair.asked[0].tokens}" if pair.asked else ""


def _pins(side: Side) -> str:
    """What a side asks for that its interpreter does not have, in a line; empty where that is nothing."""
    if not side.unmet:
        return ""
    if side.has_own:
        brought = f", which brought {_few(side.brought)}" if side.brought else ""
        return f"{side.name} is measured in an environment of its own, with {_few(_asked(side))}{brought}"
    said = [f"{name}{asked} ({has or 'not installed'})" for name, (asked, has) in side.unmet.items()]
    return f"{side.name} asks for {_few(said)}; it is measured with what is installed, and --with-pins measures it with its own"


def _asked(side: Side) -> list[str]:
    return [f"{name}{asked}" for name, (asked, _) in side.unmet.items()]


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_PINS
    return ", ".join(texts[:_MOST_PINS]) + (f" and {more} more" if more > 0 else "")


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
