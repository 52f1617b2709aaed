"""A bisection in, a line for each test, text and JSON out."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_af3mem.errors import NotJudged, shown
from pytest_af3mem.gpus.size import EXACT, Size, format_bytes
from pytest_af3mem.planning.bisect import Bisection, Revision, Tested
from pytest_af3mem.records.holders import by_component, grown
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.reports import growth
from pytest_af3mem.reports.columns import change, origin, printed
from pytest_af3mem.reports.json import document, row


def line(one: Tested, tolerance: Size) -> str:
    """What came of one test, as soon as it is known: columns of a fixed width, for nobody knows what follows."""
    outcome = one.outcome(tolerance)
    if isinstance(one.answer, NotJudged):
        why = ": ".join(part for part in (one.revision.subject, str(one.answer)) if part)
        return shown(f"{one.role or 'skipped':<7}  {one.revision.name:<12}  {why}")
    difference = change(one.against.total_bytes, one.answer.total_bytes, 2) if one.against else "not judged"
    columns = f"{one.revision.name:<12}  {format_bytes(one.answer.total_bytes):>11}  {difference:>22}  {origin(one.answer):<18}"
    return shown(f"{one.role or outcome.value:<7}  {columns}  {one.revision.subject}".rstrip())


def render_text(found: Bisection, command: str) -> str:
    """What is found, what grew with it, and the commands that show it. `command` compares the two sides of the growth."""
    kind = found.history.kind
    lines = [*found.notes, ""]
    if found.outcome is Outcome.NOT_JUDGED:
        last = found.tested[-1]
        detail = last.answer.detail.splitlines() if isinstance(last.answer, NotJudged) else []
        lines += [f"{last.role} is not judged: {last.answer}", *(f"    {one}" for one in detail)]
    elif not found.candidates:
        within = "" if found.tolerance == EXACT else f" by more than {found.tolerance}"
        lines.append(f"BAD does not need more than GOOD{within}: there is no {kind} to find")
    elif len(found.candidates) == 1:
        lines += [f"the first {kind} that needs more is {_described(found.candidates[0])}"]
    else:
        lines.append(
            f"the first {kind} that needs more is one of these {len(found.candidates)}; but for the last none is judged:"
        )
        lines += [f"  {_described(one)}" for one in found.candidates]
    if found.peaks and found.before and found.after:
        before, after = found.peaks
        difference = change(before.total_bytes, after.total_bytes, 2)
        lines += ["", f"from {found.before.revision.name} to {found.after.revision.name}: {difference}"]
        lines += [f"  {one}" for one in growth.changes(before, after)]
        lines += ["", command, *([show] if (show := found.history.command(found.after.revision.id)) else [])]
    return printed(lines)


def render_json(found: Bisection) -> str:
    """As the JSON report of measurements, with the `revision` of each. `candidates` is one where the answer is certain."""
    tested = [
        {
            **_fields(one.revision),
            "role": one.role or None,
            "verdict": one.outcome(found.tolerance).value,
            "reason": str(one.answer) if isinstance(one.answer, NotJudged) else None,
            "total_bytes": one.answer.total_bytes if isinstance(one.answer, Peak) else None,
            "difference_bytes": one.difference_bytes,
        }
        for one in found.tested
    ]
    rows = [row("bisect", one.request, one.answer, revision=one.revision.id) for one in found.tested if one.request]
    return document(
        kind=found.history.kind,
        good=found.history.good,
        bad=found.history.bad,
        tolerance=str(found.tolerance),
        verdict=found.outcome.value,
        candidates=[_fields(one) for one in found.candidates],
        grown=[dataclasses.asdict(one) for one in grown(*map(by_component, found.peaks))] if found.peaks else [],
        tested=tested,
        measurements=rows,
    )


def _described(one: Revision) -> str:
    return ", ".join(part for part in (one.name, one.date, one.author, one.subject) if part)


def _fields(one: Revision) -> dict[str, Any]:
    return {"revision": one.id, "subject": one.subject, "author": one.author, "date": one.date}
