"""What makes an input fit in, text and JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.alphafold3_config import config_path
from pytest_af3mem.planning.fit import BUCKET, Attempt, Fit, changed, settings_of
from pytest_af3mem.records.holders import by_component
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, printed, signed
from pytest_af3mem.reports.json import document, row

_TOP = 3


def render_text(found: Fit) -> str:
    """The answer, the Python to paste, and every attempt that proves it."""
    lines = [found.request.conditions, "", *_answer(found)]
    if found.best and (changes := found.best.changes):
        lines += [*(f"  {name}: {cost}" for name, cost in found.costs.items()), ""]
        buckets = ",".join(map(str, changed(found.request, changes).buckets))
        if BUCKET in changes:
            lines += [f"run_alphafold.py --buckets={buckets}", f"pytest --af3-buckets={buckets}"]
        if settings := settings_of(changes):
            lines += [*python(changes), f"@pytest.mark.af3_model(**{settings!r})"]
    lines += ["", "measured:"]
    rows = [("needs", "against the limit", "changes"), *(_row(attempt, found) for attempt in found.attempts)]
    lines += [f"  {line}" for line in aligned(rows, right={0, 1})]
    return printed(lines)


def python(changes: Mapping[str, Any]) -> list[str]:
    """The lines that make these changes to AlphaFold 3's `config`, as `make_model_config` returns it."""
    return [f"config.{config_path(name)} = {value!r}" for name, value in settings_of(changes).items()]


def render_json(found: Fit) -> str:
    """The answer; `measurements` are all attempts, with their `changes`."""
    return document(
        limit_bytes=found.limit_bytes,
        fits=None if not found.is_judged else found.best is not None,
        changes=dict(found.best.changes) if found.best else None,
        costs=found.costs,
        python=python(found.best.changes) if found.best else None,
        buckets=changed(found.request, found.best.changes).buckets if found.best else None,
        measurements=[row("fit", found.request, one.answer, changes=dict(one.changes)) for one in found.attempts],
    )


def _answer(found: Fit) -> list[str]:
    limit = format_bytes(found.limit_bytes)
    if found.best:
        assert isinstance(found.best.answer, Peak)
        how = "with these changes" if found.best.changes else "as it is"
        left = found.limit_bytes - found.best.answer.total_bytes
        return [f"fits {how}: {format_bytes(found.best.answer.total_bytes)} of {limit}, {format_bytes(left)} to spare"]
    peaks = [one.answer for one in found.attempts if isinstance(one.answer, Peak)]
    if not found.is_judged:
        return [f"not judged: {next(one.answer for one in found.attempts if not isinstance(one.answer, Peak))}"]
    least = min(peaks, key=lambda peak: peak.total_bytes)
    needs, more = least.total_bytes, least.total_bytes - found.limit_bytes
    lines = [f"nothing fits: of all that was tried the least is {format_bytes(needs)}, {format_bytes(more)} more than {limit}"]
    held = [*by_component(least).items()][:_TOP]
    return lines + [f"  held by {name}: {format_bytes(size)}, {size / needs:.0%}" for name, size in held]


def _row(attempt: Attempt, found: Fit) -> tuple[str, str, str]:
    changes = " ".join(f"{name}={value}" for name, value in attempt.changes.items()) or "none"
    if not isinstance(attempt.answer, Peak):
        return "not judged", "-", f"{changes}: {attempt.answer}"
    needed = attempt.answer.total_bytes
    return format_bytes(needed), signed(needed - found.limit_bytes), changes
