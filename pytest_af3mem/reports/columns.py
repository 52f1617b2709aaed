"""Rows of text in, aligned lines or a table of Markdown out; and words that several reports say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.peak import Peak


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """One line a row, the columns aligned: those numbered in `right` to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The same in Markdown, the first row its headings. Only `|` is escaped."""
    headings, *others = rows
    rule = ["---:" if at in right else "---" for at in range(len(headings))]
    cells = [[re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row] for row in (headings, rule, *others)]
    return [f"| {' | '.join(row)} |" for row in cells]


def filled(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows, the first their headings, without the columns that say nothing: `-` in each row."""
    return list(zip(*(column for column in zip(*rows, strict=True) if {*column[1:]} != {"-"}), strict=True))


def size(number: int | None, otherwise: str = "-") -> str:
    """Bytes for people, and `otherwise` where there are none."""
    return otherwise if number is None else format_bytes(number)


def printed(lines: Iterable[str]) -> str:
    """Lines as one text, in which nothing from outside colours a terminal or commands a CI job."""
    return "".join(f"{shown(line)}\n" for line in lines)


def signed(difference_bytes: int) -> str:
    """`"+12.00 MiB"`, `"-3.00 MiB"`."""
    return f"{'+' if difference_bytes > 0 else '-'}{format_bytes(abs(difference_bytes))}"


def change(before_bytes: int, after_bytes: int, digits: int) -> str:
    """`"+12.00 MiB (+1.50 %)"` with so many digits of the percentage, `"none"` where nothing changed."""
    difference = after_bytes - before_bytes
    share = f" ({difference / before_bytes * 100:+.{digits}f} %)" if before_bytes else ""
    return f"{signed(difference)}{share}" if difference else "none"


def origin(peak: Peak) -> str:
    """Whether a peak came with this project, was in the cache, or its program was compiled before, else how long it took."""
    how = "same program" if peak.same_program else "compiled"
    return "shipped answer" if peak.shipped else "compiled before" if peak.cached else f"{how}, {peak.seconds:.0f} s"
