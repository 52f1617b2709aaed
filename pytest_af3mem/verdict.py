"""A peak, a budget and a baseline in, a verdict out: within, over, or not judged with the reason. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pytest_af3mem import records
from pytest_af3mem.attribution import explained
from pytest_af3mem.baseline import Entry, differing_versions
from pytest_af3mem.errors import InputError, NotJudged, OutOfMemory
from pytest_af3mem.peak import Peak
from pytest_af3mem.records import Filled, Positive
from pytest_af3mem.reports.columns import shown
from pytest_af3mem.request import Request
from pytest_af3mem.size import EXACT, Size, format_bytes

SCHEMA = 1
HOLDERS = 10  # of a peak, in reports

_NO_PEAK: dict[str, Any] = {
    **dict.fromkeys(item.name for item in dataclasses.fields(Peak)),
    "seconds": 0.0,
    "cached": False,
}


class Outcome(Enum):
    """Only WITHIN is a pass."""

    WITHIN = "within"
    OVER = "over"
    NOT_JUDGED = "not judged"


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Over, then not judged, then within."""
    found = set(outcomes)
    return next(one for one in (Outcome.OVER, Outcome.NOT_JUDGED, Outcome.WITHIN) if one in found)


@dataclass(frozen=True)
class Verdict:
    """What came of holding one peak against a budget, a baseline or both; `line` is the whole story in one line.

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

    A peak may be `tolerance` larger, of which percentages are of the entry. When `accepting`, the baseline is being updated
    and nothing is over it. `accept` is the command that does so.
    """

    entry: Entry | None
    reason: str | None = None
    tolerance: Size = EXACT
    accepting: bool = False
    accept: str | None = None


@dataclass(frozen=True)
class _Side:
    """One of the two judgements: its part of the line, what stands behind the line, and why it could not be made."""

    outcome: Outcome
    text: str = ""
    note: str = ""
    reason: str | None = None
    improved: bool = False


def judge(peak: Peak, budget_bytes: int | None, reference: Reference | None = None) -> Verdict:
    """Within means at most the budget and at most the baseline with its tolerance; one byte more is over.

    The worse of the two judgements counts: over, then not judged, then within.
    """
    sides = [] if budget_bytes is None else [_against_budget(peak.total_bytes, budget_bytes)]
    sides += [] if reference is None else [_against_baseline(peak, reference)]
    outcome = worst(side.outcome for side in sides)
    reason = next((side.reason for side in sides if side.reason), None)
    entry = reference.entry if reference else None
    found = Verdict(outcome, "", reason, budget_bytes, entry.total_bytes if entry else None, any(side.improved for side in sides))
    if outcome is Outcome.NOT_JUDGED:
        return dataclasses.replace(found, line=shown(f"GPU peak not judged: {reason} {peak.conditions}"))
    told = " and ".join(side.text for side in sides if side.outcome is outcome)
    notes = "".join(f"; {note}" for side in sides if (note := side.reason or side.note))
    return dataclasses.replace(found, line=shown(f"GPU peak {format_bytes(peak.total_bytes)} is {told} {peak.conditions}{notes}"))


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
    others = differing_versions(entry, Entry.of(entry.test, peak))
    note = f"the baseline is of {'; '.join(others)}" if others else ""
    if reference.accepting:
        relation = f"{'above' if excess > 0 else 'below'} the one before of {old} by {difference}" if excess else "as before"
        return _Side(Outcome.WITHIN, f"accepted as the baseline, {relation}", note)
    if excess > allowed_bytes:
        allowed = f", more than its tolerance of {tolerance}" if allowed_bytes else ""
        return _Side(Outcome.OVER, f"over the baseline of {old} by {difference}{allowed}", note)
    if excess < -allowed_bytes:
        improved = "improved, update the baseline"
        return _Side(
            Outcome.WITHIN,
            f"below the baseline of {old} by {difference}",
            f"{improved}; {note}" if note else improved,
            improved=True,
        )
    if excess:
        way = "above" if excess > 0 else "below"
        return _Side(Outcome.WITHIN, f"within {tolerance} of the baseline of {old}, {way} by {difference}", note)
    return _Side(Outcome.WITHIN, f"at the baseline of {old}", note)


def _difference(total_bytes: int, limit_bytes: int) -> str:
    excess = abs(total_bytes - limit_bytes)
    return format_bytes(excess) + (f" ({percent(excess, limit_bytes)})" if limit_bytes else "")


def percent(part: int, whole: int, sign: str = "") -> str:
    """A share as it is told; from a hundred times on as times, for percent of a few bytes say nothing."""
    ratio = part / whole
    if abs(ratio) >= 100:
        return f"{ratio:{sign},.0f} times"
    return f"{ratio * 100:{sign}.1f} %"


def not_judged(reason: str, conditions: str, budget_bytes: int | None = None) -> Verdict:
    """A measurement that gave no number: never a pass. The reason may be a worker's own words."""
    reason = shown(reason)
    return Verdict(Outcome.NOT_JUDGED, f"GPU peak not judged: {reason} {conditions}", reason, budget_bytes)


def unmeasured(error: NotJudged, conditions: str, budget_bytes: int | None = None) -> Verdict:
    """What no number comes to: over where a real GPU ran out of memory, else not judged."""
    if isinstance(error, OutOfMemory):
        reason = shown(str(error))
        return Verdict(Outcome.OVER, f"GPU peak is over: {reason} {conditions}", reason, budget_bytes)
    return not_judged(str(error), conditions, budget_bytes)


@dataclass(frozen=True)
class Measurement:
    """One line of every report: which test asked, what was measured, how it was judged (None: against nothing).

    `peak` is None when nothing was measured, and the verdict is then NOT_JUDGED, as it is for a peak that has no baseline to be
    held against; or OVER, where a real GPU ran out of memory. `baseline` is the entry that the peak was compared with, and
    `accept` the command that makes the peak the new baseline, where the old one refuses it. `command` measures the same again
    from a shell. `input` is the file in which the AlphaFold 3 JSON of a failed one was kept. `detail` is what a failed worker
    printed last; it is for the terminal and not in reports.
    """

    test: str
    tokens: int
    bucket: int
    target: str
    method: str
    peak: Peak | None
    verdict: Verdict | None
    command: str | None = None
    input: str | None = None
    accept: str | None = None
    baseline: Entry | None = None
    detail: str = ""

    def to_json(self, holders: int | None = HOLDERS) -> dict[str, Any]:
        """One entry of the JSON report, schema 1, with so many `holders` of the peak, the largest first (None: all)."""
        judged = self.verdict or Verdict(Outcome.WITHIN, "")
        peak = self.peak.to_json() if self.peak else _NO_PEAK
        return {
            "test": self.test,
            **peak,
            "tokens": self.tokens,
            "bucket": self.bucket,
            "target": self.target,
            "method": self.method,
            "budget_bytes": judged.budget_bytes,
            "baseline_bytes": judged.baseline_bytes,
            "verdict": self.verdict.outcome.value if self.verdict else None,
            "reason": judged.reason,
            "line": judged.line or None,
            "improved": judged.improved,
            "command": self.command,
            "input": self.input,
            "holders": list(peak["holders"] or ())[:holders],
            "explained": round(explained(self.peak), 4) if self.peak and self.peak.holders else None,
            "accept": self.accept,
            "baseline": self.baseline.to_json() if self.baseline else None,
        }

    @classmethod
    def of(
        cls,
        test: str,
        request: Request,
        answer: Peak | NotJudged,
        *,
        budget_bytes: int | None = None,
        reference: Reference | None = None,
        command: str | None = None,
    ) -> Measurement:
        """The answer to a request, judged against a budget and a baseline where there are such."""
        verdict, accept = None, None
        if isinstance(answer, NotJudged):
            verdict = unmeasured(answer, request.conditions, budget_bytes)
        elif budget_bytes is not None or reference is not None:
            verdict = judge(answer, budget_bytes, reference)
            if reference is not None and judge(answer, None, reference).outcome is not Outcome.WITHIN:
                accept = reference.accept
        return cls(
            test=test,
            tokens=request.tokens,
            bucket=request.bucket,
            target=request.target,
            method=request.method,
            peak=answer if isinstance(answer, Peak) else None,
            verdict=verdict,
            command=command,
            accept=accept,
            baseline=reference.entry if reference and isinstance(answer, Peak) else None,
            detail=answer.detail if isinstance(answer, NotJudged) else "",
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of `to_json`, but for holders that were left out. Raises InputError for what is no such entry."""
        known = records.read(_Row, data, others=True)
        verdict = None
        if known.verdict is not None:
            judged = (known.line or "", known.reason, known.budget_bytes, known.baseline_bytes, known.improved)
            verdict = Verdict(_outcome(known.verdict), *judged)
        places = (known.test, known.tokens, known.bucket, known.target, known.method)
        return cls(
            *places,
            peak=None if data.get("total_bytes") is None else Peak.from_json(data),
            verdict=verdict,
            command=known.command,
            input=known.input,
            accept=known.accept,
            baseline=known.baseline,
        )


@dataclass(frozen=True)
class _Row:
    """What stands in a report's entry beside the peak."""

    test: Filled
    tokens: Positive
    bucket: Positive
    target: Filled
    method: Filled
    verdict: str | None
    line: str | None
    reason: str | None
    budget_bytes: int | None
    baseline_bytes: int | None
    command: str | None
    input: str | None
    accept: str | None
    baseline: Entry | None
    improved: bool = False


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError:
        raise InputError("verdict", f"must be {', '.join(one.value for one in Outcome)} or null", repr(text)) from None
