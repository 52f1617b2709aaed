"""What a compiled program comes to: bytes, kernels, and who holds the peak."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_af3mem.errors import NotJudged, first_line
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.models import fingerprint
from pytest_af3mem.models.model import Forward
from pytest_af3mem.records.flags import Options
from pytest_af3mem.records.holders import UNNAMED
from pytest_af3mem.records.peak import Kernels
from pytest_af3mem.records.program_limits import ProgramLimits
from pytest_af3mem.worker.xla import compile_process, executable, limits, tracing
from pytest_af3mem.worker.xla.attribution import Attribution, attribute, is_slab
from pytest_af3mem.worker.xla.compile_process import Compiler, Job
from pytest_af3mem.worker.xla.executable import Allocation, Instruction, Program
from pytest_af3mem.worker.xla.scopes import component
from pytest_af3mem.worker.xla.target import FLAGS

_TRITON_CALL, _MOSAIC_CALL = "__gpu$xla.gpu.triton", "mosaic_gpu"


# What tokamax says of each operation: in its name (0.0.12), or next to it (0.0.17).
_NOTE = re.compile(r'tokamax:\{"op":\{"__type":"tokamax\._src\.ops\.(?P<operation>\w+)\.(?P<kind>\w+)\.')


@dataclass(frozen=True)
class Compiled:
    """What XLA's buffer assignment says of one program, in bytes.

    Of a program that was compiled to its end and whose buffers cannot be read, constants are not known and counted as none.
    `same`: an equal program was compiled before, of other sources, and this is what was found then.
    """

    argument_bytes: int
    output_bytes: int
    temp_bytes: int
    alias_bytes: int
    live_bytes: int | None
    kernels: Kernels
    attribution: Attribution = field(default_factory=Attribution)
    constant_bytes: int = 0
    limits: ProgramLimits = field(default_factory=ProgramLimits)
    same: bool = False

    @property
    def total_bytes(self) -> int:
        return self.argument_bytes + self.output_bytes + self.temp_bytes - self.alias_bytes + self.constant_bytes


def compiled(
    lowered: Any,
    job: Job | None,
    options: Options,
    forward: Forward,
    gpu: Gpu,
    packages: Sequence[str],
    compiler: Compiler,
    *,
    launch: bool = False,
) -> Compiled:
    """Compiles for `gpu`, whose `compiler` that is: what a program will ask of the allocator, and who holds it.

    `job` is what `compile_process.job` gives of it. Source lines of holders are those of `packages`, the model's own first.
    With `launch` it is compiled to the end. Raises NotJudged, with XLA's own words, when it does not compile, and where with
    `launch` a kernel asks for more shared memory than `gpu` has.
    """
    compile_apart = compiler.executable if launch else compiler.plan
    output = compile_apart(job) if job else None
    if output is None:
        with tracing.translated(f"does not compile for {gpu.name}"), limits.refusals(gpu.name):
            whole = lowered.compile(compiler_options=dict(options))
        found = of_executable(whole, forward, packages)
    else:
        found = of_plan(output.content, forward, packages, read=executable.read if launch else executable.read_plan)
    said = output.said if output else ""
    xla = limits.rematerialization(said, gpu, found.argument_bytes, found.output_bytes)
    known = replace(found.limits, rematerialization=xla)
    if launch:
        with tracing.translated(f"whether the kernels run on {gpu.name} is not known"):
            serialized = output.content if output else whole.runtime_executable().serialize()
            known = replace(known, launch=limits.launch(serialized, gpu))
    return replace(found, limits=known)


def measure(
    forward: Forward, parameters: Any, features: Mapping[str, Any], gpu: Gpu, toolchain: Path, packages: Sequence[str] = ()
) -> Compiled:
    """Traces, lowers and compiles `forward.apply`. Raises NotJudged when it does not trace or compile."""
    options = {**forward.compiler_options, **FLAGS, "xla_gpu_cuda_data_dir": str(toolchain)}
    with Compiler(gpu.target_config()) as compiler:
        lowered = tracing.lowered(forward, parameters, features, gpu)
        return compiled(lowered, compile_process.job(lowered, options), options, forward, gpu, packages, compiler)


def of_plan(
    plan: bytes, forward: Forward, packages: Sequence[str], read: Callable[[bytes], Program] = executable.read_plan
) -> Compiled:
    """What XLA planned of a program that a process compiled, as `read` takes it. Raises NotJudged where that cannot be read."""
    try:
        program = read(plan)
    except (ValueError, IndexError, KeyError) as error:
        raise NotJudged(f"XLA's plan of the buffers cannot be read: {first_line(error)}") from error
    return of_program(program, fingerprint.places(packages), forward.left_to_xla, forward.stages)


def of_program(
    program: Program,
    places: Sequence[str],
    left_to_xla: Collection[str] = (),
    stages: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Compiled:
    """What a program comes to that was read whole. Source lines are those of `places`, folders or files."""
    found = replace(sizes(program), kernels=kernels(program.instructions.values(), left_to_xla))
    return _attributed(found, program, places, stages)


def of_executable(compiled: Any, forward: Forward, packages: Sequence[str]) -> Compiled:
    """What XLA says of a program that JAX compiled, for a device that is there or not.

    Who holds the peak is read from a form that changes with jaxlib's version, and the number is good without it.
    """
    memory = compiled.memory_analysis()
    found = Compiled(
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        alias_bytes=memory.alias_size_in_bytes,
        live_bytes=_live_bytes(memory),
        kernels=Kernels(0),
    )
    try:
        program = executable.read(compiled.runtime_executable().serialize())
    except MemoryError:
        raise
    except Exception as error:
        with tracing.translated(f"what XLA compiled cannot be read ({first_line(error)})"):  # JAX 0.7 gives no modules here
            modules = [module.as_serialized_hlo_module_proto() for module in compiled.runtime_executable().hlo_modules()]
        instructions = (one for module in modules for one in executable.instructions(module).values())
        return _unattributed(replace(found, kernels=kernels(instructions, forward.left_to_xla)), error)
    known = kernels(program.instructions.values(), forward.left_to_xla)
    found = replace(found, kernels=known, constant_bytes=sizes(program).constant_bytes)
    return _attributed(found, program, fingerprint.places(packages), forward.stages)


def kernels(instructions: Iterable[Instruction], left_to_xla: Collection[str] = ()) -> Kernels:
    """Counts kernels of a compiled program, and names tokamax operations that fell back to XLA.

    tokamax notes with each operation which implementation it is; `base` is plain XLA.
    """
    triton = mosaic = 0
    fallbacks = set()
    for one in instructions:
        triton += one.target == _TRITON_CALL
        mosaic += one.target.startswith(_MOSAIC_CALL)
        note = _NOTE.search(one.note)
        if note and note["kind"] == "base" and note["operation"] not in left_to_xla:
            scope, in_name, _ = one.op_name.partition("tokamax:{")
            fallbacks.add(f"{note['operation']} in {component(scope if in_name else scope.rpartition('/')[0]) or UNNAMED}")
    return Kernels(triton, tuple(sorted(fallbacks)), mosaic)


def sizes(program: Program) -> Compiled:
    """As XLA's `memory_analysis` counts them, and constants, which it leaves out."""

    def total(chosen: Callable[[Allocation], bool]) -> int:
        return sum(one.size for one in program.allocations if chosen(one))

    return Compiled(
        argument_bytes=total(lambda one: one.parameter is not None),
        output_bytes=total(lambda one: one.output),
        temp_bytes=total(is_slab),
        alias_bytes=total(lambda one: one.output and one.parameter is not None),
        live_bytes=None,
        kernels=Kernels(0),
        constant_bytes=total(lambda one: one.constant and not one.output),
    )


def _attributed(found: Compiled, program: Program, places: Sequence[str], stages: Mapping[str, Sequence[str]]) -> Compiled:
    """With who holds the peak, or why that is not known."""
    try:
        attribution = attribute(program, places, found.total_bytes, found.live_bytes, stages)
        known = replace(found.limits, large_arrays=limits.large_arrays(program, places))
    except MemoryError:
        raise
    except Exception as error:
        return _unattributed(found, error)
    return replace(found, attribution=attribution, live_bytes=attribution.live_bytes, limits=known)


def _unattributed(found: Compiled, error: Exception) -> Compiled:
    return replace(found, attribution=Attribution(reason=f"who holds the peak is not known: {first_line(error)}"))


def trial(gpu: Gpu, toolchain: Path) -> str:
    """Why a small program does not compile for `gpu` here; empty where it does."""
    import jax.numpy as jnp
    import numpy as np

    forward = Forward(init=lambda *_: {}, apply=lambda parameters, key, features: jnp.tanh(features["x"] @ features["x"]))
    try:
        measure(forward, {}, {"x": np.zeros((64, 64), np.float32)}, gpu, toolchain)
    except NotJudged as error:
        return str(error)
    return ""


def _live_bytes(memory: Any) -> int | None:
    """XLA's peak of live buffers; None before JAX 0.10, where it leaves out the temporaries when there is no device."""
    import jax

    return memory.peak_memory_in_bytes if jax.__version_info__ >= (0, 10) else None
