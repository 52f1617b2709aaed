"""Many requests at once, each with its answer: what every plan is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.peak import Peak
from pytest_af3mem.request import Request
from pytest_af3mem.session import Session


def ask(session: Session, requests: Iterable[Request], show: Callable[[str], None]) -> list[Peak | NotJudged]:
    """The answers, in the order of the requests, which are measured side by side. Raises UsageError and SetupError."""
    answers: list[Peak | NotJudged] = []
    for future in [session.pool.submit(request) for request in requests]:
        try:
            answers.append(session.wait(future, show))
        except NotJudged as error:
            answers.append(error)
    return answers
