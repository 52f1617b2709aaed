"""What a program may run into besides the bytes that it asks for, read from XLA's log, plan and code. Pure functions."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.records.out_of_memory import AMOUNT, REMATERIALIZED, SHARED_DATA, SHARED_REQUEST, amount
from pytest_af3mem.records.program_limits import MOST_ELEMENTS, LargeArray, Launch, Rematerialization
from pytest_af3mem.worker.xla.executable import Program
from pytest_af3mem.worker.xla.scopes import Names
from pytest_af3mem.worker.xla.thunks import kernels

_IRREDUCIBLE = re.compile(rf"{REMATERIALIZED}, down from [^(]*\((?P<original>{AMOUNT})\) originally")
# Of XLA, which compiles Triton's kernels, and of ptxas.
_TOO_MUCH_SHARED = (
    re.compile(rf"Shared memory size limit exceeded: {SHARED_REQUEST}"),
    re.compile(rf"Entry function '(?P<kernel>[^']+)' uses too much {SHARED_DATA}"),
)


def rematerialization(said: str, gpu: Gpu, argument_bytes: int, output_bytes: int) -> Rematerialization:
    """What XLA `said` of its limit while it compiled for `gpu`.

    The limit is that of 80 % of the memory. The one that XLA prints counts, which is another one with another
    `--xla_gpu_memory_limit_slop_factor`.
    """
    limit_bytes = limit(gpu.memory_bytes * 80 // 100, argument_bytes, output_bytes)
    found = [*_IRREDUCIBLE.finditer(said)]
    if not found:
        return Rematerialization(limit_bytes)
    return Rematerialization(*map(amount, found[-1].group("xla_limit", "planned", "original")))


def limit(memory_bytes: int, argument_bytes: int, output_bytes: int, percent: int = 95) -> int:
    """XLA's limit for temporaries and outputs, where a program may have `memory_bytes`.

    It is `percent` of (memory - arguments - outputs) of temporaries, or 0, as gpu_hlo_schedule.cc has it. XLA prints it with the
    outputs added, and what it reached counts them, too: so does this. Both are rounded down to a byte.
    """
    left = max(0, memory_bytes - argument_bytes - output_bytes)
    return left * percent // 100 + output_bytes


def large_arrays(program: Program, packages: Sequence[str]) -> tuple[LargeArray, ...]:
    """The arrays of 2^31 elements and more that lie in memory, the largest first. `packages` as for `attribution.attribute`."""
    names = None
    found = set()
    for allocation in program.allocations:
        for buffer in (program.buffers[one] for one in allocation.buffers):
            array = program.instructions[buffer.instruction].array(buffer.index)
            elements = _elements(array)
            if elements > MOST_ELEMENTS:
                names = names or Names(program, packages)
                found.add(LargeArray(array, elements, names.component(buffer), names.source(buffer)))
    return tuple(sorted(found, key=lambda one: (-one.elements, one.array, one.component, one.source)))


def _elements(array: str) -> int:
    """Of `bf16[1024,1024,128]`."""
    return math.prod(int(size) for size in array.partition("[")[2].strip("]").split(",") if size)


def launch(serialized: bytes, gpu: Gpu) -> Launch:
    """The shared memory that the kernels of a serialized executable ask for.

    What a kernel has of its own, besides what is asked for at its launch, stands in machine code and is not counted, nor are
    kernels of libraries. Raises NotJudged where one asks for more than `gpu` has, ValueError where no kernel can be read.
    """
    found = kernels(serialized)
    if not found:
        raise ValueError("the serialized executable names no kernel")
    shared_bytes, name = max((size, name) for name, size in found)
    limit_bytes = gpu.architecture.shared_memory_per_block_optin_bytes
    if shared_bytes > limit_bytes:
        raise NotJudged(_does_not_run(gpu.name, f"the kernel {name}", shared_bytes, limit_bytes))
    return Launch(len(found), name, shared_bytes, limit_bytes)


@contextlib.contextmanager
def refusals(target: str) -> Iterator[None]:
    """Tells an error of XLA's about shared memory from one about the GPU's memory."""
    try:
        yield
    except Exception as error:
        found = next(filter(None, (pattern.search(str(error)) for pattern in _TOO_MUCH_SHARED)), None)
        if found is None:
            raise
        parts = found.groupdict()
        kernel = f"the kernel {parts['kernel']}" if "kernel" in parts else "a kernel"
        raise NotJudged(_does_not_run(target, kernel, int(parts["asked"], 0), int(parts["limit"], 0))) from error


def _does_not_run(target: str, kernel: str, asked_bytes: int, limit_bytes: int) -> str:
    return (
        f"does not run on {target}: {kernel} asks for {asked_bytes:,} bytes of shared memory a block, and the limit is "
        f"{limit_bytes:,}; no lack of the GPU's memory"
    )
