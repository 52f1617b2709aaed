"""Counted inputs in, text and JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.planning.ask import Answer
from pytest_af3mem.planning.job_folder import Place
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, printed, size
from pytest_af3mem.reports.job_folder import label, named
from pytest_af3mem.reports.json import document


@dataclass(frozen=True)
class Counted:
    """A job, the bucket that its tokens are padded to, and what AlphaFold 3 takes in another way than it is written.

    `answer` is what it needs on a target, where one was asked for.
    """

    where: Place
    name: str
    tokens: int
    bucket: int
    notes: tuple[str, ...]
    answer: Answer | None = None

    @property
    def total_bytes(self) -> int | None:
        return self.answer.total_bytes if isinstance(self.answer, Peak) else None

    @property
    def reason(self) -> str | None:
        """Why it is not known what the job needs, where that was asked."""
        return str(self.answer) if isinstance(self.answer, NotJudged) else None


def render_text(counted: Sequence[Counted], target: str = "", notes: Sequence[str] = ()) -> str:
    """A row for each job, with what it needs on `target`; then why that is not known of some."""
    rows = [("tokens", "bucket", "padding", *filter(None, [target]), "job")]
    for one in counted:
        needs = [size(one.total_bytes, "not judged")] if target else []
        rows.append((str(one.tokens), str(one.bucket), str(one.bucket - one.tokens), *needs, label(one.where, one.name)))
    reasons = [f"not judged: {label(one.where, one.name)}: {one.reason}" for one in counted if one.reason]
    return "\n".join([*aligned(rows, right=range(len(rows[0]) - 1)), ""]) + printed([*reasons, *notes])


def render_json(counted: Sequence[Counted], broken: Sequence[tuple[Place, str]], buckets: Sequence[int]) -> str:
    jobs = [
        {
            **named(one.where, one.name, one.tokens, one.bucket),
            "padding": one.bucket - one.tokens,
            "notes": list(one.notes),
            **_answer(one.answer),
        }
        for one in counted
    ]
    return document(buckets=buckets, jobs=jobs, broken=[{"job": str(where), "reason": reason} for where, reason in broken])


def _answer(answer: Answer | None) -> dict[str, Any]:
    """What a job needs, or why that is not known; nothing where it was not asked."""
    if isinstance(answer, Peak):
        return {"target": answer.target, "total_bytes": answer.total_bytes, "shipped": answer.shipped}
    return {} if answer is None else {"total_bytes": None, "reason": str(answer)}
