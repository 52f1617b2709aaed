"""Many requests at once, and searches whose next request depends on the last answer: what every plan is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TypeVar

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.session import Session

Answer = Peak | NotJudged
Show = Callable[[str], None]  # takes a line about what is going on
_Result = TypeVar("_Result")
Search = Generator[Request, Answer, _Result]
"""Yields requests, is sent the answer to each, and returns what it found."""

_POLL_SECONDS = 0.5


def ask(session: Session, requests: Iterable[Request], show: Show) -> dict[Request, Answer]:
    """The answer to each request, in their order; they are measured side by side. Raises UsageError and SetupError."""
    pending = {request: session.pool.submit(request) for request in requests}
    start, known = time.monotonic(), sum(future.done() for future in pending.values())

    def show_all(text: str) -> None:
        done = sum(future.done() for future in pending.values())
        show(f"{progress(len(pending), done, known, time.monotonic() - start)}: {text}")

    return {request: answer(session, future, show_all) for request, future in pending.items()}


def progress(all: int, done: int, known: int, seconds: float) -> str:
    """`12 of 40, about 35 min left`, when `known` were done at the start, `seconds` ago; no guess before another one is."""
    left = seconds / (done - known) * (all - done) if done > known else None
    rest = "" if left is None else f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"
    return f"{done} of {all}{rest}"


def run_searches(session: Session, searches: Sequence[Search[_Result]], show: Show) -> list[_Result]:
    """What each search found. As many go on at once as there are workers, so that later ones know what earlier ones learnt."""
    found: dict[int, _Result] = {}
    waiting: dict[int, Future[Peak]] = {}
    idle = list(range(len(searches)))[::-1]

    def go_on(at: int, last: Answer | None) -> None:
        try:
            request = next(searches[at]) if last is None else searches[at].send(last)
        except StopIteration as end:
            found[at] = end.value
        else:
            waiting[at] = session.pool.submit(request)

    while idle or waiting:
        while idle and len(waiting) < session.pool.workers:
            go_on(idle.pop(), None)
        wait(waiting.values(), _POLL_SECONDS, FIRST_COMPLETED)
        show(f"{len(found)} of {len(searches)} done, {session.pool.status()}")
        for at in [at for at, future in waiting.items() if future.done()]:
            go_on(at, answer(session, waiting.pop(at), show))
    return [found[at] for at in range(len(searches))]


def answer(session: Session, future: Future[Peak], show: Show) -> Answer:
    """The peak, when it is there, or why there is none."""
    try:
        return session.wait(future, show)
    except NotJudged as error:
        return error
