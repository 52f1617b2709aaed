"""What is run and not only compiled: on a GPU of this machine, or on JAX's CPU device to see that it would run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_af3mem.errors import Af3memError, NotJudged
from pytest_af3mem.gpus import local
from pytest_af3mem.gpus import lock as gpu_lock
from pytest_af3mem.records import answering
from pytest_af3mem.records.job_sequence import JobSequence
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.children import Children
from pytest_af3mem.worker import environment as worker_environment
from pytest_af3mem.worker import trust

if TYPE_CHECKING:
    from pytest_af3mem.session.pool import Pool

_COMPILED_AGAIN = "the second process compiled the program again: JAX did not find it in its compilation cache"


class GpuRuns:
    """Runs, each by a worker of its own. Those of this session are known, for GPUs of one kind are taken to be alike."""

    def __init__(self, pool: Pool, children: Children, scratch: Path):
        self._pool = pool
        self._children = children
        self._scratch = scratch
        self._known: dict[tuple[str, str], dict[str, Peak]] = {}  # by program, and then by the shapes of its features

    def run(self, request: Request) -> Peak:
        """The peak of a process that compiles the program, and with it what a second process peaks at that loads the program.

        A program that was run in this session is not run again; nothing else of a run is kept, for a GPU is no constant.
        """
        known = self._known.setdefault((request.target, request.settings_text), {})
        if known and (peak := known.get(self._pool.featurise(request)["signature"])):
            return dataclasses.replace(peak, tokens=request.tokens, bucket=request.bucket, seconds=0.0, cached=True)
        if reason := trust.why_unified(os.environ):
            needed_bytes = self._pool.compile(dataclasses.replace(request, method="compiled")).total_bytes
            raise NotJudged(f"{reason}; {trust.what_would_spill(needed_bytes, request.target)}")
        with self._on_gpu(request.target) as ask, self._stored_programs() as folder:
            message = {"do": "run", "request": request.to_json(), "stored": folder}
            answer = answering.accepted(request, self._pool.installation, ask(message))
            peak = self._with_warm(answer.peak, request, lambda: ask(message))
        known[answer.signature] = peak
        return peak

    def _with_warm(self, peak: Peak, request: Request, ask: Callable[[], Any]) -> Peak:
        """The peak with what a second process read, or with the reason why that gave no number: the peak itself stays."""
        if peak.run is None:
            return peak
        warm, note = None, _COMPILED_AGAIN
        try:
            again = answering.accepted(request, self._pool.installation, ask()).peak.run
        except Af3memError as error:
            note = f"the second process gave no number: {error}"
        else:
            if again is not None and again.warm is not None:
                warm, note = again.warm, ""
        return dataclasses.replace(peak, run=dataclasses.replace(peak.run, warm=warm, warm_note=note))

    def sequence(self, requests: list[Request]) -> JobSequence:
        """The requests one after the other in one process, and the last alone in another.

        On the GPU that is their target where one is visible, else on JAX's CPU device, which counts no bytes.
        """
        target = requests[0].target
        on_gpu = target in local.targets(os.environ)
        answers = []
        for asked in (requests, requests[-1:]):
            message = {"do": "sequence", "requests": [one.to_json() for one in asked]}
            answers.append(answering.steps(asked, self._ask(message, target) if on_gpu else self._ask_cpu(message)))
        together, (alone,) = answers
        return JobSequence(together, alone, target if on_gpu else "JAX's CPU device")

    def rehearse(self, request: Request, stored: str | None = None) -> dict[str, Any]:
        """What a process of a run would do, done on JAX's CPU device: its steps, and why that is no measurement."""
        return dict(self._ask_cpu({"do": "rehearse", "request": request.to_json(), "stored": stored}))

    def rehearsals(self, request: Request) -> Iterator[dict[str, Any]]:
        """As `rehearse`, both processes of a run: the second is to load the program that the first compiled."""
        with self._stored_programs() as folder:
            for _ in range(2):
                yield self.rehearse(request, folder)

    @contextlib.contextmanager
    def _stored_programs(self) -> Iterator[str]:
        """An empty folder for JAX's compilation cache. What is in it is run, so that only this user may write it."""
        with tempfile.TemporaryDirectory(prefix="programs-", dir=self._scratch, ignore_cleanup_errors=True) as folder:
            yield folder

    def _ask(self, message: Mapping[str, Any], target: str) -> Any:
        with self._on_gpu(target) as ask:
            return ask(message)

    @contextlib.contextmanager
    def _on_gpu(self, target: str) -> Iterator[Callable[[Mapping[str, Any]], Any]]:
        """What asks a new worker on a free GPU that is `target`, the same each time; nobody else's measurement runs there."""
        if reason := trust.why_no_counters(os.environ):
            raise NotJudged(reason)
        with gpu_lock.turn(local.candidates(target, os.environ), lambda: self._children.closed) as (gpu, lock):
            environment = worker_environment.environment(os.environ, gpu.uuid)
            yield lambda message: self._children.ask_once({**message, "uuid": gpu.uuid}, environment, lock)

    def _ask_cpu(self, message: Mapping[str, Any]) -> Any:
        return self._children.ask_once(message, worker_environment.ENVIRONMENT)
