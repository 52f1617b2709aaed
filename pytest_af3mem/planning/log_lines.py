"""A log, however long, as the few lines of it that may say something. Memory is that of a block; time is that of reading it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import IO

from pytest_af3mem.errors import UsageError

_BLOCK_BYTES = 2**18
_LINE_BYTES = 2**14  # of a line that are read
_PACKED = {b"\x1f\x8b": "zcat", b"\xfd7zXZ\x00": "xzcat", b"\x28\xb5\x2f\xfd": "zstdcat", b"BZh": "bzcat"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = bytes(set(range(32)) - set(b"\b\t\n\f\r\x1b")) + b"\x7f"
_COLOURS = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])")


def lines(log: IO[bytes], words: Collection[str]) -> Iterator[tuple[int, str]]:
    """The lines that have one of the `words`, without colours, each with its number; of a line its first 16 KiB.

    What a progress bar wrote over counts as lines of its own, under one number. Raises UsageError, with the way out, for what
    is no text, and for an empty log.
    """
    wanted = [word.encode() for word in words]
    number, is_first = 1, True
    while block := log.read(_BLOCK_BYTES) + log.readline(_LINE_BYTES):
        if is_first:
            _check(block)
            is_first = False
        if b"\x1b" in block:
            block = _COLOURS.sub(b"", block)
        if present := [word for word in wanted if word in block]:
            for more, line in enumerate(block.split(b"\n")):
                if any(word in line for word in present):
                    parts = (part[:_LINE_BYTES].decode(errors="replace") for part in line.split(b"\r") if part)
                    yield from ((number + more, part) for part in parts)
        number += block.count(b"\n")
    if is_first:
        raise UsageError("is empty: give what the run printed, standard error included (run_alphafold.py ... > run.log 2>&1)")


def _check(start: bytes) -> None:
    for magic, tool in _PACKED.items():
        if start.startswith(magic):
            raise UsageError(f"is packed: {tool} LOG | af3mem explain -")
    if start.startswith(_UTF_16):
        raise UsageError("is UTF-16: iconv -f UTF-16 -t UTF-8 LOG | af3mem explain -")
    if len(start) - len(start.translate(None, _CONTROL)) > len(start) // 20:
        raise UsageError("is no text: give the log of a run (what text it has: strings LOG | af3mem explain -)")
