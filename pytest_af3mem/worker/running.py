"""What a worker does on a real GPU: one program, run twice; or several jobs one after the other. Then its process ends.

On JAX's CPU device the same steps can be rehearsed. That gives no `Peak`: there is no way from there to one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged, OutOfMemory
from pytest_af3mem.gpus import nvml
from pytest_af3mem.models import model as models
from pytest_af3mem.records.job_sequence import Step
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.storage import typed
from pytest_af3mem.worker import allocator, trust
from pytest_af3mem.worker.compiling import Worker
from pytest_af3mem.worker.gpu_watch import GpuWatch, watching
from pytest_af3mem.worker.trust import Surroundings
from pytest_af3mem.worker.xla import tracing


class GpuWorker(Worker):
    """Answers one request on the GPU that this process was shown."""

    def run(self, request: Request, uuid: str, full: bool, stored: Path | None = None) -> dict[str, Any]:
        """As an `Answer`, the peak that was read. Raises OutOfMemory; NotJudged where it is not believed.

        The program is kept in JAX's compilation cache in the folder `stored`, or loaded from there, as `Run.warm` then says.
        """
        start = time.perf_counter()
        gauge = nvml.Gauge(uuid)
        with contextlib.closing(gauge):
            watched = GpuWatch(uuid, gauge.read())
            batch = self._featurised(request)
            device = allocator.device()
            around = Surroundings(
                target=request.target,
                platform=device.platform,
                device=device.device_kind,
                environment=allocator.client_variables(),
                fresh=allocator.counters(device),
                tenants=watched.tenants,
                unnamed_bytes=watched.unnamed_bytes,
            )
            _check(trust.why_not_measurable(around))
            forward, run = self._network(request, batch, device, full, stored)
            with _unless_shared(around, watched), watching(gauge, watched):
                reading = run()
        around = dataclasses.replace(
            around,
            final=reading.counted.second_run if reading.counted else None,
            argument_bytes=reading.program.argument_bytes,
            peaks=reading.counted.peaks if reading.counted else (),
            tenants=watched.tenants,
        )
        _check(trust.why_not_trusted(around))
        program = self._peak(request, batch, forward, reading.program, time.perf_counter() - start)
        peak = self._believed(program, reading, watched, around)
        return self._answer(request, peak, tracing.signature(batch.features)).to_json()

    def rehearse(self, request: Request, full: bool, stored: Path | None = None) -> dict[str, Any]:
        """The same steps on JAX's CPU device: what was done, how long it took, and why that is no measurement."""
        steps: list[tuple[str, float]] = []
        start = time.perf_counter()
        show, self._progress = self._progress, lambda text: steps.append((text, time.perf_counter() - start))
        try:
            batch = self._featurised(request)
            device = allocator.device()
            forward, run = self._network(request, batch, device, full, stored)
            reading = run()
        finally:
            self._progress = show
        around = Surroundings(request.target, device.platform, device.device_kind, allocator.client_variables())
        return {
            "steps": [(text, round(seconds, 3)) for text, seconds in steps],
            "seconds": round(time.perf_counter() - start, 3),
            "config": dict(forward.config),
            "looked": [name.replace("_", " ") for name in reading.looked],
            "counted": reading.counted is not None,
            "from_cache": reading.from_cache,
            "reason": trust.why_not_trusted(around),
        }

    def sequence(self, requests: Sequence[Request], full: bool) -> list[dict[str, Any]]:
        """One job after the other in this process; what is left of each, and the allocator's peak so far, where there is one."""
        steps = []
        device = None
        before: Counter[str] = Counter()
        for request in requests:
            batch = self._featurised(request)
            if device is None:
                device = allocator.device()
                before = allocator.live_arrays()
            assert batch.tokens is not None
            assert batch.bucket is not None
            counted = self._network(request, batch, device, full)[1]().counted
            step = Step(
                batch.tokens,
                batch.bucket,
                peak_bytes=counted.second_run.peak_bytes if counted else None,
                left_bytes=counted.end.in_use_bytes - counted.start.in_use_bytes if counted else None,
                left_arrays=allocator.live_arrays() - before,
            )
            steps.append(typed.write(step))
        return steps

    def _network(
        self, request: Request, batch: models.Batch, device: Any, full: bool, stored: Path | None = None
    ) -> tuple[models.Forward, Callable[[], allocator.Reading]]:
        """The network as it is run here, and what runs it on this batch."""
        self._progress("setting up the network")
        fewer: Mapping[str, Any] = {} if full else getattr(self._model, "fewer_iterations", {})
        forward = self._forwards(request, allocator.compute_capability(device), fewer)[0]  # here the GPU chooses
        key = self._key(request, batch, device.platform)
        shapes = self._parameters.found(key, lambda: allocator.parameter_shapes(forward, batch.features))
        return forward, functools.partial(
            allocator.run, forward, shapes, batch.features, device, self._model.packages, self._progress, stored
        )

    def _believed(self, peak: Peak, reading: allocator.Reading, watched: GpuWatch, around: Surroundings) -> Peak:
        """The peak of the program as it was compiled here, with what was read of the GPU."""
        driver = next(gpu.driver for gpu in nvml.visible_gpus()[0] if gpu.uuid == watched.uuid)
        run, allocator_bytes, process_bytes = allocator.record(reading, watched, around.device, driver)
        return dataclasses.replace(
            peak,
            total_bytes=allocator_bytes,
            allocator_bytes=allocator_bytes,
            process_bytes=process_bytes,
            run=run,
            software={**peak.software, "driver": driver},
        )


def _check(reason: str) -> None:
    if reason:
        raise NotJudged(reason)


@contextlib.contextmanager
def _unless_shared(around: Surroundings, watched: GpuWatch) -> Iterator[None]:
    """Running out of memory is a result of the model's only where nobody else held any."""
    try:
        yield
    except OutOfMemory as error:
        if reason := trust.why_not_measurable(dataclasses.replace(around, tenants=watched.tenants)):
            raise NotJudged(reason) from error
        raise
