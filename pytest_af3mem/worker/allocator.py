"""Peak memory by running on a GPU: what AlphaFold 3's runner does, once to compile and to see, once more in a steady state.

One process makes one measurement and ends, since JAX's counter of the peak cannot be set back: jaxlib 0.10.2 has no call for it,
though XLA's allocator does (`BFCAllocator::ClearStats`). So the counters are read at the end of each phase, and what a phase
added to the peak is what it shows. On JAX's CPU device the same steps run and nothing is counted, which `trust.why_not_trusted`
then says: such a reading never becomes a peak.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged, OutOfMemory, first_line
from pytest_af3mem.gpus.local import WITHOUT_GPU
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.model import Forward
from pytest_af3mem.records import out_of_memory
from pytest_af3mem.records.out_of_memory import Cause
from pytest_af3mem.records.peak import Phase, Phases, Run
from pytest_af3mem.worker import compilation_cache
from pytest_af3mem.worker.gpu_watch import GpuWatch
from pytest_af3mem.worker.sampler import Sampler
from pytest_af3mem.worker.trust import VARIABLES, Counters
from pytest_af3mem.worker.xla import program as programs
from pytest_af3mem.worker.xla import tracing

_ALLOCATOR_SECONDS = 0.002
_UNNAMED = "NVML does not name this process here, as in a container"
_UNTOLD = "the driver does not tell what a process holds"
_VALUE = 0.01  # of every parameter: memory does not depend on it


@dataclass(frozen=True)
class Counted:
    """The allocator's counters before anything was put on the device, with the parameters there, with the features there too,
    after the compile, after each of the two runs, and when all of it was dropped.

    `sampled_bytes` is the most that was seen in use in the second run.
    """

    start: Counters
    parameters: Counters
    features: Counters
    compile: Counters
    first_run: Counters
    second_run: Counters
    end: Counters
    sampled_bytes: int

    @property
    def peaks(self) -> tuple[int, ...]:
        """The peak so far at the end of each phase, in bytes."""
        ends = (self.start, self.parameters, self.features, self.compile, self.first_run, self.second_run, self.end)
        return tuple(one.peak_bytes for one in ends)


@dataclass(frozen=True)
class Reading:
    """What was read of one program on one device. `counted` is None on a device without counters, and `looked` says after which
    phases they were asked for. `from_cache`: the program was loaded from JAX's compilation cache."""

    program: programs.Compiled
    counted: Counted | None
    allocator_gap_seconds: float
    from_cache: bool = False
    looked: tuple[str, ...] = ()


def device() -> Any:
    """The JAX device that this process runs on, the GPU where it was shown one. Raises NotJudged where JAX finds none."""
    import jax

    try:
        return jax.devices()[0]
    except RuntimeError as error:
        way_out = f'pip install "pytest-af3mem[gpu]" where the model is; {WITHOUT_GPU}'
        raise NotJudged(f"JAX cannot use the GPU ({first_line(error)}): {way_out}") from error


def client_variables() -> dict[str, str]:
    """The variables that JAX's client was made with. To be asked when it was made: a model may set some."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def compute_capability(device: Any) -> tuple[int, int]:
    """The device's; (0, 0) of one that has none, as the CPU."""
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)


def parameter_shapes(forward: Forward, features: Mapping[str, Any]) -> Any:
    """Shapes and dtypes of the network's parameters (a tree of `jax.ShapeDtypeStruct`), as its own `init` makes them."""
    import jax

    with _as_not_judged("initialising the model", None):
        return jax.eval_shape(forward.init, jax.random.PRNGKey(0), dict(features))


def counters(device: Any) -> Counters | None:
    stats = device.memory_stats()
    if not stats or "peak_bytes_in_use" not in stats:
        return None
    return Counters(
        in_use_bytes=stats["bytes_in_use"],
        peak_bytes=stats["peak_bytes_in_use"],
        largest_bytes=stats.get("largest_alloc_size", 0),
        pool_bytes=stats.get("pool_bytes", stats["peak_bytes_in_use"]),  # at least that
        limit_bytes=stats.get("bytes_limit", 0),
    )


def run(
    forward: Forward,
    parameters: Any,
    features: Mapping[str, Any],
    device: Any,
    packages: Sequence[str],
    show: Callable[[str], None],
    stored: Path | None = None,
) -> Reading:
    """Runs the program twice. Raises OutOfMemory, or NotJudged with the reason, when it does not come to an end.

    `parameters` are shapes, as `parameter_shapes` gives them; `features` are NumPy arrays by name, as a `Batch` has them;
    `packages` as for `programs.measure`. The program is loaded from JAX's compilation cache in the folder `stored` where it is
    there, and kept there where it is not. Nothing of it stays on the device.
    """
    import jax

    seen = {"start": counters(device)}
    show("putting parameters and features on the device")
    with _as_not_judged("putting parameters and features on the device", device), jax.default_device(device):
        filled = _there(_filled(parameters, device))
        seen["parameters"] = counters(device)
        arguments = _there((filled, jax.random.PRNGKey(0), jax.device_put(dict(features), device)))
    seen["features"] = counters(device)
    show("compiling")
    with _as_not_judged("tracing", device), jax.default_device(device):
        lowered = jax.jit(tracing.program(forward)).lower(*arguments)
    with _as_not_judged("compiling", device), compilation_cache.used(stored) as lookup:
        options: Any = dict(forward.compiler_options)
        program = lowered.compile(compiler_options=options)
    seen["compile"] = counters(device)
    show("running")
    _call(program, arguments, device)
    seen["first_run"] = counters(device)
    show("running again")
    in_use: list[int] = [0]
    with Sampler(
        lambda: counters(device), lambda one: in_use.append(one.in_use_bytes if one else 0), _ALLOCATOR_SECONDS
    ) as sampler:
        _call(program, arguments, device)
    seen["second_run"] = counters(device)
    analysis = programs.of_executable(program, forward, packages)
    del arguments, filled, program, lowered
    gc.collect()
    seen["end"] = counters(device)
    known = {name: one for name, one in seen.items() if one is not None}
    counted = Counted(**known, sampled_bytes=max(in_use)) if known.keys() == seen.keys() else None
    return Reading(analysis, counted, sampler.gap_seconds, lookup.found, tuple(seen))


def record(reading: Reading, watched: GpuWatch, device: str, driver: str) -> tuple[Run, int, int | None]:
    """What a believed reading comes to, the allocator's peak, and what NVML says of this process, in bytes."""
    counted = reading.counted
    assert counted is not None  # or it was refused
    peak_bytes = counted.second_run.peak_bytes
    phases = _phases(counted, reading.allocator_gap_seconds)
    process_bytes = watched.largest[watched.own] if watched.own is not None else None
    run = Run(
        device=device,
        uuid=watched.uuid,
        driver=driver,
        before_bytes=counted.start.in_use_bytes,
        loaded_bytes=counted.features.in_use_bytes,
        compile_peak_bytes=counted.compile.peak_bytes,
        steady_peak_bytes=phases.steady_peak_bytes,
        after_bytes=counted.end.in_use_bytes,
        largest_bytes=counted.second_run.largest_bytes,
        pool_bytes=counted.second_run.pool_bytes,
        limit_bytes=counted.second_run.limit_bytes,
        device_bytes=watched.used_bytes - watched.before.used_bytes,
        allocator_gap_ms=phases.gap_ms,
        nvml_gap_ms=round(1000 * watched.gap_seconds, 1),
        process_note="" if process_bytes is not None else _UNNAMED if watched.own is None else _UNTOLD,
        cold=None if reading.from_cache else phases,
        warm=phases if reading.from_cache else None,
    )
    return run, peak_bytes, process_bytes


def _phases(counted: Counted, gap_seconds: float) -> Phases:
    """The phases of a process whose sampled readings were at most `gap_seconds` apart."""
    exact = counted.second_run.peak_bytes > counted.compile.peak_bytes

    def phase(end: Counters) -> Phase:
        return Phase(end.in_use_bytes, end.peak_bytes)

    return Phases(
        start=phase(counted.start),
        parameters=phase(counted.parameters),
        features=phase(counted.features),
        compile=phase(counted.compile),
        first_run=phase(counted.first_run),
        second_run=phase(counted.second_run),
        steady_peak_bytes=counted.second_run.peak_bytes if exact else counted.sampled_bytes,
        gap_ms=0.0 if exact else round(1000 * gap_seconds, 1),
    )


def live_arrays() -> Counter[str]:
    """Arrays that are alive on the device, as `float32[128,32]`, and how many of each."""
    import jax

    gc.collect()
    return Counter(f"{array.dtype}{list(array.shape)}".replace(" ", "") for array in jax.live_arrays())


def _there(arrays: Any) -> Any:
    """The arrays, when they have arrived on the device."""
    import jax

    return jax.block_until_ready(arrays)


def _filled(shapes: Any, device: Any) -> Any:
    import jax
    import numpy as np

    return jax.tree.map(lambda one: jax.device_put(np.full(one.shape, _VALUE, one.dtype), device), shapes)


def _call(program: Any, arguments: tuple[Any, ...], device: Any) -> None:
    """One forward pass, its results brought to the host, as the runner does."""
    import jax
    import numpy as np

    with _as_not_judged("running", device):
        jax.tree.map(np.asarray, program(*arguments))


@contextlib.contextmanager
def _as_not_judged(doing: str, device: Any) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise meaning_of(error, doing, counters(device) if device is not None else None) from error


def meaning_of(error: BaseException, doing: str, now: Counters | None) -> NotJudged:
    """What an error while `doing` something means: out of GPU memory is a result, all else is not judged."""
    failure = out_of_memory.read(str(error))
    if failure is None:
        return NotJudged(f"the model fails while {doing}: {first_line(error)}")
    what = f"{failure.cause.value} while {doing}"
    if failure.cause is not Cause.GPU:
        return NotJudged(f"{what}: {failure.line}")
    asked = failure.line if failure.asked_bytes is None else f"asked for {format_bytes(failure.asked_bytes)} more"
    if now is None:
        return OutOfMemory(f"{what}: {asked}", asked_bytes=failure.asked_bytes)
    at = f"with {format_bytes(now.in_use_bytes)} in use of a limit of {format_bytes(now.limit_bytes)}"
    return OutOfMemory(f"{what}: {asked}, {at}", asked_bytes=failure.asked_bytes, limit_bytes=now.limit_bytes)
