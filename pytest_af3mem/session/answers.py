"""The answers of a session: each request is measured once, and each answer ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from pytest_af3mem.errors import Af3memError, NotJudged, first_line
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request

ENDED = "the session ended before it was measured"


class Answers:
    """A future for each request: `known` gives the peak at once, or `measure` sees to it that the future ends."""

    def __init__(self, known: Callable[[Request], Peak | None], measure: Callable[[Request, Future[Peak]], None]):
        self._known = known
        self._measure = measure
        self._lock = threading.Lock()
        self._answers: dict[Request, Future[Peak]] = {}
        self._first_of_group: dict[Any, Future[Peak]] = {}
        self.closed = False

    @property
    def waiting(self) -> int:
        """How many have not ended."""
        with self._lock:
            return sum(not answer.done() for answer in self._answers.values())

    def submit(self, request: Request) -> Future[Peak]:
        """The answer to a request, which is measured once unless `forget` is called.

        Of requests that will probably share a compiled program (same bucket, target and settings) the first goes ahead, so
        that the others find its result instead of holding a worker meanwhile.
        """
        with self._lock:
            if request in self._answers:
                return self._answers[request]
        peak = None if request.method == "run" else self._known(request)  # may take a worker: not with the lock
        with self._lock:
            if request in self._answers:
                return self._answers[request]
            answer: Future[Peak] = Future()
            self._answers[request] = answer
            if peak is not None:
                answer.set_result(peak)
                return answer
            group = (request.bucket, request.target, request.method, request.settings_text)
            first = self._first_of_group.setdefault(group, answer)
        if first is answer:
            self._start(request, answer)
        else:
            first.add_done_callback(lambda _: self._start(request, answer))
        return answer

    def forget(self, answer: Future[Peak]) -> None:
        """Whoever asks again for what this answer failed to give has it measured anew."""
        with self._lock:
            self._answers = {request: known for request, known in self._answers.items() if known is not answer}

    def close(self) -> None:
        """Ends all that have not ended, and all that are asked for afterwards, as not judged."""
        with self._lock:
            self.closed = True
            unanswered = [answer for answer in self._answers.values() if not answer.done()]
        for answer in unanswered:
            fail(answer, NotJudged(ENDED))

    def check_open(self) -> None:
        if self.closed:
            raise NotJudged(ENDED)

    def _start(self, request: Request, answer: Future[Peak]) -> None:
        """Has it measured; where that cannot even begin, that is the answer."""
        try:
            self.check_open()
            self._measure(request, answer)
        except Exception as error:
            fail(answer, error)


def succeed(answer: Future[Peak], peak: Peak) -> None:
    """Ends a future, where that has not been done."""
    with contextlib.suppress(InvalidStateError):  # the session was closed meanwhile
        answer.set_result(peak)


def fail(answer: Future[Peak], error: BaseException) -> None:
    """As `succeed`. What is no error of ours becomes one: it costs this answer, not the session."""
    if isinstance(error, Exception) and not isinstance(error, Af3memError):
        cause, error = error, NotJudged(f"it could not be measured: {first_line(error)}")
        error.__cause__ = cause
    with contextlib.suppress(InvalidStateError):
        answer.set_exception(error)
