"""Which session answers what a Job, a strategy or `generate` asks: tokens, buckets, chemical components.

The last session that registered, and has not ended, answers. Outside of one, a session with the settings of the environment is
started, which ends with the process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_af3mem.inputs.job import Job
    from pytest_af3mem.models.ccd import Store

_STARTER = "pytest_af3mem.session.session"  # by name, since it stands above this room: its `start` registers a session


class Answerer(Protocol):
    """What is asked of a session from here."""

    @property
    def components(self) -> Store | None: ...

    @property
    def buckets(self) -> tuple[int, ...]: ...

    def tokens(self, job: Job) -> int: ...


_running: list[Answerer] = []


def register(session: Answerer) -> None:
    """Lets `session` answer from now on."""
    _running.append(session)


def unregister(session: Answerer) -> None:
    """Lets the session before it answer again; one that was never registered is left alone."""
    if session in _running:
        _running.remove(session)


def current() -> Answerer:
    """The session that answers. Raises SetupError where none runs and none can be started."""
    if not _running:
        importlib.import_module(_STARTER).start()
    return _running[-1]
