"""What goes on while a test waits for a measurement, for people who wait with it."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from pytest_af3mem.errors import shown
from pytest_af3mem.records.request import Request

PATIENCE_SECONDS = 10.0


class Progress:
    """On a terminal one line that is written over; elsewhere a line when a test begins to wait long, and one when it is over."""

    def __init__(self, config: pytest.Config):
        self._config = config
        self._is_shown = False
        self._since: float | None = None
        self._is_said = False

    def show(self, text: str) -> None:
        """What is going on, twice a second."""
        now = time.monotonic()
        self._since = self._since or now
        if self._reporter is None:
            return
        if self._reporter.isatty:
            self._rewrite(text)
        elif not self._is_said and now - self._since >= PATIENCE_SECONDS:
            self._is_said = True
            self._line(text)

    def end(self, request: Request, outcome: str) -> None:
        """What became of a request that a test waited for."""
        if self._is_shown:
            self._rewrite("")
        if self._is_said and self._since is not None:
            self._line(f"{request.conditions} {outcome} after {time.monotonic() - self._since:.0f} s")
        self._since, self._is_said = None, False

    @property
    def _reporter(self) -> Any:
        return self._config.pluginmanager.getplugin("terminalreporter")

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()

    def _rewrite(self, text: str) -> None:
        with self._uncaptured():
            if text and not self._is_shown:
                self._reporter.ensure_newline()
            self._reporter.rewrite(f"af3mem: {shown(text)}" if text else "", erase=True)
        self._is_shown = bool(text)

    def _line(self, text: str) -> None:
        with self._uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(f"af3mem: {shown(text)}")
            self._reporter.currentfspath = None  # so that the file's name stands before the dots that follow
