"""Who measures functions: a session for each module that they are in, for its sources decide the number."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_af3mem.models import function, function_call
from pytest_af3mem.session.settings import Settings

if TYPE_CHECKING:
    from pytest_af3mem.session.session import Session

_MODULES = 2  # whose workers are kept


class FunctionSessions:
    """Sessions like the one with these settings, which `start` makes; `notes` as `Backend.notes`."""

    def __init__(self, settings: Settings, start: Callable[[Settings], Session]):
        self._settings = settings
        self._start = start
        self._sessions: dict[str, Session] = {}
        self._notes: list[str] = []

    def of(self, module: str) -> Session:
        """The session for functions of a module: as `--af3-path` has it, or as this process does, or an installed one."""
        folder, path = function_call.place(module), self._settings.path
        package = module.partition(".")[0]
        if path and ((path / package).is_dir() or (path / f"{package}.py").is_file()):
            folder = None
        model = function.spec(module, folder)
        if model not in self._sessions:
            while len(self._sessions) >= _MODULES:
                self._end(next(iter(self._sessions)))
            self._sessions[model] = self._start(dataclasses.replace(self._settings, model=model))
        return self._sessions[model]

    @property
    def notes(self) -> list[str]:
        return [*self._notes, *(note for one in self._sessions.values() for note in one.pool.notes)]

    def close(self) -> None:
        for model in list(self._sessions):
            self._end(model)

    def _end(self, model: str) -> None:
        session = self._sessions.pop(model)
        self._notes += session.pool.notes
        session.close()
