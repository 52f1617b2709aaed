"""Rows of text in, aligned lines out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_af3mem.gpus.size import format_bytes


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
