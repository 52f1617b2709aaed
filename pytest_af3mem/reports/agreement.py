"""How a real GPU and the compiled program agree, as text."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.agreement import gap, share, why_apart
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned


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
        *([f"  {found}"] if (found := why_apart(peak)) else ()),
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
        found.append(why_apart(peak))
    columns = [column for column in zip(*dict.fromkeys(rows), strict=True) if set(column[1:]) != {"-"}]
    table = aligned(list(zip(*columns, strict=True)), right=range(len(columns)))
    return [*table, *dict.fromkeys(filter(None, found))]


def _without_gpu(run: Measurement, measurements: Sequence[Measurement]) -> int | None:
    for other in measurements:
        same = (other.test, other.bucket, other.target) == (run.test, run.bucket, run.target)
        if same and other.peak is not None and other.peak.run is None:
            return other.peak.total_bytes
    return None
