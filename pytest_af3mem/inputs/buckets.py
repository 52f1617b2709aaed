"""Padding: the bucket that holds a number of tokens."""

from __future__ import annotations

from collections.abc import Iterable


def bucket(tokens: int, sizes: Iterable[int]) -> int:
    """The first of the sizes that holds all tokens; above the largest, the exact count."""
    return min((size for size in sizes if size >= tokens), default=tokens)
