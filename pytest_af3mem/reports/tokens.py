"""Counted inputs in, text and JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_af3mem.planning.job_folder import Place
from pytest_af3mem.reports.columns import aligned
from pytest_af3mem.reports.job_folder import label, named
from pytest_af3mem.reports.json import document


@dataclass(frozen=True)
class Counted:
    """A job, the bucket that its tokens are padded to, and what AlphaFold 3 takes in another way than it is written."""

    where: Place
    name: str
    tokens: int
    bucket: int
    notes: tuple[str, ...]


def render_text(counted: Sequence[Counted]) -> str:
    rows = [("tokens", "bucket", "padding", "job")]
    rows += [(str(one.tokens), str(one.bucket), str(one.bucket - one.tokens), label(one.where, one.name)) for one in counted]
    return "\n".join([*aligned(rows, right=range(3)), ""])


def render_json(counted: Sequence[Counted], broken: Sequence[tuple[Place, str]], buckets: Sequence[int]) -> str:
    jobs = [
        {**named(one.where, one.name, one.tokens, one.bucket), "padding": one.bucket - one.tokens, "notes": list(one.notes)}
        for one in counted
    ]
    return document(buckets=buckets, jobs=jobs, broken=[{"job": str(where), "reason": reason} for where, reason in broken])
