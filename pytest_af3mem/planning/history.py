"""The revisions of a committed baseline file, read from git, and the course of each test's peak over them."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_af3mem.errors import InputError, SetupError, UsageError, near
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.revisions import git
from pytest_af3mem.records.baseline import Baseline, Entry, usual_tolerance
from pytest_af3mem.records.holders import Difference

_SHORT = 7  # letters of a commit's name
_TWO_PATHS = ("R", "C")  # of git's letters for what became of a file: renamed, copied
_GONE = "D"


@dataclass(frozen=True)
class Commit:
    """`seconds` is when it was made, since 1970; `subject` is the first line of its message."""

    name: str
    seconds: int
    subject: str

    def __str__(self) -> str:
        return f"{self.short} {self.day}"

    @property
    def short(self) -> str:
        return self.name[:_SHORT]

    @property
    def day(self) -> str:
        return f"{datetime.datetime.fromtimestamp(self.seconds, datetime.UTC):%Y-%m-%d}"


@dataclass(frozen=True)
class Skipped:
    """A commit in which the file is no baseline, and why."""

    commit: Commit
    reason: str


@dataclass(frozen=True)
class Jump(Difference):
    """A commit that moved a peak by more than the tolerance."""

    commit: Commit
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True)
class Course:
    """One test's accepted peaks, the oldest first: of one target, method, bucket, model and what was stated of it."""

    points: tuple[tuple[Commit, Entry], ...]

    @property
    def entry(self) -> Entry:
        """The newest."""
        return self.points[-1][1]

    @property
    def sizes(self) -> list[int]:
        return [entry.total_bytes for _, entry in self.points]

    def jumps(self, tolerance: Size | None = None) -> list[Jump]:
        """Commits that moved the peak up or down by more than `tolerance`, of which percentages are of the peak before."""
        allowed = tolerance or usual_tolerance(self.entry.method)
        pairs = zip(self.points, self.points[1:], strict=False)
        found = [Jump(commit, before.total_bytes, after.total_bytes) for (_, before), (commit, after) in pairs]
        return [one for one in found if one.difference_bytes and abs(one.difference_bytes) > allowed.of(one.before_bytes)]


@dataclass(frozen=True)
class History:
    """What `read` found in `file`: its `commits` with a valid baseline, the oldest first, and those that were skipped."""

    file: str
    commits: tuple[Commit, ...]
    courses: tuple[Course, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def ended(self, course: Course) -> bool:
        """Whether the newest revision has no such test any more."""
        return course.points[-1][0] != self.commits[-1]

    def of_tests(self, names: Sequence[str]) -> History:
        """With tests alone whose name holds one of `names`, all where there are none. Raises UsageError for a name of no test."""
        tests = list(dict.fromkeys(course.entry.test for course in self.courses))
        for name in names:
            if not any(name in test for test in tests):
                hint = near(name, tests) or f"; without --test all {len(tests)} are shown"
                raise UsageError(f"--test {name!r} is in no revision of {self.file!r} that was read{hint}")
        kept = [course for course in self.courses if not names or any(name in course.entry.test for name in names)]
        return replace(self, courses=tuple(kept))


def read(file: Path, last: int, show: Callable[[str], None] = lambda text: None) -> History:
    """The newest `last` revisions of a file on the branch that is checked out, also by names that it had before.

    Of a merge counts what it brought into that branch. Raises UsageError where git knows no baseline of that name, and
    SetupError where git fails.
    """
    place = Path(os.path.realpath(file))  # the gate also writes the file that a link names
    if place.is_dir() or not place.parent.is_dir():
        reason = "is a folder" if place.is_dir() else "is in no folder that there is"
        raise UsageError(f"{str(file)!r} {reason}: give the committed file of --af3-baseline")
    found: list[tuple[Commit, Baseline]] = []
    skipped: list[Skipped] = []
    known: dict[str, Baseline | str] = {}
    listed = list(_log(place, str(file), last))
    for number, (commit, blob) in enumerate(listed, start=1):
        show(f"revision {number} of {len(listed)}")
        if blob not in known:
            known[blob] = _parsed(place.parent, blob)
        one = known[blob]
        if isinstance(one, Baseline):
            found.append((commit, one))
        else:
            skipped.append(Skipped(commit, one))
    if not found:
        newest = skipped[0]
        raise UsageError(
            f"{str(file)!r} is no baseline in any of the {len(skipped)} revisions that were read ({newest.commit.short}: "
            f"{newest.reason}): give the committed file of --af3-baseline"
        )
    notes = (_SHALLOW,) if git(place.parent, "rev-parse", "--is-shallow-repository").output.strip() == "true" else ()
    return History(str(file), tuple(commit for commit, _ in reversed(found)), courses(found), tuple(skipped[::-1]), notes)


_SHALLOW = "this clone has part of the history: git fetch --unshallow brings the rest (in actions/checkout, fetch-depth: 0)"


def _log(place: Path, named: str, last: int) -> Iterator[tuple[Commit, str]]:
    """Commits that changed the file, the newest first, and what names its contents in git: empty where it was removed."""
    said = git(
        place.parent,
        *("-c", "log.diffMerges=separate", "--literal-pathspecs", "log", "--follow", "--first-parent", "-m"),
        *("--no-show-signature", "--encoding=UTF-8", "--raw", "--no-abbrev", "-z", "--format=%H %ct %s", f"--max-count={last}"),
        *("--", place.name),
    )
    if said.status and "not a git repository" in said.words:
        raise UsageError(f"{named!r} is in no git repository: give the file of --af3-baseline where it is committed")
    if said.status and "does not have any commits" not in said.words:
        raise SetupError(f"{named!r} cannot be read by git: {said.words}")
    if not said.output:
        raise UsageError(f"{named!r} has no revision in git: commit it first, or give the name by which it is committed")
    words = iter(said.output.split("\0"))
    commit = None
    for word in words:
        if commit and word.startswith("\n:"):
            *_, blob, letter = word.split()
            for _ in range(2 if letter.startswith(_TWO_PATHS) else 1):
                next(words)
            yield commit, "" if letter == _GONE else blob
        elif word:
            name, seconds, subject = word.split(" ", 2)
            commit = Commit(name, int(seconds), subject)


def _parsed(folder: Path, blob: str) -> Baseline | str:
    """The baseline, or why it is none."""
    if not blob:
        return "was removed"
    said = git(folder, "cat-file", "blob", blob)
    if said.status:
        return f"cannot be read by git: {said.words}"
    try:
        said.output.encode()
        return Baseline.parse(said.output)
    except UnicodeEncodeError:  # what git gave was not UTF-8
        return "is not text in UTF-8"
    except InputError as error:
        return str(error)


def courses(revisions: Sequence[tuple[Commit, Baseline]]) -> tuple[Course, ...]:
    """Those of `revisions`, the newest first, in the order in which the newest file has its tests; then those that are gone.

    An older entry belongs to the test that the gate would compare with it: of the same parts, or of an earlier version that does
    not say what was stated, or names tests from a folder below.
    """
    found: list[list[tuple[Commit, Entry]]] = []
    for commit, baseline in revisions:
        left = dict(baseline.by_key)
        open_ones = []
        for points in found:
            same = baseline.find(points[-1][1])
            if same and left.pop(same.key, None):
                points.append((commit, same))
            else:
                open_ones.append(points)
        for entry in list(left.values()):
            renamed = [points for points in open_ones if _was_named(entry, points[-1][1])]
            if len(renamed) == 1:  # else nobody knows whose it is
                open_ones.remove(renamed[0])
                renamed[0].append((commit, entry))
            else:
                found.append([(commit, entry)])
    return tuple(Course(tuple(reversed(points))) for points in found)


def _was_named(older: Entry, newer: Entry) -> bool:
    """Whether `older` is the same by the name that earlier versions gave, without folders above pytest's own."""
    return newer.test.endswith(f"/{older.test}") and Baseline((older,)).find(replace(newer, test=older.test)) is not None
