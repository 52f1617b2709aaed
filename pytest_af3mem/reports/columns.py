"""Rows of text in, aligned lines out."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pytest_af3mem.size import format_bytes


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


def signed(difference_bytes: int) -> str:
    """`"+12.00 MiB"`, `"-3.00 MiB"`."""
    return f"{'+' if difference_bytes > 0 else '-'}{format_bytes(abs(difference_bytes))}"


def shown(text: str) -> str:
    """A name or a line from outside, as a terminal and the log of a CI job may print it.

    Characters that do not print, newlines among them, become escapes as Python writes them; so does the first character of
    what GitHub Actions would take for a command, `::` at the start of a line or `##[` anywhere.
    """
    printable = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return re.sub(r"^\s*:(?=:)|#(?=#\[)", lambda found: found[0][:-1] + f"\\x{ord(found[0][-1]):x}", printable)
