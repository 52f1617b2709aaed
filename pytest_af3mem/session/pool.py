"""Answers requests by worker processes, of which so many run at once as the machine allows. One that fails costs one reply."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import Af3memError, InputError, NotJudged, SetupError, first_line
from pytest_af3mem.gpus import local
from pytest_af3mem.gpus import lock as gpu_lock
from pytest_af3mem.records import answering
from pytest_af3mem.records.identity import batch_identity, find_peak, peak_identity
from pytest_af3mem.records.job_sequence import JobSequence
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.session import host
from pytest_af3mem.session.child import Child, Died
from pytest_af3mem.session.host import WORKER_MEMORY_BYTES
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.storage.files import prepared
from pytest_af3mem.storage.scratch import Scratch
from pytest_af3mem.storage.typed import read_text
from pytest_af3mem.worker import environment as worker_environment
from pytest_af3mem.worker import protocol, trust

_DESCRIBE_SECONDS = 120
_ENDED = "the session ended before it was measured"


class Pool:
    """Answers requests from the cache or by workers, which start when they are first needed. `close` ends them at once.

    Every future that it hands out ends: with a peak, an error, or, when the pool is closed, as not judged.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        folder = prepared(settings.cache_dir)
        self._scratch = Scratch()
        self._results = self._scratch.path / "results" if settings.no_cache else folder
        self._cache = Cache(self._results)
        self._limit = settings.workers or _affordable()
        self._threads = ThreadPoolExecutor(self._limit, thread_name_prefix="af3mem")
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._answers: dict[Request, Future[Peak]] = {}
        self._featurised: dict[Request, dict[str, Any]] = {}
        self._first_of_group: dict[Any, Future[Peak]] = {}
        self._running: dict[Request, float] = {}
        self._queue: deque[object] = deque()
        self._idle: list[Child] = []
        self._alive: set[Child] = set()
        self._worker_notes: list[str] = []
        self._runs: list[tuple[Any, str, Peak]] = []
        self.closed = False

    @property
    def workers(self) -> int:
        """How many measurements run at once: by default as many as there were cores, and memory for, when the pool was made."""
        return self._limit

    @property
    def notes(self) -> list[str]:
        """What users should know of the cache: damaged entries that were measured again."""
        return list(dict.fromkeys([*self._cache.problems, *self._worker_notes]))

    @cached_property
    def installation(self) -> Installation:
        """What the worker's interpreter holds. Raises SetupError when something is missing that measuring needs."""
        try:
            found = self._ask({"do": "describe"}, _DESCRIBE_SECONDS)
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
        """The chemical component store of the model, made where it is missing; None for a model without one."""
        path = self._ask({"do": "components"}, self._settings.timeout)
        return Path(path) if path else None

    def targets(self) -> dict[str, str]:
        """Every target of the catalogue, and why it does not compile here (empty where it does)."""
        return dict(self._ask({"do": "targets"}, self._settings.timeout))

    def featurise(self, request: Request) -> dict[str, Any]:
        """Tokens, bucket and the shapes of the features, without compiling anything; NotJudged where our count differs.

        The dictionary of chemical components is made first where it is missing.
        """
        if request not in self._featurised:
            asked = {"do": "featurise", "request": request.to_json()}
            found = answering.features(request, self._ask(asked, self._settings.timeout))
            self._featurised[request] = dataclasses.asdict(found)
        return self._featurised[request]

    def signature(self, request: Request) -> str:
        """What decides the compiled program of a job: a digest of its features' shapes, featurised where it is not known yet."""
        known = self._cache.get("signatures", batch_identity(self.installation, request), read_text)
        return str(known or self.featurise(request)["signature"])

    def submit(self, request: Request) -> Future[Peak]:
        """The peak, or NotJudged with the reason, in a while. An equal request is measured once a session, but see `forget`.

        Of requests that will probably share a compiled program (same bucket, target and settings) the first goes ahead, so
        that the others find its result instead of holding a worker meanwhile.
        """
        with self._lock:
            if request in self._answers:
                return self._answers[request]
        peak = None if request.method == "run" else self._cached(request)  # may take a worker: not with the lock
        with self._lock:
            if request in self._answers:
                return self._answers[request]
            answer: Future[Peak] = Future()
            self._answers[request] = answer
            if peak is not None:
                answer.set_result(peak)
                return answer
            group = (request.bucket, request.target, request.method, request.stated)
            first = self._first_of_group.setdefault(group, answer)
        if first is answer:
            self._start(request, answer)
        else:
            first.add_done_callback(lambda _: self._start(request, answer))
        return answer

    def forget(self, answer: Future[Peak]) -> None:
        """Who asks again for what this answer, which failed, was to tell will have it measured anew."""
        with self._lock:
            self._answers = {request: known for request, known in self._answers.items() if known is not answer}

    def rehearse(self, request: Request) -> dict[str, Any]:
        """What a run on a GPU would do, done on JAX's CPU device: its steps, and why that is no measurement."""
        return dict(self._ask_once({"do": "rehearse", "request": request.to_json()}, worker_environment.ENVIRONMENT))

    def sequence(self, requests: list[Request]) -> JobSequence:
        """The requests one after the other in one process, and the last alone in another.

        On the GPU that is their target where one is visible, else on JAX's CPU device, which counts no bytes.
        """
        on_gpu = requests[0].target in local.targets(os.environ)
        answers = []
        for asked in (requests, requests[-1:]):
            message = {"do": "sequence", "requests": [one.to_json() for one in asked]}
            steps = (
                self._ask_on_gpu(message, asked[0].target) if on_gpu else self._ask_once(message, worker_environment.ENVIRONMENT)
            )
            answers.append(answering.steps(asked, steps))
        together, (alone,) = answers
        return JobSequence(together, alone, requests[0].target if on_gpu else "JAX's CPU device")

    def status(self) -> str:
        """What is going on, in one line: `compiling 512 tokens for h100-80gb (34 s), 3 waiting`."""
        with self._lock:
            now = time.monotonic()
            running = [f"{one.tokens} tokens for {one.target} ({now - start:.0f} s)" for one, start in self._running.items()]
            waiting = sum(not answer.done() for answer in self._answers.values()) - len(running)
            doing = next((worker.doing for worker in self._alive if worker.doing), "")
        return f"{doing} {', '.join(running)}".strip() + (f", {waiting} waiting" if waiting else "")

    def close(self) -> None:
        """Kills the workers; what they had not answered is not judged."""
        with self._lock:
            self.closed = True
            unanswered = [answer for answer in self._answers.values() if not answer.done()]
            self._changed.notify_all()
        for answer in unanswered:
            fail(answer, NotJudged(_ENDED))
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            alive, idle, self._idle = list(self._alive), self._idle, []
        for worker in alive:
            worker.kill()
        for worker in alive:
            worker.end()
        for worker in idle:
            self._end(worker)
        self._scratch.close()

    def _start(self, request: Request, answer: Future[Peak]) -> None:
        """Has it measured; where that cannot even begin, that is the answer."""
        try:
            self._check_open()
            self._hand_over(request, answer)
        except Exception as error:
            fail(answer, error)

    def _check_open(self) -> None:
        if self.closed:
            raise NotJudged(_ENDED)

    def _hand_over(self, request: Request, answer: Future[Peak]) -> None:
        try:
            self._threads.submit(self._run, request, answer)
        except RuntimeError as error:
            self._check_open()
            raise NotJudged(f"no thread can be started for it ({error}); --af3-workers 1 needs fewer") from error

    def _run(self, request: Request, answer: Future[Peak]) -> None:
        if answer.done():  # it was told that there is no thread, and then one was free
            return
        with self._lock:
            self._running[request] = time.monotonic()
        try:
            succeed(answer, self._run_on_gpu(request) if request.method == "run" else self._compile(request))
        except BaseException as error:
            fail(answer, error)
        finally:
            with self._lock:
                del self._running[request]

    def _compile(self, request: Request) -> Peak:
        reply = self._ask({"do": "measure", "request": request.to_json()}, self._settings.timeout)
        return answering.accepted(request, self.installation, reply).peak

    def _run_on_gpu(self, request: Request) -> Peak:
        """A program that was run in this session is not run again; nothing else of a run is kept, for a card is no constant."""
        same = [run for run in self._runs if run[0] == (request.target, request.stated)]
        if same:
            signature = self.featurise(request)["signature"]
            for _, known, peak in same:
                if known == signature:
                    return dataclasses.replace(peak, tokens=request.tokens, bucket=request.bucket, seconds=0.0, cached=True)
        if reason := trust.why_unified(os.environ):
            needed = self._compile(dataclasses.replace(request, method="compiled")).total_bytes
            raise NotJudged(f"{reason}; {trust.what_would_spill(needed, request.target)}")
        reply = self._ask_on_gpu({"do": "run", "request": request.to_json()}, request.target)
        answer = answering.accepted(request, self.installation, reply)
        self._runs.append(((request.target, request.stated), answer.signature, answer.peak))
        return answer.peak

    def _ask_on_gpu(self, message: Mapping[str, Any], target: str) -> Any:
        """The answer of a process of its own on a free GPU that is `target`."""
        if reason := trust.why_no_counters(os.environ):
            raise NotJudged(reason)
        with gpu_lock.turn(local.candidates(target, os.environ), lambda: self.closed) as (gpu, lock):
            environment = worker_environment.environment(os.environ, gpu.uuid)
            return self._ask_once({**message, "uuid": gpu.uuid}, environment, lock)

    def _ask_once(self, message: Mapping[str, Any], environment: Mapping[str, str], *inherited: int) -> Any:
        """The answer of a new worker, which is ended then."""
        asked = {**message, "full": self._settings.full_run}
        worker = self._taken(environment, inherited)
        try:
            return self._accepted(worker, asked, worker.ask(asked, self._settings.timeout))
        finally:
            self._end(worker)

    def _ask(self, message: Mapping[str, Any], seconds: float) -> Any:
        """The answer of a worker that compiles, which others ask then."""
        worker = self._taken(worker_environment.ENVIRONMENT)
        reply: Mapping[str, Any] = {"last": True}
        try:
            reply = worker.ask(message, seconds)
            return self._accepted(worker, message, reply)
        finally:
            if reply.get("last"):
                self._end(worker)
            else:
                self._give_back(worker)

    def _cached(self, request: Request) -> Peak | None:
        signature = self._cache.get("signatures", batch_identity(self.installation, request), read_text)
        why_not = functools.partial(answering.why_not_the_answer, request, self.installation)
        identity = peak_identity(self.installation, request, signature) if signature else None
        return find_peak(self._cache, identity, request, why_not) if identity else None

    def _taken(self, environment: Mapping[str, str], inherited: tuple[int, ...] | None = None) -> Child:
        """A worker, when it is the turn of who asks: an idle one, or a new one for whom anything is `inherited`.

        There are never more than `--af3-workers` of them, idle ones included. Who asks first is served first: a test that waits
        for shapes does not wait for all that was submitted meanwhile.
        """
        place = object()
        with self._lock:
            self._queue.append(place)
            try:
                self._changed.wait_for(lambda: self.closed or (self._queue[0] is place and self._has_room()))
                self._check_open()
                if inherited is None and (idle := self._awake()):
                    return idle
                if len(self._alive) >= self._limit:
                    self._end(self._idle.pop())
                worker = Child(self._settings, self._results, self._scratch.path, environment, inherited or ())
                self._alive.add(worker)
                return worker
            finally:
                self._queue.remove(place)
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._alive) < self._limit

    def _awake(self) -> Child | None:
        """An idle worker; those that were killed meanwhile, as by a kernel that is short of memory, are taken away."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            self._end(worker)
        return None

    def _give_back(self, worker: Child) -> None:
        with self._lock:
            if not self.closed:
                self._idle.append(worker)
                self._changed.notify_all()
                return
        self._end(worker)

    def _accepted(self, worker: Child, message: Mapping[str, Any], reply: Mapping[str, Any]) -> Any:
        """What a worker answered to a message: every answer comes through here. Its error is raised."""
        with self._lock:
            self._worker_notes += reply.get("notes") or ()
        if "error" in reply:
            raise protocol.error(reply, worker.log())
        protocol.check(message["do"], reply["value"])
        return reply["value"]

    def _end(self, worker: Child) -> None:
        worker.release()
        with self._lock:
            self._alive.discard(worker)
            self._changed.notify_all()


def _affordable() -> int:
    """How many workers there are cores and memory for."""
    memory = host.available_memory_bytes()
    return max(1, min(host.cores(), 1 if memory is None else memory // WORKER_MEMORY_BYTES))


def succeed(answer: Future[Peak], peak: Peak) -> None:
    """Ends a future, where that has not been done."""
    with contextlib.suppress(InvalidStateError):  # the pool was closed meanwhile
        answer.set_result(peak)


def fail(answer: Future[Peak], error: BaseException) -> None:
    """As `succeed`. What is no error of ours becomes one: it costs this answer, not the session."""
    if isinstance(error, Exception) and not isinstance(error, Af3memError):
        cause, error = error, NotJudged(f"it could not be measured: {first_line(error)}")
        error.__cause__ = cause
    with contextlib.suppress(InvalidStateError):
        answer.set_exception(error)
