"""A peak and a budget in, a verdict out: within, over, or not judged with the reason. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pytest_af3mem.peak import Peak
from pytest_af3mem.size import format_bytes


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

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.WITHIN


def judge(peak: Peak, budget_bytes: int) -> Verdict:
    """Within means at most the budget; one byte more is over."""
    excess = peak.total_bytes - budget_bytes
    share = f"{abs(excess) / budget_bytes:.1%}".replace("%", " %")
    if excess > 0:
        outcome, relation = Outcome.OVER, f"over the budget of {format_bytes(budget_bytes)} by {format_bytes(excess)} ({share})"
    else:
        outcome, relation = Outcome.WITHIN, f"within the budget of {format_bytes(budget_bytes)}, {format_bytes(-excess)} ({share}) left"
    line = f"GPU peak {format_bytes(peak.total_bytes)} is {relation} {peak.conditions}"
    return Verdict(outcome, line, budget_bytes=budget_bytes)


def not_judged(reason: str, conditions: str, budget_bytes: int | None = None) -> Verdict:
    """A measurement that gave no number: never a pass."""
    return Verdict(Outcome.NOT_JUDGED, f"GPU peak not judged: {reason} {conditions}", reason=reason, budget_bytes=budget_bytes)
