"""What a program may run into besides the bytes that it asks for: XLA's own limit, 32-bit indexing, shared memory of kernels."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_af3mem.storage.typed import Filled, Positive

MOST_ELEMENTS = 2**31 - 1
"""What 32-bit indexing counts to."""


@dataclass(frozen=True)
class Rematerialization:
    """How far XLA came with computing arrays anew rather than keeping them. Bytes are of temporaries and outputs together.

    XLA does so above `limit_bytes` (None: not known, as on a real GPU, where the limit follows the allocator). Where it cannot
    get below it prints the bytes that it reached and those that it began with. They are None where it printed nothing, and where
    nobody read it: of a small program, which a worker compiles itself, it is not known whether it is over the limit.
    """

    limit_bytes: int | None = None
    reached_bytes: int | None = None
    original_bytes: int | None = None


@dataclass(frozen=True)
class LargeArray:
    """An array in memory with more elements than 32-bit indexing counts; texts are as of a `Holder`."""

    array: Filled
    elements: Positive
    component: str
    source: str = ""


@dataclass(frozen=True)
class Launch:
    """The shared memory that `kernels` kernels ask for at their launch: `kernel` asks for the most, of `limit_bytes` a block."""

    kernels: Positive
    kernel: Filled
    shared_memory_bytes: int
    limit_bytes: Positive


@dataclass(frozen=True)
class ProgramLimits:
    """`large_arrays` are None where the buffers cannot be read, `launch` where it was not asked for."""

    rematerialization: Rematerialization = Rematerialization()
    large_arrays: tuple[LargeArray, ...] | None = None
    launch: Launch | None = None
