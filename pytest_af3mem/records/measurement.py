"""One row of a report: a peak or the reason why there is none, with its verdict and what it was compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import InputError, NotJudged
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.holders import explained
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request, conditions, of_function
from pytest_af3mem.records.timeline import Timeline
from pytest_af3mem.records.verdict import Outcome, Reference, Verdict, judge, unmeasured
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.typed import Filled, Positive

SCHEMA = 1
HOLDERS = 10  # of a peak, in reports


_NO_PEAK: dict[str, Any] = dict.fromkeys(item.name for item in dataclasses.fields(Peak)) | {"seconds": 0.0, "cached": False}


@dataclass(frozen=True)
class Measurement:
    """One line of every report: which test asked, what was measured, how it was judged (None: against nothing).

    `peak` is None when nothing was measured; the verdict is then NOT_JUDGED, or OVER where a real GPU ran out of memory.
    `settings` are those of the model that markers and options stated. `baseline` is the entry that the peak was compared with,
    and `baseline_timeline` that of its peak: a file of baselines keeps none, another side that is measured now has one. `accept`
    is the command that makes a peak that it refuses the new one, and `accept_all`, where nothing else refuses the peak, the one
    that accepts all of the run. `command` measures the same again, `input` is the file with the AlphaFold 3 JSON of a failed one,
    and `detail` what a failed worker printed last, for the terminal alone.
    """

    test: str
    tokens: int | None
    bucket: int | None
    target: str
    method: str
    peak: Peak | None
    verdict: Verdict | None
    command: str | None = None
    input: str | None = None
    accept: str | None = None
    baseline: Entry | None = None
    detail: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    accept_all: str | None = None
    baseline_timeline: Timeline | None = None

    @property
    def conditions(self) -> str:
        """As `Peak.conditions`."""
        return conditions(self.tokens, self.bucket, self.target, self.method, self.function)

    @property
    def function(self) -> str:
        """As `Peak.function`."""
        return of_function(self.tokens, self.bucket, self.settings)

    def to_json(self, holders: int | None = HOLDERS) -> dict[str, Any]:
        """One entry of the JSON report, schema 1, with so many `holders` of the peak, the largest first (None: all)."""
        verdict = self.verdict
        peak = self.peak.to_json() if self.peak else _NO_PEAK
        return {
            "test": self.test,
            **peak,
            "tokens": self.tokens,
            "bucket": self.bucket,
            "target": self.target,
            **gpus.carried(self.target),
            "method": self.method,
            "settings": dict(self.settings),
            "budget_bytes": verdict and verdict.budget_bytes,
            "baseline_bytes": verdict and verdict.baseline_bytes,
            "verdict": verdict and verdict.outcome.value,
            "reason": verdict and verdict.reason,
            "line": (verdict and verdict.line) or None,
            "improved": bool(verdict and verdict.improved),
            "command": self.command,
            "input": self.input,
            "holders": list(peak["holders"] or ())[:holders],
            "explained": round(explained(self.peak), 4) if self.peak and self.peak.holders else None,
            "accept": self.accept,
            "accept_all": self.accept_all,
            "baseline": self.baseline.to_json() if self.baseline else None,
            "baseline_timeline": typed.plain(self.baseline_timeline),
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
        verdict, accept, accept_all = None, None, None
        peak = None if isinstance(answer, NotJudged) else answer
        if isinstance(answer, NotJudged):
            verdict = unmeasured(answer, request.conditions, budget_bytes)
        elif budget_bytes is not None or reference is not None:
            verdict = judge(answer, budget_bytes, reference)
            if reference is not None and judge(answer, None, reference).outcome is not Outcome.WITHIN:
                accept = reference.accept
                accepting = dataclasses.replace(reference, accepting=True)
                accept_all = reference.accept_all if judge(answer, budget_bytes, accepting).outcome is Outcome.WITHIN else None
        return cls(
            test=test,
            tokens=request.tokens,
            bucket=request.bucket,
            target=request.target,
            method=request.method,
            peak=peak,
            verdict=verdict,
            command=command,
            accept=accept,
            baseline=reference.entry if reference and peak else None,
            detail=answer.detail if isinstance(answer, NotJudged) else "",
            settings=typed.plain(dict(request.settings)),
            accept_all=accept_all,
            baseline_timeline=reference.timeline if reference and peak else None,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of `to_json`, but for holders that were left out. Takes a described target as well.

        Raises InputError for what is no such entry.
        """
        gpus.take(data)
        row = dict(vars(typed.read(_Row, data, others=True)))
        outcome, line = row.pop("verdict"), row.pop("line") or ""
        judged = {name: row.pop(name) for name in ("reason", "budget_bytes", "baseline_bytes", "improved")}
        if outcome not in (None, *(names := [one.value for one in Outcome])):
            raise InputError("verdict", f"must be {', '.join(names)} or null", repr(outcome))
        verdict = None if outcome is None else Verdict(Outcome(outcome), line, **judged)
        return cls(**row, peak=None if data.get("total_bytes") is None else Peak.from_json(data), verdict=verdict)


@dataclass(frozen=True)
class _Row:
    """What stands in a report's entry besides the peak."""

    test: Filled
    tokens: Positive | None
    bucket: Positive | None
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
    settings: Mapping[str, Any] = field(default_factory=dict)
    accept_all: str | None = None
    baseline_timeline: Timeline | None = None


def not_passed(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those that are not a pass."""
    return [one for one in measurements if one.verdict is not None and one.verdict.outcome is not Outcome.WITHIN]


def grouped(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Inputs of one test that came to the same, as Hypothesis makes many."""
    groups: dict[tuple[object, ...], list[Measurement]] = {}
    for one in measurements:
        peak, judged = one.peak, one.verdict
        needed = peak and (peak.total_bytes, str(peak.model.config))
        verdict = judged and (judged.outcome, judged.budget_bytes, judged.baseline_bytes, judged.reason)
        groups.setdefault((one.test, one.bucket, one.function, one.target, one.method, needed, verdict), []).append(one)
    return list(groups.values())
