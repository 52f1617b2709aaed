"""What a program may run into besides its bytes, as lines of a section: only what there is to say."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.read_program import Planned

_FEW = 5


def lines(peak: Planned) -> Iterator[str]:
    """Where XLA stayed above its limit, arrays beyond 32-bit indexing, and what kernels need that were checked."""
    limits = peak.program_limits
    target = peak.target if isinstance(peak, Peak) else peak.compiled_for
    xla, launch, arrays = limits.rematerialization, limits.launch, limits.large_arrays or ()
    if xla.limit_bytes is not None and xla.reached_bytes is not None:
        yield (
            f"  XLA came down to {format_bytes(xla.reached_bytes)} of temporaries and outputs, "
            f"{format_bytes(xla.reached_bytes - xla.limit_bytes)} above its own limit of {format_bytes(xla.limit_bytes)} for "
            f"{target}: a warning of XLA's, no error (95 % of what arguments and outputs leave of 80 % of the memory)"
        )
    for one in arrays[:_FEW]:
        where = " ".join(filter(None, (one.component, one.source)))
        yield f"  2^31 elements or more, beyond 32-bit indexes: {one.array} in {where}"
    if len(arrays) > _FEW:
        yield f"  and {len(arrays) - _FEW} more"
    if launch:
        most, limit = format_bytes(launch.shared_memory_bytes), format_bytes(launch.limit_bytes)
        yield f"  {'launch':<12}{launch.kernels} kernels, of shared memory at most {most} of {limit} a block, in {launch.kernel}"
