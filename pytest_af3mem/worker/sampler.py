"""Readings in a thread, again and again, while something else runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Sampler(Generic[T]):
    """Calls `read` every `seconds`, once at the start and once at the end at least, and hands each value to `keep`.

    `gap_seconds` is the longest time between two readings: what lasted shorter may have been missed. A reading that fails ends
    the thread, and leaving the `with` block raises its error.
    """

    def __init__(self, read: Callable[[], T], keep: Callable[[T], None], seconds: float):
        self.gap_seconds = 0.0
        self._read, self._keep, self._seconds = read, keep, seconds
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._last = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler[T]:
        self._last = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while True:
                last_time = self._ended.is_set()
                self._keep(self._read())
                now = time.monotonic()
                self.gap_seconds, self._last = max(self.gap_seconds, now - self._last), now
                if last_time:
                    return
                self._ended.wait(self._seconds)
        except BaseException as error:
            self._error = error
