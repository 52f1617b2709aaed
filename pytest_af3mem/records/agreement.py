"""Two witnesses of one number: what XLA compiled a program to ask for, and what a real GPU gave. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.peak import Peak, Phases, Run
from pytest_af3mem.storage.typed import Positive, Signed

AGREE = 0.02  # a gap beyond it is a finding of its own


@dataclass(frozen=True)
class Part:
    """A part of what lies between the program's bytes and what the process took. May be negative."""

    cause: str
    bytes: int


def gap(peak: Peak) -> tuple[Part, ...]:
    """What lies between `program_bytes` and `process_bytes` of a run, or `allocator_bytes` where the process is not known.

    With the program's bytes the parts add up to it exactly. Empty for a peak that was not run.
    """
    run, allocator_bytes = peak.run, peak.allocator_bytes
    if run is None or allocator_bytes is None:
        return ()
    parts = _inside(peak, run, allocator_bytes)
    if peak.process_bytes is not None:
        parts += [
            Part("taken by the allocator and never in use", run.pool_bytes - allocator_bytes),
            Part("outside the allocator: CUDA context, libraries, kernels", peak.process_bytes - run.pool_bytes),
        ]
    return tuple(part for part in parts if part.bytes)


def _inside(peak: Peak, run: Run, allocator_bytes: int) -> list[Part]:
    """What lies between the program's bytes and the allocator's."""
    return [
        Part("other arrays, and rounding by the allocator", run.steady_peak_bytes - peak.program_bytes),
        Part("scratch of the compile, beyond the run's peak", allocator_bytes - run.steady_peak_bytes),
    ]


@dataclass(frozen=True)
class ByPhase:
    """What two processes peaked at, against what the program asks for (`program_bytes`), in bytes.

    `cold` compiled the program and peaked `cold_gap_bytes` higher than it asks for. `warm` loaded it from JAX's compilation
    cache, and its runs peaked `warm_gap_bytes` higher; `compile_bytes` is how much higher `cold` peaked than `warm`. Without
    a `warm` process these are None, and `warm_note` says why.
    """

    program_bytes: Positive
    cold: Phases
    cold_gap_bytes: Signed
    warm: Phases | None = None
    warm_gap_bytes: Signed | None = None
    compile_bytes: Signed | None = None
    warm_note: str = ""


def by_phase(peak: Peak) -> ByPhase | None:
    """The phases of a run against its program. None of what was not run, or run before phases were read."""
    if peak.run is None or peak.run.cold is None:
        return None
    cold, warm = peak.run.cold, peak.run.warm
    return ByPhase(
        program_bytes=peak.program_bytes,
        cold=cold,
        cold_gap_bytes=cold.peak_bytes - peak.program_bytes,
        warm=warm,
        warm_gap_bytes=warm.steady_peak_bytes - peak.program_bytes if warm else None,
        compile_bytes=cold.peak_bytes - warm.peak_bytes if warm else None,
        warm_note=peak.run.warm_note,
    )


def share(program_bytes: int, allocator_bytes: int) -> float:
    """How much more the allocator gave than the program asked for: 0.01 is 1 % more."""
    return allocator_bytes / program_bytes - 1 if program_bytes else 0.0


def why_apart(peak: Peak) -> str:
    """One line where the two witnesses of a run differ by more than 2 %; else empty."""
    run, allocator_bytes = peak.run, peak.allocator_bytes
    if run is None or allocator_bytes is None or abs(apart := share(peak.program_bytes, allocator_bytes)) <= AGREE:
        return ""
    inside = max(_inside(peak, run, allocator_bytes), key=lambda part: abs(part.bytes))
    return (
        f"the two witnesses differ by {apart * 100:+.1f} %: compiled {format_bytes(peak.program_bytes)}, the GPU's allocator "
        f"{format_bytes(allocator_bytes)}, most of it {inside.cause} {peak.conditions}"
    )
