"""Starts worker processes, feeds them, times them out and replaces them. A worker that fails costs one reply."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_af3mem import answering, turns, visible
from pytest_af3mem.cache import Cache, find_peak, prepared
from pytest_af3mem.errors import Af3memError, NotJudged, OutOfMemory, SetupError, UsageError
from pytest_af3mem.peak import Peak
from pytest_af3mem.probes import compiled, nvml, running, surroundings
from pytest_af3mem.records import read_text
from pytest_af3mem.request import Installation, Request, batch_identity, peak_identity
from pytest_af3mem.sequence import Sequence
from pytest_af3mem.settings import Settings

_WORKER_MEMORY_BYTES = 4 * 2**30  # a worker was seen to take 2 to 3 GiB of host memory
_DESCRIBE_SECONDS = 120
_LOG_LINES, _LOG_LINE_LENGTH, _LOG_TAIL_BYTES = 20, 300, 2**16
_ERRORS: dict[str, type[Af3memError]] = {error.__name__: error for error in (NotJudged, OutOfMemory, SetupError, UsageError)}

# The package is loaded by its folder: the worker's interpreter need not have it, and nothing else of ours gets on its path.
# The current folder comes last, so that a model of the user's own is found there and shadows nothing.
_START = """
import json, sys
if sys.version_info < (3, 11):
    text = "%s is Python %d.%d, too old: " % ((sys.executable,) + sys.version_info[:2])
    text += "give one that holds AlphaFold 3 (Python 3.12 or 3.13)"
    sys.stdout.write(json.dumps({{"error": "SetupError", "text": text}}) + "\\n")
    sys.exit()
import importlib.util
sys.path = [entry for entry in sys.path if entry] + [""]
spec = importlib.util.spec_from_file_location("pytest_af3mem", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["pytest_af3mem"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from pytest_af3mem.worker import main
main()
"""


class Pool:
    """Answers requests from the cache or by workers, which start when they are first needed. `close` ends them at once."""

    def __init__(self, settings: Settings):
        self._settings = settings
        folder = prepared(settings.cache_dir)
        self._forgotten = tempfile.TemporaryDirectory(prefix="af3mem-") if settings.no_cache else None
        self._results = Path(self._forgotten.name) if self._forgotten else folder
        self._cache = Cache(self._results)
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="af3mem")
        self._lock = threading.RLock()
        self._answers: dict[Request, Future[Peak]] = {}
        self._featurised: dict[Request, dict[str, Any]] = {}
        self._first_of_group: dict[Any, Future[Peak]] = {}
        self._running: dict[Request, float] = {}
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()
        self._worker_notes: list[str] = []
        self._runs: list[tuple[Any, str, Peak]] = []
        self.closed = False

    @property
    def workers(self) -> int:
        """How many measurements run at once: by default as many as there are cores, and memory for."""
        return self._settings.workers or max(1, min(_cores(), _available_memory_bytes() // _WORKER_MEMORY_BYTES))

    @property
    def notes(self) -> list[str]:
        """What users should know of the cache: damaged entries that were measured again."""
        return list(dict.fromkeys([*self._cache.problems, *self._worker_notes]))

    @cached_property
    def installation(self) -> Installation:
        """What the worker's interpreter holds. Raises SetupError when something is missing that measuring needs."""
        try:
            found = self._ask({"do": "describe"}, _DESCRIBE_SECONDS)
        except _Died as error:
            *_, last = ["", *error.detail.splitlines()]
            python = self._settings.python
            raise SetupError(f"--af3-python {python} does not work as a Python ({error.cause}): {last}") from error
        except NotJudged as error:
            raise SetupError(str(error)) from error
        return Installation.from_json(found)

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
        """The peak, or NotJudged with the reason, in a while. An equal request is measured once a session.

        Of requests that will probably share a compiled program (same bucket, target and settings) the first goes ahead, so
        that the others find its result instead of holding a worker meanwhile.
        """
        with self._lock:
            if request in self._answers:
                return self._answers[request]
            peak = None if request.method == "run" else self._cached(request)
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

    def rehearse(self, request: Request) -> dict[str, Any]:
        """What a run on a GPU would do, done on JAX's CPU device: its steps, and why that is no measurement."""
        return dict(self._ask_once({"do": "rehearse", "request": request.to_json()}, compiled.ENVIRONMENT))

    def sequence(self, requests: list[Request]) -> Sequence:
        """The requests one after the other in one process, and the last alone in another.

        On the GPU that is their target where one is visible, else on JAX's CPU device, which counts no bytes.
        """
        on_gpu = requests[0].target in visible.targets(os.environ)
        answers = []
        for asked in (requests, requests[-1:]):
            message = {"do": "sequence", "requests": [one.to_json() for one in asked]}
            steps = self._ask_on_gpu(message, asked[0].target) if on_gpu else self._ask_once(message, compiled.ENVIRONMENT)
            answers.append(answering.steps(asked, steps))
        together, (alone,) = answers
        return Sequence(together, alone, requests[0].target if on_gpu else "JAX's CPU device")

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
        self.closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for worker in self._alive:
                worker.kill()
            for worker in self._idle:
                worker.release()
            if self._forgotten:
                self._forgotten.cleanup()

    def _start(self, request: Request, answer: Future[Peak]) -> None:
        with contextlib.suppress(RuntimeError):  # the pool was closed meanwhile
            self._threads.submit(self._run, request, answer)

    def _run(self, request: Request, answer: Future[Peak]) -> None:
        with self._lock:
            self._running[request] = time.monotonic()
        try:
            answer.set_result(self._run_on_gpu(request) if request.method == "run" else self._compile(request))
        except BaseException as error:
            answer.set_exception(error)
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
        if reason := surroundings.unified(os.environ):
            needed = self._compile(dataclasses.replace(request, method="compiled")).total_bytes
            raise NotJudged(f"{reason}; {surroundings.spilled(needed, request.target)}")
        reply = self._ask_on_gpu({"do": "run", "request": request.to_json()}, request.target)
        answer = answering.accepted(request, self.installation, reply)
        self._runs.append(((request.target, request.stated), answer.signature, answer.peak))
        return answer.peak

    def _ask_on_gpu(self, message: Mapping[str, Any], target: str) -> Any:
        """The answer of a process of its own on a free GPU that is `target`."""
        if reason := surroundings.allocator(os.environ):
            raise NotJudged(reason)
        with turns.turn(visible.candidates(target, os.environ), lambda: self.closed) as (gpu, lock):
            environment = running.environment(os.environ, gpu.uuid)
            return self._ask_once({**message, "uuid": gpu.uuid}, environment, lock)

    def _ask_once(self, message: Mapping[str, Any], environment: Mapping[str, str], *inherited: int) -> Any:
        """The answer of a new worker, which is ended then."""
        with self._lock:
            if self.closed:
                raise NotJudged("the session ended before it was measured")
            worker = _Worker(self._settings, self._results, environment, inherited)
            self._alive.add(worker)
        try:
            asked = {**message, "full": self._settings.full_run}
            return self._value(worker, worker.ask(asked, self._settings.timeout))
        finally:
            self._end(worker)

    def _cached(self, request: Request) -> Peak | None:
        signature = self._cache.get("signatures", batch_identity(self.installation, request), read_text)
        why_not = functools.partial(answering.why_not_the_answer, request, self.installation)
        identity = peak_identity(self.installation, request, signature) if signature else None
        return find_peak(self._cache, identity, request, why_not) if identity else None

    def _ask(self, message: Mapping[str, Any], seconds: float) -> Any:
        with self._lock:
            if self.closed:
                raise NotJudged("the session ended before it was measured")
            worker = self._idle.pop() if self._idle else _Worker(self._settings, self._results, compiled.ENVIRONMENT)
            self._alive.add(worker)
        try:
            reply = worker.ask(message, seconds)
        except BaseException:
            self._end(worker)
            raise
        try:
            return self._value(worker, reply)
        finally:
            if reply.get("last"):
                self._end(worker)
            else:
                with self._lock:
                    self._idle.append(worker)

    def _value(self, worker: _Worker, reply: Mapping[str, Any]) -> Any:
        """What a worker answered; its error is raised."""
        with self._lock:
            self._worker_notes += reply.get("notes", ())
        if "error" in reply:
            error = _ERRORS[reply["error"]]
            detail = (worker.log(),) if issubclass(error, NotJudged) else ()
            raise error(reply["text"], *detail, **reply.get("fields", {}))
        return reply["value"]

    def _end(self, worker: _Worker) -> None:
        worker.kill()
        worker.release()
        with self._lock:
            self._alive.discard(worker)


class _Died(NotJudged):
    """The worker is gone; `cause` is its exit status or signal."""

    def __init__(self, cause: str, detail: str):
        super().__init__(f"the worker died ({cause})", detail)
        self.cause = cause


class _Worker:
    """One child process and its log."""

    def __init__(self, settings: Settings, results: Path, environment: Mapping[str, str], inherited: Iterable[int] = ()):
        package = Path(__file__).parent
        options = {
            "model": settings.model,
            "path": str(settings.path) if settings.path else None,
            "folder": str(settings.cache_dir.resolve()),
            "results": str(results.resolve()),
            "environment": dict(environment),
            "nvml": nvml.library(),
        }
        self.doing = ""
        self._log_start = 0
        self._asked = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `release`)
        self._unread = b""
        start = _START.format(init=str(package / "__init__.py"), folder=str(package))
        try:
            self._process = subprocess.Popen(
                [settings.python, "-c", start, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C is for pytest, which then ends its workers
                pass_fds=tuple(inherited),
            )
        except OSError as error:
            raise SetupError(f"--af3-python {settings.python} cannot be started: {error.strerror}") from error

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's reply. Raises NotJudged when it dies or takes longer than `seconds`; it is of no use afterwards."""
        assert self._process.stdin is not None
        deadline = time.monotonic() + seconds
        if self._asked:  # what it printed before it was first asked, as one that cannot start does, is of the first answer
            self._log_start = self._log_size()
        self._asked = True
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it is dead, which reading its reply will tell
        try:
            while True:
                reply: dict[str, Any] = json.loads(self._line(deadline))
                if "progress" not in reply:
                    return reply
                self.doing = reply["progress"]
        finally:
            self.doing = ""

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                doing = f" while {self.doing}" if self.doing else ""
                raise NotJudged(f"the worker took too long{doing} and was ended; --af3-timeout allows more", self.log())
            chunk = os.read(output, 2**16)
            if not chunk:
                raise _Died(self._cause_of_death(), self.log())
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _cause_of_death(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        code = self._process.returncode
        if code == -signal.SIGKILL:
            return "SIGKILL: most often the kernel's answer to too little host memory; --af3-workers 1 needs less"
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"

    def log(self) -> str:
        """The last lines of what the worker and its libraries printed since it was last asked."""
        start = max(self._log_start, self._log_size() - _LOG_TAIL_BYTES)
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, start).decode(errors="replace")
        return "\n".join(line[:_LOG_LINE_LENGTH] for line in tail.splitlines()[-_LOG_LINES:])

    def _log_size(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def release(self) -> None:
        """Gives back what a killed worker held here."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        for file in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):  # what was not written to a dead worker
                file.close()  # type: ignore[union-attr]


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _available_memory_bytes() -> int:
    """Host memory that is free or can be freed; Linux's own estimate."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _WORKER_MEMORY_BYTES
