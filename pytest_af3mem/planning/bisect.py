"""The first of many revisions whose peak is over that of GOOD: a search that halves what is left with each measurement.

What cannot be measured is skipped and never guessed. So the answer may be several revisions, one of which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_af3mem.errors import NotJudged, SetupError, UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning import environments
from pytest_af3mem.planning.ask import Answer, Show, answer
from pytest_af3mem.planning.compare import named
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

GOOD, BAD = "GOOD", "BAD"
FORK, PARENT = "fork", "parent"


@dataclass(frozen=True)
class Revision:
    """A commit or a version: `id` is its whole name and `name` the one for people; versions have no more than that."""

    id: str
    name: str
    parents: tuple[str, ...]
    author: str = ""
    date: str = ""
    subject: str = ""


class History(Protocol):
    """What is bisected. `revisions` are those of which one is the first that is over: oldest first, without GOOD, BAD last."""

    @property
    def kind(self) -> str:
        """`commit` or `version`."""

    @property
    def good(self) -> str: ...

    @property
    def bad(self) -> str: ...

    @property
    def revisions(self) -> Mapping[str, Revision]: ...

    def find(self, id: str) -> Revision:
        """One of the `revisions`, or one before them."""

    def reference(self, id: str) -> str:
        """What a revision is held against: GOOD, or where its branch left before GOOD, the last that both have."""

    def settings(self, id: str, show: Show) -> Settings:
        """With which a revision is measured. Raises UsageError and SetupError where it cannot be."""

    def side(self, id: str) -> str:
        """A revision as `af3mem compare` takes it."""

    def command(self, id: str) -> str:
        """The shell command that shows what changed with it; empty where there is none."""


@dataclass(frozen=True)
class Tested:
    """A revision and the answer for it; `against` is the peak that it is held against. One in between has no `role`."""

    revision: Revision
    role: str
    request: Request | None
    answer: Answer
    against: Peak | None

    @property
    def difference_bytes(self) -> int | None:
        if isinstance(self.answer, Peak) and self.against:
            return self.answer.total_bytes - self.against.total_bytes
        return None

    def outcome(self, tolerance: Size) -> Outcome:
        """OVER where it needs more by more than the tolerance, of which percentages are of what it is held against."""
        if self.difference_bytes is None or self.against is None:
            return Outcome.NOT_JUDGED
        return Outcome.OVER if self.difference_bytes > tolerance.of(self.against.total_bytes) else Outcome.WITHIN


@dataclass(frozen=True)
class Bisection:
    """All that was tested, in this order, and the `candidates`, oldest first: one where the answer is certain.

    `before` and `after` are around the growth: the parent of the oldest candidate, or what BAD is held against where that cannot
    be measured; and the newest candidate.
    """

    history: History
    tolerance: Size
    tested: tuple[Tested, ...]
    candidates: tuple[Revision, ...] = ()
    before: Tested | None = None
    after: Tested | None = None
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Of BAD against GOOD."""
        return self.tested[-1].outcome(self.tolerance) if not self.candidates else Outcome.OVER

    @property
    def peaks(self) -> tuple[Peak, Peak] | None:
        """Before and after the growth; None where nothing grew."""
        if self.before and self.after and isinstance(self.before.answer, Peak) and isinstance(self.after.answer, Peak):
            return self.before.answer, self.after.answer
        return None


def search(parents: Mapping[str, Sequence[str]], bad: str, judge: Callable[[str, int], Outcome]) -> list[str]:
    """Of all that may be the first that is over, those that still may be at the end, in the order of `parents`.

    Each stands in `parents` after its own. `judge` takes the next to look at, and of how many. What is within is not it, nor is
    any of its ancestors; of what is over, it or one of its ancestors is.
    """
    places = {one: at for at, one in enumerate(parents)}
    reach: dict[str, int] = {}  # each with its ancestors, as bits
    for one, at in places.items():
        reach[one] = 1 << at
        for parent in parents[one]:
            reach[one] |= reach.get(parent, 0)
    left, skipped = reach[bad], set()
    while True:
        candidates = [one for one, at in places.items() if left >> at & 1]
        untested = [one for one in candidates if one != bad and one not in skipped]
        if not untested:
            return candidates
        sizes = {one: (reach[one] & left).bit_count() for one in untested}
        chosen = max(untested, key=lambda one: min(sizes[one], len(candidates) - sizes[one]))
        outcome = judge(chosen, len(candidates))
        if outcome is Outcome.OVER:
            bad, left = chosen, left & reach[chosen]
        elif outcome is Outcome.WITHIN:
            left &= ~reach[chosen]
        else:
            skipped.add(chosen)


def bisect(history: History, asked: Mapping[str, Any], tolerance: Size, show: Show, tell: Callable[[Tested], None]) -> Bisection:
    """Measures what `asked`, the arguments of `Session.request`, says of GOOD, of BAD, and of as few as need be in between.

    `tell` takes each as it is tested. Raises UsageError and SetupError where GOOD or BAD cannot be measured for a reason to mend.
    """
    measuring = _Measuring(history, asked, tolerance, show, tell)
    for id, role in ((history.good, GOOD), (history.bad, BAD)):
        last = measuring.tested(id, role)
        if last.outcome(tolerance) is Outcome.NOT_JUDGED:
            break
    if last.outcome(tolerance) is not Outcome.OVER:
        return Bisection(history, tolerance, tuple(measuring.done.values()), notes=tuple(measuring.notes))
    parents = {id: one.parents for id, one in history.revisions.items()}
    found = search(parents, history.bad, lambda id, left: measuring.tested(id, left=left).outcome(tolerance))
    after = measuring.done[found[-1]]
    before = measuring.tested(next(iter(parents[found[0]]), history.good), PARENT)
    if isinstance(before.answer, NotJudged):
        before = measuring.done[history.reference(found[-1])]
    candidates = tuple(history.revisions[id] for id in found)
    return Bisection(history, tolerance, tuple(measuring.done.values()), candidates, before, after, tuple(measuring.notes))


class _Measuring:
    """Measures each revision once; `done` is what was tested so far, by id."""

    def __init__(self, history: History, asked: Mapping[str, Any], tolerance: Size, show: Show, tell: Callable[[Tested], None]):
        self._history, self._asked, self._tolerance = history, asked, tolerance
        self._show, self._tell = show, tell
        self.done: dict[str, Tested] = {}
        self.notes: list[str] = []

    def tested(self, id: str, role: str = "", left: int = 0) -> Tested:
        if id not in self.done:
            revision, reference = self._history.find(id), self._history.reference(id)
            against = None if reference == id else self.tested(reference, FORK).answer
            progress = f"{left} {self._history.kind}s left, {revision.name}" if left else f"{role} {revision.name}".strip()
            try:
                request, found = self._answer(id, lambda text: self._show(f"{progress}: {text}"))
            except (SetupError, UsageError) as error:
                if role in (GOOD, BAD):
                    with named(f"{role} {revision.name}"):
                        raise
                request, found = None, NotJudged(str(error))
            if isinstance(against, NotJudged) and isinstance(found, Peak):
                name = self._history.find(reference).name
                found = NotJudged(f"{name}, at which its branch left, is not judged: {against}")
            peak = found if against is None else against
            self.done[id] = Tested(revision, role, request, found, peak if isinstance(peak, Peak) else None)
            self._tell(self.done[id])
        return self.done[id]

    def _answer(self, id: str, show: Show) -> tuple[Request | None, Answer]:
        settings = self._history.settings(id, show)
        with closing(Session(settings)) as session:
            request = session.request(**self._asked)
            found = answer(session, session.pool.submit(request), show)
            notes = list(session.pool.notes)
            if brought := environments.brought(settings.python):
                notes.append(f"{self._history.find(id).name} brought {', '.join(brought)}")
            self.notes += (text for text in notes if text not in self.notes)
            return request, found
