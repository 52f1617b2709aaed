"""What an error of XLA, CUDA or a kernel says: which memory ran out, and how much was asked for. Text in, record out.

XLA gives all of it as one exception with a status word; RESOURCE_EXHAUSTED alone may be the GPU's memory, a multiprocessor's
shared memory or the host's. Only the first is a result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction


class Cause(Enum):
    """What failed, in words. Only GPU says something of the model's need: it is more than the GPU has."""

    GPU = "the GPU ran out of memory"
    KERNEL = "a kernel does not run on this GPU, which is no lack of its memory,"
    HOST = "the host ran out of memory, not the GPU,"
    DRIVER = "the driver failed"


@dataclass(frozen=True)
class Failure:
    """One error: its cause, the line that says so, and the bytes of GPU memory that were asked for, where it tells."""

    cause: Cause
    line: str
    asked_bytes: int | None = None


# In this order: the host's exhaustion carries CUDA_ERROR_OUT_OF_MEMORY too, and a launch that fails its own CUDA_ERROR.
_CAUSES = (
    (Cause.HOST, r"on host:|host_bfc|pinned host memory|of host memory|Failed to allocate host memory|std::bad_alloc"),
    (Cause.KERNEL, r"Shared memory size limit exceeded|out of resource: shared memory|CUDA_ERROR_LAUNCH_\w+"),
    (Cause.KERNEL, r"failed to launch on the GPU|Failed to launch CUDA (?:kernel|graph)|cudaLaunchKernel failed"),
    (Cause.GPU, r"[Oo]ut of memory while trying to allocate|Failed to allocate request for|ran out of memory trying"),
    (Cause.GPU, r"CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|cuMemAllocAsync failed to allocate"),
    (Cause.DRIVER, r"CUDA_ERROR_\w+|failed call to cuInit|no supported devices found|Unable to initialize backend"),
    (Cause.DRIVER, r"[Bb]ackend '\w+' failed to initialize|Unable to use CUDA|Unknown backend"),
)
_UNITS = {"": 1, "bytes": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_AMOUNTS = (  # the exact ones first
    r"trying to allocate (?P<number>\d+) (?P<unit>bytes)",
    r"Failed to allocate request for [\d.]+\w+ \((?P<number>\d+)(?P<unit>B)\)",
    r"failed to allocate [\d.]+\w? \((?P<number>\d+) (?P<unit>bytes)\)",
    r"failed to allocate (?P<number>\d+) (?P<unit>bytes)",
    r"trying to allocate [\d.]+\w+ \(rounded to (?P<number>\d+)(?P<unit>)\)",
    r"trying to allocate (?P<number>[\d.]+) ?(?P<unit>[KMGT])i?B",
)


def read(message: str) -> Failure | None:
    """The failure that an error's text tells of; None for an error of another kind, such as the model's own."""
    for cause, pattern in _CAUSES:
        if found := re.search(pattern, message):
            start = message.rfind("\n", 0, found.start()) + 1
            line = message[start:].partition("\n")[0].strip()
            return Failure(cause, line[:300], _amount(message) if cause is Cause.GPU else None)
    return None


def _amount(message: str) -> int | None:
    for pattern in _AMOUNTS:
        if found := re.search(pattern, message):
            return int(Fraction(found["number"]) * _UNITS[found["unit"]])
    return None
