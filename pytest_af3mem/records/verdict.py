"""A peak, a budget and a baseline in, a verdict out: within, over, or not judged with the reason. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pytest_af3mem.errors import NotJudged, OutOfMemory, shown
from pytest_af3mem.gpus.size import EXACT, Size, format_bytes
from pytest_af3mem.records.baseline import Entry, changed_defaults, differing_versions
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.timeline import Timeline


class Outcome(Enum):
    """Only WITHIN is a pass. BELOW is so far below the baseline that the gain has to be accepted, where that was asked for."""

    WITHIN = "within"
    BELOW = "below"
    OVER = "over"
    NOT_JUDGED = "not judged"


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Over, then not judged, then below, then within."""
    found = set(outcomes)
    return next(one for one in (Outcome.OVER, Outcome.NOT_JUDGED, Outcome.BELOW, Outcome.WITHIN) if one in found)


@dataclass(frozen=True)
class Verdict:
    """One peak compared with a budget, a baseline or both; `line` says all of it.

    `improved` is a peak so far below the baseline that the baseline should be updated.
    """

    outcome: Outcome
    line: str
    reason: str | None = None
    budget_bytes: int | None = None
    baseline_bytes: int | None = None
    improved: bool = False


@dataclass(frozen=True)
class Reference:
    """What the baseline says of a measurement: the entry to compare with, or for what `reason` there is none.

    A peak may be `tolerance` larger, and `tolerance_below` smaller (None: as small as it likes); percentages are of the entry.
    When `accepting`, the baseline is being updated and nothing is over it. `accept` is the command that does so for this test,
    `accept_all` the one that accepts all of the run. `timeline` is that of the entry, where it was measured now.
    """

    entry: Entry | None
    reason: str | None = None
    tolerance: Size = EXACT
    tolerance_below: Size | None = None
    accepting: bool = False
    accept: str | None = None
    accept_all: str | None = None
    timeline: Timeline | None = None


@dataclass(frozen=True)
class _Side:
    """One of the two judgements: its part of the line, a note that ends the line, and why it could not be made."""

    outcome: Outcome
    text: str = ""
    note: str = ""
    reason: str | None = None
    improved: bool = False


def judge(peak: Peak, budget_bytes: int | None, reference: Reference | None = None) -> Verdict:
    """Within means at most the budget and at most the baseline with its tolerance; one byte more is over.

    The worse of the two judgements counts (`worst`).
    """
    sides = [] if budget_bytes is None else [_against_budget(peak.total_bytes, budget_bytes)]
    sides += [] if reference is None else [_against_baseline(peak, reference)]
    outcome = worst(side.outcome for side in sides)
    reason = next((side.reason for side in sides if side.reason), None)
    if outcome is Outcome.NOT_JUDGED:
        line = f"GPU peak not judged: {reason} {peak.conditions}"
    else:
        relations = " and ".join(side.text for side in sides if side.outcome is outcome)
        notes = "".join(f"; {note}" for side in sides if (note := side.reason or side.note))
        line = f"GPU peak {format_bytes(peak.total_bytes)} is {relations} {peak.conditions}{notes}"
    baseline_bytes = reference.entry.total_bytes if reference and reference.entry else None
    return Verdict(outcome, shown(line), reason, budget_bytes, baseline_bytes, any(side.improved for side in sides))


def _against_budget(total_bytes: int, budget_bytes: int) -> _Side:
    limit, difference = format_bytes(budget_bytes), _difference(total_bytes, budget_bytes)
    if total_bytes > budget_bytes:
        return _Side(Outcome.OVER, f"over the budget of {limit} by {difference}")
    return _Side(Outcome.WITHIN, f"within the budget of {limit} with {difference} to spare")


def _against_baseline(peak: Peak, reference: Reference) -> _Side:
    entry, tolerance = reference.entry, reference.tolerance
    if entry is None:
        if reference.accepting:
            return _Side(Outcome.WITHIN, "accepted as the first baseline")
        return _Side(Outcome.NOT_JUDGED, reason=reference.reason)
    excess, allowed_bytes = peak.total_bytes - entry.total_bytes, tolerance.of(entry.total_bytes)
    old, difference = format_bytes(entry.total_bytes), _difference(peak.total_bytes, entry.total_bytes)
    measured = Entry.of(entry.test, peak)
    others = differing_versions(entry, measured)
    note = "; ".join(changed_defaults(entry, measured) + ([f"the baseline is of {'; '.join(others)}"] if others else []))
    if reference.accepting:
        relation = f"{'above' if excess > 0 else 'below'} the one before of {old} by {difference}" if excess else "as before"
        return _Side(Outcome.WITHIN, f"accepted as the baseline, {relation}", note)
    if excess > allowed_bytes:
        allowed = f", more than its tolerance of {tolerance}" if allowed_bytes else ""
        return _Side(Outcome.OVER, f"over the baseline of {old} by {difference}{allowed}", note)
    below = reference.tolerance_below
    if below is not None and -excess > below.of(entry.total_bytes):
        text = f"below the baseline of {old} by {difference}, more than --af3-tolerance-below {below}: accept the gain"
        return _Side(Outcome.BELOW, text, note, improved=True)
    if excess < -allowed_bytes:
        note = f"improved, update the baseline{f'; {note}' if note else ''}"
        return _Side(Outcome.WITHIN, f"below the baseline of {old} by {difference}", note, improved=True)
    if excess:
        way = "above" if excess > 0 else "below"
        return _Side(Outcome.WITHIN, f"within {tolerance} of the baseline of {old}, {way} by {difference}", note)
    return _Side(Outcome.WITHIN, f"at the baseline of {old}", note)


def _difference(total_bytes: int, limit_bytes: int) -> str:
    excess = abs(total_bytes - limit_bytes)
    return format_bytes(excess) + (f" ({percent(excess, limit_bytes)})" if limit_bytes else "")


def percent(part: int, whole: int, sign: str = "") -> str:
    """`part` of `whole` as percent; from a hundred times on as times, for percent of a few bytes say nothing."""
    ratio = part / whole
    if abs(ratio) >= 100:
        return f"{ratio:{sign},.0f} times"
    return f"{ratio * 100:{sign}.1f} %"


def not_judged(reason: str, conditions: str, budget_bytes: int | None = None) -> Verdict:
    """A measurement that gave no number: never a pass. The reason may be a worker's own words."""
    reason = shown(reason)
    return Verdict(Outcome.NOT_JUDGED, f"GPU peak not judged: {reason} {conditions}", reason, budget_bytes)


def unmeasured(error: NotJudged, conditions: str, budget_bytes: int | None = None) -> Verdict:
    """The verdict on a measurement without a number: over where a real GPU ran out of memory, else not judged."""
    if isinstance(error, OutOfMemory):
        reason = shown(str(error))
        return Verdict(Outcome.OVER, f"GPU peak is over: {reason} {conditions}", reason, budget_bytes)
    return not_judged(str(error), conditions, budget_bytes)
