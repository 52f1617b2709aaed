"""The history of a baseline in; text, JSON, a page, and a file for github-action-benchmark out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pytest_af3mem.gpus.size import Size, format_bytes
from pytest_af3mem.planning.history import Commit, Course, History, Jump
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.reports.columns import aligned, change, printed
from pytest_af3mem.reports.json import document
from pytest_af3mem.storage import typed

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60  # of a sparkline
_MOST_JUMPS, _MOST_SKIPPED = 10, 5


def render_text(found: History, tolerance: Size | None) -> str:
    """A sparkline for each test, the oldest revision first, with its ends, its extremes and the commits that moved it."""
    lines = [*found.notes, _headline(found)]
    if found.skipped:
        rows = [(f"  {one.commit}", one.reason) for one in found.skipped[-_MOST_SKIPPED:]]
        lines += [f"{_count(len(found.skipped), 'revision')} skipped, with no valid baseline; what they moved shows in the next:"]
        lines += aligned(rows)
        lines += [f"  and {len(found.skipped) - len(rows)} older"] if len(found.skipped) > len(rows) else []
    lines += [] if found.courses else ["no test is in it"]
    for course in found.courses:
        gone = f"; not in {found.commits[-1].short} any more" if found.ended(course) else ""
        sizes = course.sizes
        ends = {"first": sizes[0], "last": sizes[-1], "least": min(sizes), "most": max(sizes)}
        words = ", ".join(f"{name} {format_bytes(size)}" for name, size in ends.items())
        lines += ["", title(course.entry), f"  {sparkline(_by_commit(found, course))}  {words}{gone}", *_moved(course, tolerance)]
    return printed(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def title(entry: Entry) -> str:
    """A test and all that tells its entries apart: no two entries of a baseline have the same."""
    stated = [f"{name}={typed.render(value)}" for name, value in (entry.settings or {}).items()]
    what = [entry.model, f"bucket {entry.bucket}", entry.target, entry.method, *stated]
    return f"{entry.test} [{', '.join(what)}{'' if entry.settings is not None else ', of an earlier version'}]"


def _by_commit(found: History, course: Course) -> list[int | None]:
    """The bytes in each revision; None where it lacks the test."""
    sizes = {commit: entry.total_bytes for commit, entry in course.points}
    return [sizes.get(commit) for commit in found.commits]


def sparkline(sizes: Sequence[int | None]) -> str:
    """A bar for each revision, from the least to the most; a space where there is none. Of many the most of each few is drawn."""
    known = [size for size in sizes if size is not None]
    least, span = min(known), max(known) - min(known)
    each = -(-len(sizes) // _WIDTH)
    bars = []
    for start in range(0, len(sizes), each):
        few = [size for size in sizes[start : start + each] if size is not None]
        bars.append(_BARS[(max(few) - least) * (len(_BARS) - 1) // span if span else 0] if few else " ")
    return "".join(bars)


def _moved(course: Course, tolerance: Size | None) -> list[str]:
    jumps = course.jumps(tolerance)
    rows = [_row(one) for one in jumps[-_MOST_JUMPS:]]
    lines = [f"  {line}" for line in aligned(rows, right={0})] if rows else []
    return ([f"  {len(jumps) - len(rows)} older commits moved it, which --json has"] if len(jumps) > len(rows) else []) + lines


def _row(jump: Jump) -> tuple[str, str, str]:
    return change(jump.before_bytes, jump.after_bytes, 1), str(jump.commit), jump.commit.subject


def render_json(found: History, tolerance: Size | None) -> str:
    """`tests` has the peak of each in each revision; all that is of commits is told by their whole names."""
    named = ("test", "tokens", "bucket", "target", "method", "model", "settings")
    tests = [
        {
            **{name: getattr(course.entry, name) for name in named},
            "in_newest": not found.ended(course),
            "first_bytes": course.sizes[0],
            "last_bytes": course.sizes[-1],
            "least_bytes": min(course.sizes),
            "most_bytes": max(course.sizes),
            "peaks": [
                {"commit": commit.name, "total_bytes": entry.total_bytes, "live_bytes": entry.live_bytes}
                for commit, entry in course.points
            ],
            "jumps": [
                {
                    "commit": one.commit.name,
                    "before_bytes": one.before_bytes,
                    "after_bytes": one.after_bytes,
                    "difference_bytes": one.difference_bytes,
                }
                for one in course.jumps(tolerance)
            ],
        }
        for course in found.courses
    ]
    skipped = [{**_commit(one.commit), "reason": one.reason} for one in found.skipped]
    stated = None if tolerance is None else str(tolerance)
    commits = [*map(_commit, found.commits)]
    return document(file=found.file, tolerance=stated, commits=commits, skipped=skipped, notes=found.notes, tests=tests)


def _commit(one: Commit) -> dict[str, Any]:
    return {"commit": one.name, "day": one.day, **{k: v for k, v in dataclasses.asdict(one).items() if k != "name"}}


def render_benchmark(found: History) -> str:
    """The newest revision as github-action-benchmark takes it (tool `customSmallerIsBetter`), which keeps a history of its own.

    https://github.com/benchmark-action/github-action-benchmark#examples
    """
    newest = found.commits[-1]
    benches = []
    for course in found.courses:
        if not found.ended(course):
            entry = course.entry
            extra = [f"{format_bytes(entry.total_bytes)}, {entry.tokens} tokens", f"accepted in {newest}"]
            extra += [f"{name} {text}" for name, text in entry.versions.items()]
            named = {"name": title(entry), "unit": "bytes", "value": entry.total_bytes}
            benches.append({**named, "extra": "\n".join(extra)})
    return typed.render(benches, indent=2) + "\n"


def page(found: History, tolerance: Size | None) -> str:
    """All of it as one HTML page. Needs the extra `html`."""
    from pytest_af3mem.reports import figures, html

    names = [title(course.entry) for course in found.courses]
    tests = [("test", "first", "last", "least", "most", "revisions")]
    moved = []
    for name, course in zip(names, found.courses, strict=True):
        sizes = course.sizes
        first, last, least, most = map(format_bytes, (sizes[0], sizes[-1], min(sizes), max(sizes)))
        tests.append((name, first, last, least, most, str(len(sizes))))
        moved += [(one.commit, *_row(one), name) for one in course.jumps(tolerance)]
    moved.sort(key=lambda row: found.commits.index(row[0]), reverse=True)
    headings = ("difference", "commit", "message", "test")
    tables = [
        html.Table("Tests", tests, range(1, 6)),
        html.Table("Commits that moved a peak", [headings, *(row for _, *row in moved)], {0}),
    ]
    skipped = [f"{one.commit} is left out, for the file is no baseline there: {one.reason}" for one in found.skipped]
    plot = figures.over_commits(found, names) if names else None
    return html.render_history(_headline(found), plot, tables, [*found.notes, *skipped])


def _headline(found: History) -> str:
    return f"{found.file}: {_count(len(found.commits), 'revision')} from {found.commits[0]} to {found.commits[-1]}"
