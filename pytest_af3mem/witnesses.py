"""Two witnesses of one number: what XLA compiled a program to ask for, and what a real GPU gave. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_af3mem.peak import Peak
from pytest_af3mem.reports.columns import aligned
from pytest_af3mem.size import format_bytes
from pytest_af3mem.verdict import Measurement

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
    parts = _inside(peak)
    if peak.process_bytes is not None:
        parts += [
            Part("taken by the allocator and never in use", run.pool_bytes - allocator_bytes),
            Part("outside the allocator: CUDA context, libraries, kernels", peak.process_bytes - run.pool_bytes),
        ]
    return tuple(part for part in parts if part.bytes)


def _inside(peak: Peak) -> list[Part]:
    """What lies between the program's bytes and the allocator's."""
    assert peak.run is not None
    assert peak.allocator_bytes is not None
    return [
        Part("other arrays, and rounding by the allocator", peak.run.steady_peak_bytes - peak.program_bytes),
        Part("scratch of the compile, beyond the run's peak", peak.allocator_bytes - peak.run.steady_peak_bytes),
    ]


def share(program_bytes: int, allocator_bytes: int) -> float:
    """How much more the allocator gave than the program asked for: 0.01 is 1 % more."""
    return allocator_bytes / program_bytes - 1 if program_bytes else 0.0


def finding(peak: Peak) -> str:
    """One line where the two witnesses of a run differ by more than 2 %; else empty."""
    if peak.allocator_bytes is None or abs(apart := share(peak.program_bytes, peak.allocator_bytes)) <= AGREE:
        return ""
    inside = max(_inside(peak), key=lambda part: abs(part.bytes))
    return (
        f"the two witnesses differ by {apart * 100:+.1f} %: compiled {format_bytes(peak.program_bytes)}, the GPU's allocator "
        f"{format_bytes(peak.allocator_bytes)}, most of it {inside.cause} {peak.conditions}"
    )


def lines(peak: Peak) -> list[str]:
    """The witnesses of one run, a line each, and what lies between them."""
    run = peak.run
    if run is None or peak.allocator_bytes is None:
        return []
    process = f"{format_bytes(peak.process_bytes):>12}" if peak.process_bytes is not None else f"{'not known':>12}"
    read = run.process_note or f"NVML, read every {run.nvml_gap_ms:.0f} ms at the longest"
    sampled = f" (read every {run.allocator_gap_ms} ms at the longest)" if run.allocator_gap_ms else ""
    largest = f"largest allocation {format_bytes(run.largest_bytes)}, {format_bytes(run.after_bytes)} in use afterwards"
    return [
        f"  {'compiled':<12}{format_bytes(peak.program_bytes):>12}  what the program asks for, as compiled on this GPU",
        f"  {'allocator':<12}{format_bytes(peak.allocator_bytes):>12}  JAX's peak; {largest}",
        f"  {'steady':<12}{format_bytes(run.steady_peak_bytes):>12}  of the run without its compile{sampled}",
        f"  {'process':<12}{process}  {read}",
        *(f"    {format_bytes(part.bytes):>22}  {part.cause}" for part in gap(peak)),
        f"  {'device':<12}{run.device}, {run.uuid}, driver {run.driver}",
        *([f"  {found}"] if (found := finding(peak)) else ()),
    ]


def summary(measurements: Sequence[Measurement]) -> list[str]:
    """The witnesses side by side, a line for each run, and what was found beyond 2 %. Empty where nothing was run.

    What was compiled without the GPU stands there where the same test measured that as well.
    """
    runs = [one for one in measurements if one.peak is not None and one.peak.run is not None]
    if not runs:
        return []
    rows = [("bucket", "target", "without GPU", "compiled", "allocator", "process", "gap")]
    found: list[str] = []
    for one in runs:
        peak = one.peak
        assert peak is not None
        allocator_bytes = peak.allocator_bytes or 0
        without = _without_gpu(one, measurements)
        rows.append(
            (
                str(peak.bucket),
                peak.target,
                format_bytes(without) if without is not None else "-",
                format_bytes(peak.program_bytes),
                format_bytes(allocator_bytes),
                format_bytes(peak.process_bytes) if peak.process_bytes is not None else "not known",
                f"{share(peak.program_bytes, allocator_bytes) * 100:+.2f} %",
            )
        )
        found.append(finding(peak))
    columns = [column for column in zip(*dict.fromkeys(rows), strict=True) if set(column[1:]) != {"-"}]
    table = aligned(list(zip(*columns, strict=True)), right=range(len(columns)))
    return [*table, *dict.fromkeys(filter(None, found))]


def _without_gpu(run: Measurement, measurements: Sequence[Measurement]) -> int | None:
    for other in measurements:
        same = (other.test, other.bucket, other.target) == (run.test, run.bucket, run.target)
        if same and other.peak is not None and other.peak.run is None:
            return other.peak.total_bytes
    return None
