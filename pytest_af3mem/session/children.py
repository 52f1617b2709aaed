"""The worker processes of a session: never more than it may have, and who asks first is served first."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.session import host
from pytest_af3mem.session.answers import ENDED
from pytest_af3mem.session.child import Child
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.worker import environment as worker_environment
from pytest_af3mem.worker import protocol


class Children:
    """Workers that start when they are first needed. `close` ends them at once, and all that wait for one.

    There are at most `limit` of them, idle ones included: by default as many as there were cores, and memory for, at the start.
    `notes` are what they said that users should know.
    """

    def __init__(self, settings: Settings, results: Path, scratch: Path):
        self.limit = settings.workers or _affordable()
        self.notes: list[str] = []
        self.closed = False
        self._settings = settings
        self._folders = results, scratch
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[object] = deque()
        self._idle: list[Child] = []
        self._alive: set[Child] = set()

    def ask(self, message: Mapping[str, Any], seconds: float | None = None) -> Any:
        """The answer of a worker that compiles, which others ask then."""
        worker = self._taken(worker_environment.ENVIRONMENT)
        reply: Mapping[str, Any] = {"last": True}
        try:
            reply = worker.ask(message, seconds or self._settings.timeout)
            return self._accepted(worker, message, reply)
        finally:
            if reply.get("last"):
                self._end(worker)
            else:
                self._give_back(worker)

    def ask_once(self, message: Mapping[str, Any], environment: Mapping[str, str], *inherited: int) -> Any:
        """The answer of a new worker, which inherits these descriptors and is ended then."""
        asked = {**message, "full": self._settings.full_run}
        worker = self._taken(environment, inherited)
        try:
            return self._accepted(worker, asked, worker.ask(asked, self._settings.timeout))
        finally:
            self._end(worker)

    @property
    def doing(self) -> str:
        """What one of them does, in its own words; empty where none says."""
        with self._changed:
            return next((worker.doing for worker in self._alive if worker.doing), "")

    def close(self) -> None:
        with self._changed:
            self.closed = True
            alive, idle, self._idle = list(self._alive), self._idle, []
            self._changed.notify_all()
        for worker in alive:
            worker.kill()
        for worker in alive:
            worker.end()
        for worker in idle:
            self._end(worker)

    def _taken(self, environment: Mapping[str, str], inherited: tuple[int, ...] | None = None) -> Child:
        """A worker, when it is the turn of who asks: an idle one, or a new one for whom anything is `inherited`.

        So a test that waits for shapes does not wait for all that was submitted meanwhile.
        """
        place = object()
        with self._changed:
            self._queue.append(place)
            try:
                self._changed.wait_for(
                    lambda: self.closed or (self._queue[0] is place and (self._idle or len(self._alive) < self.limit))
                )
                if self.closed:
                    raise NotJudged(ENDED)
                if inherited is None and (idle := self._awake()):
                    return idle
                if len(self._alive) >= self.limit:
                    self._end(self._idle.pop())
                worker = Child(self._settings, *self._folders, environment, inherited or ())
                self._alive.add(worker)
                return worker
            finally:
                self._queue.remove(place)
                self._changed.notify_all()

    def _awake(self) -> Child | None:
        """An idle worker; those that were killed meanwhile, as by a kernel that is short of memory, are taken away."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            self._end(worker)
        return None

    def _give_back(self, worker: Child) -> None:
        with self._changed:
            if not self.closed:
                self._idle.append(worker)
                self._changed.notify_all()
                return
        self._end(worker)

    def _accepted(self, worker: Child, message: Mapping[str, Any], reply: Mapping[str, Any]) -> Any:
        """What a worker answered to a message: every answer comes through here. Its error is raised."""
        with self._changed:
            self.notes += reply.get("notes") or ()
        if "error" in reply:
            raise protocol.error(reply, worker.log())
        protocol.check(message["do"], reply["value"])
        return reply["value"]

    def _end(self, worker: Child) -> None:
        worker.release()
        with self._changed:
            self._alive.discard(worker)
            self._changed.notify_all()


def _affordable() -> int:
    """How many workers there are cores and memory for."""
    memory = host.available_memory_bytes()
    return max(1, min(host.cores(), 1 if memory is None else memory // host.WORKER_MEMORY_BYTES))
