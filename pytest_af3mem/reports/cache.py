"""What the cache folder holds and what of it went, as text and as JSON."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.reports.columns import aligned, filled, printed
from pytest_af3mem.reports.json import document
from pytest_af3mem.storage.housekeeping import DAY, KINDS, Entry, Freed, Limits

_HEADINGS = ("kind", "entries", "size", "oldest", "newest")


def render_text(folder: Path, freed: Freed, limits: Limits, now: float, *, dry_run: bool) -> str:
    goes = ("would go", "would free") if dry_run else ("removed", "freed")
    kinds = [(kind, [one for one in freed.entries if one.kind == kind]) for kind in KINDS]
    rows = [_row(kind, found, [one for one in freed.gone if one.kind == kind], now) for kind, found in kinds if found]
    table = filled([(*_HEADINGS, *goes), *rows, _row("all", freed.entries, freed.gone, now)])
    lines = [f"cache folder {folder}", "", *aligned(table, right=range(1, len(table[0])))]
    in_use = sorted({one.kind for one in freed.entries if one.in_use}, key=KINDS.index)
    if limits != Limits() and in_use:
        lines += ["", f"a running session uses the folder: its {' and '.join(in_use)} stay"]
    kept_bytes = _bytes(freed.entries) - _bytes(freed.gone)
    if limits.keep_bytes is not None and kept_bytes > limits.keep_bytes:
        lines += ["", f"{format_bytes(kept_bytes)} stay, which is more than {format_bytes(limits.keep_bytes)}"]
    return printed([*lines, *freed.problems])


def render_json(folder: Path, freed: Freed, limits: Limits, now: float, *, dry_run: bool) -> str:
    """The same as a JSON report; times are UTC. `removed` and `freed_bytes` are what would go in a dry run."""
    kinds: list[dict[str, Any]] = []
    for kind in KINDS:
        found = [one for one in freed.entries if one.kind == kind]
        gone = [one for one in freed.gone if one.kind == kind]
        kinds.append(
            {
                "kind": kind,
                "entries": len(found),
                "size_bytes": _bytes(found),
                "oldest": _time(min((one.used for one in found), default=None)),
                "newest": _time(max((one.used for one in found), default=None)),
                "in_use": sum(one.in_use for one in found),
                "removed": len(gone),
                "freed_bytes": _bytes(gone),
            }
        )
    return document(cache=str(folder), dry_run=dry_run, kinds=kinds, problems=list(freed.problems))


def _row(kind: str, found: Sequence[Entry], gone: Sequence[Entry], now: float) -> tuple[str, ...]:
    ages = sorted(now - one.used for one in found)
    counts = (kind, str(len(found)), format_bytes(_bytes(found)))
    times = (_age(ages[-1]), _age(ages[0])) if ages else ("-", "-")
    return (*counts, *times, *((str(len(gone)), format_bytes(_bytes(gone))) if gone else ("-", "-")))


def _age(seconds: float) -> str:
    return f"{seconds / DAY:.0f} d" if seconds >= 2 * DAY else f"{max(0.0, seconds) / 3600:.0f} h"


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _bytes(entries: Sequence[Entry]) -> int:
    return sum(one.size_bytes for one in entries)
