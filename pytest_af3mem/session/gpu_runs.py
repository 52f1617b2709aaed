"""What is run and not only compiled: on a GPU of this machine, or on JAX's CPU device to see that it would run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_af3mem.errors import NotJudged
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


class GpuRuns:
    """Runs, each by a worker of its own. Those of this session are known, for GPUs of one kind are taken to be alike."""

    def __init__(self, pool: Pool, children: Children):
        self._pool = pool
        self._children = children
        self._known: dict[tuple[str, str], dict[str, Peak]] = {}  # by program, and then by the shapes of its features

    def run(self, request: Request) -> Peak:
        """A program that was run in this session is not run again; nothing else of a run is kept, for a GPU is no constant."""
        known = self._known.setdefault((request.target, request.settings_text), {})
        if known and (peak := known.get(self._pool.featurise(request)["signature"])):
            return dataclasses.replace(peak, tokens=request.tokens, bucket=request.bucket, seconds=0.0, cached=True)
        if reason := trust.why_unified(os.environ):
            needed_bytes = self._pool.compile(dataclasses.replace(request, method="compiled")).total_bytes
            raise NotJudged(f"{reason}; {trust.what_would_spill(needed_bytes, request.target)}")
        reply = self._ask({"do": "run", "request": request.to_json()}, request.target)
        answer = answering.accepted(request, self._pool.installation, reply)
        known[answer.signature] = answer.peak
        return answer.peak

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

    def rehearse(self, request: Request) -> dict[str, Any]:
        """What a run would do, done on JAX's CPU device: its steps, and why that is no measurement."""
        return dict(self._ask_cpu({"do": "rehearse", "request": request.to_json()}))

    def _ask(self, message: Mapping[str, Any], target: str) -> Any:
        """The answer of a worker on a free GPU that is `target`."""
        if reason := trust.why_no_counters(os.environ):
            raise NotJudged(reason)
        with gpu_lock.turn(local.candidates(target, os.environ), lambda: self._children.closed) as (gpu, lock):
            environment = worker_environment.environment(os.environ, gpu.uuid)
            return self._children.ask_once({**message, "uuid": gpu.uuid}, environment, lock)

    def _ask_cpu(self, message: Mapping[str, Any]) -> Any:
        return self._children.ask_once(message, worker_environment.ENVIRONMENT)
