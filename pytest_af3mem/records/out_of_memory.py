"""What XLA, CUDA and kernels say of memory, in an error or a log: which ran out, and how much was asked for. Text in, record out.

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

# With the numbers as groups: what was asked for, and of how much.
AMOUNT = r"\d{1,19}(?:\.\d+)? ?(?:[KMGT]i?B|B|bytes)?"
ASKED = rf"(?P<asked>{AMOUNT})"
FAILED = r"[Ff]ailed to alloc(?:ate)? (?:[\d.]+\w* \()?(?P<asked>\d{1,19} bytes)\)?"
REQUEST = rf"Failed to allocate request for [\d.]+\w+ \({ASKED}\)"
TRYING = rf"trying to allocate {ASKED}"
TRYING_ROUNDED = rf"trying to allocate [\d.]+\w+ \(rounded to {ASKED}"
SHARED_REQUEST = r"requested (?P<asked>\d{1,19}), available: (?P<limit>\d{1,19})"
SHARED_DATA = r"shared data \((?P<asked>0x[0-9a-f]{1,15}) bytes, (?P<limit>0x[0-9a-f]{1,15}) max\)"
REMATERIALIZED = (  # of xla/hlo/transforms/simplifiers/hlo_rematerialization.cc, which rounds sizes and adds the bytes
    rf"reduce memory use below [\d.]+\w+ \((?P<xla_limit>{AMOUNT})\) by rematerialization; only reduced to [\d.]+\w+ "
    rf"\((?P<planned>{AMOUNT})\)"
)
_EXACT_FIRST = (r"trying to allocate (?P<asked>\d{1,19} bytes)", REQUEST, FAILED, TRYING_ROUNDED, TRYING)


def read(message: str) -> Failure | None:
    """The failure that an error's text tells of; None for an error of another kind, such as the model's own."""
    for cause, pattern in _CAUSES:
        if found := re.search(pattern, message):
            start = message.rfind("\n", 0, found.start()) + 1
            line = message[start:].partition("\n")[0].strip()
            return Failure(cause, line[:300], _asked(message) if cause is Cause.GPU else None)
    return None


def _asked(message: str) -> int | None:
    found = next(filter(None, (re.search(pattern, message) for pattern in _EXACT_FIRST)), None)
    return amount(found["asked"]) if found else None


def amount(text: str | None) -> int | None:
    """Bytes, as XLA, CUDA, Linux and ptxas write them: `47.20GiB`, `17.79G`, `96 bytes`, `81559MiB`, `12kB`, `0xc600`."""
    if text is None:
        return None
    if text.startswith("0x"):
        return int(text, 16)
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kKMGT]?)(?:i?B|bytes)?", text)
    return int(Fraction(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ")) if found else None
