"""Measurements in, a summary in GitHub's Markdown out: failures first, then all of them in a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.reports import agreement as agreement_report
from pytest_af3mem.reports import failures as failing
from pytest_af3mem.reports import growth, terminal
from pytest_af3mem.reports.columns import markdown_table
from pytest_af3mem.reports.failures import Failure

# GitHub drops a summary of more than 1 MiB as a whole.
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#step-isolation-and-limits
_MOST_ROWS = 500
_MOST_STORIES = 50
_MOST_OPEN = 3


def render(measurements: Sequence[Measurement], failures: Sequence[Failure] = ()) -> str:
    """`failures` are the failed tests, for those that fail for another reason than a measurement's verdict."""
    parts = [f"## GPU memory of AlphaFold 3: {failing.headline(measurements, failures)}"]
    stories = failing.stories(measurements, failures)
    for index, story in enumerate(stories[:_MOST_STORIES]):
        parts.append(f"❌ {text(story.line)}<br>{text(story.test)}")
        if story.section:
            opened = " open" if index < _MOST_OPEN else ""
            parts.append(f"<details{opened}><summary>Details</summary>\n\n{block(story.section)}\n\n</details>")
    if len(stories) > _MOST_STORIES:
        parts.append(f"And {len(stories) - _MOST_STORIES} more failures.")
    if measurements:
        headings, *rows = terminal.rows(failing.first(measurements))
        cells = [[text(cell) for cell in row] for row in rows[:_MOST_ROWS]]
        parts.append("\n".join(markdown_table([headings, *cells], right=terminal.numbers(headings))))
        if len(rows) > _MOST_ROWS:
            parts.append(f"And {len(rows) - _MOST_ROWS} more rows, which are in the JSON report.")
    parts += map(text, growth.versions(measurements))
    if both := agreement_report.summary(measurements):
        parts += ["Compiled and run:", block("\n".join(both))]
    return "\n\n".join(parts) + "\n"


def text(words: str) -> str:
    """Words that are no markup, on one line: also in a table's cell, and whatever stands in the name of a test."""
    return re.sub(r"([\\`*_{}\[\]<>|~&$@#])", r"\\\1", " ".join(words.split()))


def block(lines: str) -> str:
    """Lines as they are, in a fence that is longer than any in them."""
    longest = max(map(len, re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{lines}\n{fence}"
