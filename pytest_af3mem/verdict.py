"""A peak and a budget in, a verdict out: within, over, or not judged with the reason. Pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pytest_af3mem.attribution import explained
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.peak import Peak
from pytest_af3mem.request import Request
from pytest_af3mem.size import format_bytes

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


@dataclass(frozen=True)
class Verdict:
    """What came of holding one peak against one budget; `line` is the whole story in one line."""

    outcome: Outcome
    line: str
    reason: str | None = None
    budget_bytes: int | None = None


def judge(peak: Peak, budget_bytes: int) -> Verdict:
    """Within means at most the budget; one byte more is over."""
    excess = peak.total_bytes - budget_bytes
    difference = format_bytes(abs(excess)) + (f" ({abs(excess) / budget_bytes * 100:.1f} %)" if budget_bytes else "")
    relation = "over" if excess > 0 else "within"
    line = (
        f"GPU peak {format_bytes(peak.total_bytes)} is {relation} the budget of {format_bytes(budget_bytes)} "
        f"{'by' if excess > 0 else 'with'} {difference}{'' if excess > 0 else ' to spare'} {peak.conditions}"
    )
    return Verdict(Outcome.OVER if excess > 0 else Outcome.WITHIN, line, budget_bytes=budget_bytes)


def not_judged(reason: str, conditions: str, budget_bytes: int | None = None) -> Verdict:
    """A measurement that gave no number: never a pass."""
    return Verdict(Outcome.NOT_JUDGED, f"GPU peak not judged: {reason} {conditions}", reason, budget_bytes)


@dataclass(frozen=True)
class Measurement:
    """One line of every report: which test asked, what was measured, how it was judged (None: against nothing).

    `peak` is None exactly when the verdict is NOT_JUDGED. `command` measures the same again from a shell. `input` is the file
    in which the AlphaFold 3 JSON of a failed one was kept. `detail` is what a failed worker printed last; it is for the
    terminal and not in reports.
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
            "baseline_bytes": None,
            "verdict": self.verdict.outcome.value if self.verdict else None,
            "reason": judged.reason,
            "line": judged.line or None,
            "command": self.command,
            "input": self.input,
            "holders": list(peak["holders"] or ())[:holders],
            "explained": round(explained(self.peak), 4) if self.peak and self.peak.holders else None,
        }

    @classmethod
    def of(
        cls, test: str, request: Request, answer: Peak | NotJudged, *, budget_bytes: int | None = None, command: str | None = None
    ) -> Measurement:
        """The answer to a request, judged against a budget where there is one."""
        if isinstance(answer, NotJudged):
            verdict: Verdict | None = not_judged(str(answer), request.conditions, budget_bytes)
        else:
            verdict = None if budget_bytes is None else judge(answer, budget_bytes)
        return cls(
            test=test,
            tokens=request.tokens,
            bucket=request.bucket,
            target=request.target,
            method=request.method,
            peak=answer if isinstance(answer, Peak) else None,
            verdict=verdict,
            command=command,
            detail=answer.detail if isinstance(answer, NotJudged) else "",
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        verdict = (
            Verdict(Outcome(data["verdict"]), data["line"], data["reason"], data["budget_bytes"]) if data["verdict"] else None
        )
        peak = None if data["total_bytes"] is None else Peak.from_json(data)
        places = {name: data[name] for name in ("test", "tokens", "bucket", "target", "method", "command", "input")}
        return cls(**places, peak=peak, verdict=verdict)
