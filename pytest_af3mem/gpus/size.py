"""Bytes in, text out: `"72 GiB"`, `"72 GB"`, `"95 %"` of a GPU. What does not match in full is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pytest_af3mem.errors import UsageError

MOST = 2**63 - 1
_DIGITS, _LONG = 100, 80  # of a number that is read; characters of a value in an error


_UNITS = {"b": 1} | {
    f"{letter}{infix}b": base**power for infix, base in (("", 1000), ("i", 1024)) for power, letter in enumerate("kmgt", start=1)
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+|%)", re.IGNORECASE)


@dataclass(frozen=True)
class Size:
    """An amount of GPU memory: absolute, or a share of a GPU's. Exactly one of the fields is set.

    `Size.parse("16 GiB")`, `Size.parse("95 %")` and `Size.parse(17_179_869_184)` are the ways to make one.
    """

    bytes: int | None = None
    percent: Decimal | None = None

    @classmethod
    def parse(cls, value: str | int | Size, *, name: str = "size") -> Size:
        """Reads a size; `name` is what an error calls it. GB means 10**9 bytes and GiB 2**30; a bare `int` is bytes.

        Raises UsageError for text that is no size, for 0, and for more than 100 % or 2**63 - 1 bytes.
        """
        if isinstance(value, Size):
            return value
        size = _read(value)
        if size is None:
            raise UsageError(f"{name} {_shown(value)} is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes")
        if (size.bytes is not None and size.bytes <= 0) or size.percent == 0:
            raise UsageError(f"{name} {_shown(value)} must be more than 0")
        if size.percent is not None and size.percent > 100:
            raise UsageError(f"{name} {_shown(value)} is more than the whole GPU: a percentage is at most 100 %")
        if size.bytes is not None and size.bytes > MOST:
            raise UsageError(f"{name} {_shown(value)} is more than any GPU has: a size is at most {MOST:,} bytes")
        return size

    def __str__(self) -> str:
        return f"{self.percent} %" if self.bytes is None else format_bytes(self.bytes)

    def of(self, memory_bytes: int) -> int:
        """This size in bytes, on a GPU with `memory_bytes` of memory."""
        if self.bytes is not None:
            return self.bytes
        assert self.percent is not None
        return max(1, int(memory_bytes * Fraction(self.percent) / 100))  # exact: a caller's context of decimals has no part in it


EXACT = Size(bytes=0)


def read_tolerance(value: str | int | Size, name: str) -> Size:
    """A size that may be 0; a percentage is of the baseline. Raises UsageError, calling it `name`, for what is neither."""
    if isinstance(value, Size):
        return value
    text = value.strip() if isinstance(value, str) else ""
    size = _read(f"{text} B" if text.isdecimal() else value)
    if size is None or not 0 <= (size.bytes or 0) <= MOST or (size.percent or 0) > 100:
        rule = "is not a tolerance: write '0.5 %', '64 MiB', a number of bytes, or 0"
        raise UsageError(f"{name} {_shown(value)} {rule}")
    return size if size.bytes or size.percent else EXACT


def _read(value: object) -> Size | None:
    """A size, which may be too small or too large; None for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Size(bytes=value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    number, unit = match[1] if len(match[1]) <= _DIGITS else str(MOST + 1), match[2].lower()
    if unit == "%":
        return Size(percent=Decimal(number))
    return Size(bytes=int(Fraction(number) * _UNITS[unit])) if unit in _UNITS else None


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits, which Python does not write
        return "of thousands of digits"
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def format_bytes(number: int) -> str:
    """`number` of bytes for people: `"41.83 GiB"`, `"1.50 MiB"`, `"12 B"`; the sign is kept."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if round(Fraction(abs(number) * 1024 * 100, scale)) >= 1024 * 100:  # else it is written as one of the next smaller unit
            whole, hundredths = divmod(round(Fraction(abs(number) * 100, scale)), 100)
            return f"{'-' if number < 0 else ''}{whole}.{hundredths:02} {unit}"
    return f"{number} B"
