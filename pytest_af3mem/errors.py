"""The errors of this project. Each text stands alone: what is wrong, with which value, and the way out."""

from __future__ import annotations

import re
from collections.abc import Collection


class Af3memError(Exception):
    """What a user can mend: shown as one line, never as a traceback."""


class UsageError(Af3memError, ValueError):
    """An argument that cannot be right."""


class InputError(UsageError):
    """A part of a job that AlphaFold 3 would refuse, ignore or mistake.

    `path` says where in the document, as in `sequences[2].ligand.smiles`; `rule` what that breaks.
    """

    def __init__(self, path: str, rule: str, value: str = ""):
        super().__init__(" ".join(part for part in (f"{path}:" if path else "", value, rule) if part))
        self.path, self.rule = path, rule


class SetupError(Af3memError):
    """Something is not installed, not readable or not writable."""


class NotJudged(Af3memError):
    """A measurement that gave no number; the text is the reason. Never a pass, never 0 bytes.

    `detail` is what the worker printed last, for people who look further.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason)
        self.detail = detail


class OutOfMemory(NotJudged):
    """A real GPU ran out of memory: no number, and still a verdict, for it is over whatever that GPU has.

    `asked_bytes` were asked for in one piece, of an allocator that may take `limit_bytes`; None where nobody told.
    """

    def __init__(self, reason: str, detail: str = "", *, asked_bytes: int | None = None, limit_bytes: int | None = None):
        super().__init__(reason, detail)
        self.asked_bytes, self.limit_bytes = asked_bytes, limit_bytes


def first_line(error: BaseException) -> str:
    """An error in one line, with its type; the log has the rest."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


def is_whole_number(text: str) -> bool:
    """Whether it is one of at most nine digits, as all are that people write here."""
    return text.isdecimal() and len(text) < 10


def whole_number(text: str, name: str) -> int:
    """The number that is written there. Raises UsageError, which calls it `name`, for less than 1 and for another text."""
    if not is_whole_number(text) or int(text) == 0:
        raise UsageError(f"{name} {text!r} must be a whole number of at least 1")
    return int(text)


def check_whole_number(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raises UsageError unless `value` is an `int` in this range."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise UsageError(f"{name}={spelled(value)} must be a whole number {allowed}")


def spelled(value: object) -> str:
    """A value as it would stand in Python; Python itself refuses to write very large numbers."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "10**20 or more" if value > 0 else "-10**20 or less"
    return repr(value)


def near(name: str, known: Collection[str]) -> str:
    """`"; did you mean x or y?"`, or nothing where no known name is near."""
    import difflib

    names = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(names)}?" if names else ""


def shown(text: str) -> str:
    """A name or a line from outside, as a terminal and the log of a CI job may print it.

    Characters that do not print, newlines among them, become escapes as Python writes them; so does the first character of
    what GitHub Actions would take for a command, `::` at the start of a line or `##[` anywhere.
    """
    printable = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return re.sub(r"^\s*:(?=:)|#(?=#\[)", lambda found: found[0][:-1] + f"\\x{ord(found[0][-1]):x}", printable)
