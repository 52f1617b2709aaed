"""What a number belongs to, as text: everything that measures, judges or reports one says it the same way."""

from __future__ import annotations


def conditions(tokens: int, bucket: int, target: str, method: str) -> str:
    """`[3072 tokens, bucket 3072, a100-40gb, compiled]`."""
    return f"[{tokens} tokens, bucket {bucket}, {target}, {method}]"
