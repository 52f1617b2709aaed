"""Answers requests by worker processes, of which so many run at once as the machine allows. One that fails costs one reply."""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import InputError, NotJudged, SetupError
from pytest_af3mem.models.function_call import shortened
from pytest_af3mem.records import answering, shipped
from pytest_af3mem.records.identity import known_peak, known_signature
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.read_program import ReadProgram
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.session import host
from pytest_af3mem.session.answers import Answers, fail, succeed
from pytest_af3mem.session.child import Died
from pytest_af3mem.session.children import Children
from pytest_af3mem.session.gpu_runs import GpuRuns
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage import housekeeping
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.storage.files import in_use, prepared
from pytest_af3mem.storage.scratch import Scratch

_DESCRIBE_SECONDS = 120


class Pool:
    """The `Backend` on this machine: answers come from the cache or of workers, which start when they are first needed."""

    def __init__(self, settings: Settings):
        self._settings = settings
        folder = prepared(settings.cache_dir)
        self._stop_using = weakref.finalize(self, in_use(folder).close)
        self._scratch = Scratch()
        results = self._scratch.path / "results" if settings.no_cache else folder
        self.cache = Cache(results, None if settings.no_cache else shipped.folder())
        self._children = Children(settings, results, self._scratch.path)
        self.workers = self._children.limit
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="af3mem")
        self._cited: dict[str, None] = {}
        self._answers = Answers(self._known, self._hand_over)
        self.submit, self.forget = self._answers.submit, self._answers.forget
        self.gpu_runs = GpuRuns(self, self._children, self._scratch.path)
        self._featurised: dict[Request, dict[str, Any]] = {}
        self._running: dict[Request, float] = {}
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        return self._answers.closed

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys([*self._cited, *self.cache.problems, *self._children.notes]))

    @cached_property
    def installation(self) -> Installation:
        """As `Backend.installation`: a worker says it, who is asked once."""
        try:
            found = self._children.ask({"do": "describe"}, _DESCRIBE_SECONDS)
        except Died as error:
            *_, last = ["", *error.detail.splitlines()]
            python = self._settings.python
            raise SetupError(f"--af3-python {python} does not work as a Python ({error.cause}): {last}") from error
        except NotJudged as error:
            raise SetupError(str(error)) from error
        try:
            return Installation.from_json(found)
        except InputError as error:
            text = f"--af3-python {self._settings.python} does not say what it holds: {ascii(found)[:60]}"
            raise SetupError(text) from error

    @cached_property
    def components(self) -> Path | None:
        path = self._children.ask({"do": "components"})
        return Path(path) if path else None

    def targets(self) -> dict[str, str]:
        described = [{"target": name, **gpus.carried(name)} for name in gpus.learnt()]
        return dict(self._children.ask({"do": "targets", "described": described}))

    def featurise(self, request: Request) -> dict[str, Any]:
        """As `Backend.featurise`. The dictionary of chemical components is made first where it is missing."""
        if request not in self._featurised:
            reply = self._children.ask({"do": "featurise", "request": request.to_json()})
            self._featurised[request] = dataclasses.asdict(answering.features(request, reply))
        return self._featurised[request]

    def signature(self, request: Request) -> str:
        return known_signature(self.cache, self.installation, request) or str(self.featurise(request)["signature"])

    def read(self, path: Path) -> ReadProgram:
        """A compiled program that lies in a file or folder. Raises UsageError where none is read there."""
        return ReadProgram.from_json(self._children.ask({"do": "read", "path": str(path)}))

    def compile(self, request: Request) -> Peak:
        """The peak, now: a worker compiles it, or finds it in the cache."""
        reply = self._children.ask({"do": "measure", "request": request.to_json(), "threads": self._cores_each()})
        return self._cite(answering.accepted(request, self.installation, reply).peak)

    def _cores_each(self) -> int:
        """The share of a measurement that begins now: two that run at once are slowed by more threads than there are cores."""
        return max(1, host.cores() // min(self.workers, max(1, self._answers.waiting)))

    def status(self) -> str:
        """What is going on, in one line: `compiling: 512 tokens for h100-80gb (34 s), 3 waiting`."""
        with self._lock:
            now = time.monotonic()
            asked = [(one, shortened(one.function) or f"{one.tokens} tokens", start) for one, start in self._running.items()]
            running = [f"{what} for {one.target} ({now - start:.0f} s)" for one, what, start in asked]
        waiting = max(0, self._answers.waiting - len(running))  # one may have ended in between
        doing = ": ".join(part for part in (self._children.doing, ", ".join(running)) if part)
        return doing + (f", {waiting} waiting" if waiting else "")

    def close(self) -> None:
        self._answers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._children.close()
        self._scratch.close()
        self._stop_using()
        housekeeping.tidy(self._settings.cache_dir)

    def _known(self, request: Request) -> Peak | None:
        found = known_peak(self.cache, self.installation, request)
        return found and self._cite(found)

    def _cite(self, peak: Peak) -> Peak:
        """The peak; where it is a shipped answer, that is noted."""
        if peak.shipped:
            self._cited[shipped.citation(peak)] = None
        return peak

    def _hand_over(self, request: Request, answer: Future[Peak]) -> None:
        try:
            self._threads.submit(self._measure, request, answer)
        except RuntimeError as error:
            self._answers.check_open()
            raise NotJudged(f"no thread can be started for it ({error}); --af3-workers 1 needs fewer") from error

    def _measure(self, request: Request, answer: Future[Peak]) -> None:
        if answer.done():  # it failed for want of a thread, and then one was free
            return
        with self._lock:
            self._running[request] = time.monotonic()
        try:
            succeed(answer, self.gpu_runs.run(request) if request.method == "run" else self.compile(request))
        except BaseException as error:
            fail(answer, error)
        finally:
            with self._lock:
                del self._running[request]
