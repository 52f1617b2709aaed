"""What is going on, for whoever looks at a terminal."""

from __future__ import annotations

import sys


def show(text: str) -> None:
    """A line on standard error, on terminals only, in the place of the one before; an empty text removes it."""
    if sys.stderr.isatty():
        print(f"\r\033[K{f'af3mem: {text}' if text else ''}", end="", file=sys.stderr, flush=True)
