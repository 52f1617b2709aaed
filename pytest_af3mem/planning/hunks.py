"""Which edit it was: a unified diff laid over the source lines of those who hold two peaks. Pure functions.

A holder belongs to a hunk where its line lies in it: in the hunk's old lines before, in its new ones after. Lines of context are
part of a hunk, since an operation may be written over several lines and names the first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_af3mem.records.holders import Difference
from pytest_af3mem.records.peak import Holder

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r", b'"': b'"', b"\\": b"\\"}
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-3][0-7]{2})')


@dataclass(frozen=True)
class Lines:
    """`count` lines of a file from `first`, which counts from 1; the file is empty where it is added or deleted."""

    file: str
    first: int
    count: int

    def __str__(self) -> str:
        return f"{self.file}:{self.first}" + (f"-{self.first + self.count - 1}" if self.count > 1 else "")

    def hold(self, line: int) -> bool:
        return self.first <= line < self.first + self.count


@dataclass(frozen=True)
class Hunk:
    """One hunk of a diff; `changed` is the first line of the new file that differs, or where lines are missing."""

    old: Lines
    new: Lines
    changed: int

    def __str__(self) -> str:
        return str(self.new) if self.new.count else f"{self.old} (removed)"


@dataclass(frozen=True)
class Share(Difference):
    """Bytes of the peak that a hunk's lines hold before and after; without a hunk, those of all other lines and of none."""

    hunk: Hunk | None
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True)
class Edits:
    """A diff in git's form, and the folders in the repository that the model is imported from, such as `src/`."""

    diff: str
    old_folder: str = ""
    new_folder: str = ""

    def by_hunk(self, before: Iterable[Holder], after: Iterable[Holder]) -> list[Share]:
        return by_hunk(self.diff, before, after, self.old_folder, self.new_folder)


def by_hunk(
    diff: str, before: Iterable[Holder], after: Iterable[Holder], old_folder: str = "", new_folder: str = ""
) -> list[Share]:
    """The hunks that hold something, the largest difference first, then the rest. All together are the bytes of all holders."""
    hunks = read(diff)
    old = _bytes_in([one.old for one in hunks], before, old_folder)
    new = _bytes_in([one.new for one in hunks], after, new_folder)
    shares = [Share(hunk, old[at], new[at]) for at, hunk in enumerate(hunks) if old[at] or new[at]]
    return [*sorted(shares, key=lambda one: -abs(one.difference_bytes)), Share(None, old[-1], new[-1])]


def _bytes_in(places: Sequence[Lines], holders: Iterable[Holder], folder: str) -> Counter[int]:
    """Bytes by the number of the place that holds them; -1 is elsewhere."""
    files = {place.file for place in places}
    found: Counter[int] = Counter()
    for holder in holders:
        source, _, line = holder.source.rpartition(":")
        # Where the folder that was asked for holds no package, one in its `src` may be installed.
        file = next((path for path in (f"{folder}{source}", f"{folder}src/{source}") if source and path in files), None)
        inside = (at for at, place in enumerate(places) if file and place.file == file and place.hold(int(line)))
        found[next(inside, -1)] += holder.bytes
    return found


def read(diff: str) -> list[Hunk]:
    """The hunks of a unified diff, as git or `diff -u` writes it."""
    hunks = []
    lines = iter(diff.split("\n"))  # and no other end of a line, which may stand in one
    old = new = ""
    for line in lines:
        if line.startswith("--- "):
            old = _path(line, "a/")
        elif line.startswith("+++ "):
            new = _path(line, "b/")
        elif found := _HUNK.match(line):
            numbers = [1 if text is None else int(text) for text in found.groups()]
            sides = Lines(old, *numbers[:2]), Lines(new, *numbers[2:])
            hunks.append(Hunk(*sides, _changed(*sides, lines)))
    return hunks


def _changed(old: Lines, new: Lines, lines: Iterator[str]) -> int:
    """Reads a hunk to its end, which its head tells: lines in it may look like heads. Its first changed line in the new file."""
    left = {"-": old.count, "+": new.count}
    changed = None
    while any(count > 0 for count in left.values()) and (line := next(lines, None)) is not None:
        kind = line[:1]
        if kind in left and changed is None:
            changed = new.first + new.count - left["+"]
        if kind != "\\":  # \ No newline at end of file
            for side in left:
                left[side] -= kind not in left or kind == side
    last = new.first + new.count - 1 if new.count else new.first
    return max(1, min(new.first if changed is None else changed, last))


def _path(line: str, prefix: str) -> str:
    """The file of a head, as `--- a/model.py`; git quotes special letters, and a tab ends a name with spaces. Empty for none."""
    text = line[4:].rstrip("\r")
    if text.startswith('"'):
        packed = text[1:].rpartition('"')[0].encode(errors="surrogateescape")
        text = _ESCAPE.sub(lambda found: _unescaped(found[1]), packed).decode(errors="surrogateescape")
    else:
        text = text.partition("\t")[0]
    return "" if text == "/dev/null" else text.removeprefix(prefix)


def _unescaped(letters: bytes) -> bytes:
    return _ESCAPES[letters] if letters in _ESCAPES else bytes([int(letters, 8)])
