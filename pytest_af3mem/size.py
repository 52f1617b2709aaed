"""Bytes in, text out: `"72 GiB"`, `"72 GB"`, `"95 %"` of a GPU. What does not match in full is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from pytest_af3mem.errors import UsageError

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

        Raises UsageError for text that is no size, for 0, and for more than 100 %.
        """
        if isinstance(value, Size):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            size = cls(bytes=value)
        else:
            match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
            number, unit = (Decimal(match[1]), match[2].lower()) if match else (Decimal(0), "")
            if unit == "%":
                size = cls(percent=number)
            elif unit in _UNITS:
                size = cls(bytes=int(number * _UNITS[unit]))
            else:
                raise UsageError(f"{name} {value!r} is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes")
        if (size.bytes is not None and size.bytes <= 0) or size.percent == 0:
            raise UsageError(f"{name} {value!r} must be more than 0")
        if size.percent is not None and size.percent > 100:
            raise UsageError(f"{name} {value!r} is more than the whole GPU: a percentage is at most 100 %")
        return size

    def __str__(self) -> str:
        return f"{self.percent} %" if self.bytes is None else format_bytes(self.bytes)

    def of(self, memory_bytes: int) -> int:
        """This size in bytes, on a GPU with `memory_bytes` of memory."""
        if self.bytes is not None:
            return self.bytes
        assert self.percent is not None
        return max(1, int(memory_bytes * self.percent / 100))


EXACT = Size(bytes=0)


def read_tolerance(value: str | int | Size, name: str) -> Size:
    """A size that may be 0; a percentage is of the baseline. Raises UsageError, calling it `name`, for what is neither."""
    if str(value).strip() in ("0", "0 %", "0%") and not isinstance(value, bool):
        return EXACT
    try:
        return Size.parse(value)
    except UsageError as error:
        rule = "is not a tolerance: write '0.5 %', '64 MiB', a number of bytes, or 0"
        raise UsageError(f"{name} {value!r} {rule}") from error


def format_bytes(number: int) -> str:
    """`number` of bytes for people: `"41.83 GiB"`, `"1.50 MiB"`, `"12 B"`; the sign is kept."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if round(abs(number) / scale * 1024, 2) >= 1024:  # what would be written as 1024.00 of the next smaller unit
            return f"{number / scale:.2f} {unit}"
    return f"{number} B"
