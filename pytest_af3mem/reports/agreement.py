"""How a real GPU and the compiled program agree, as text."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.agreement import gap, share, why_apart
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, filled, size


def lines(peak: Peak) -> list[str]:
    """The witnesses of one run, a line each, and what lies between them."""
    run = peak.run
    if run is None or peak.allocator_bytes is None:
        return []
    read = run.process_note or f"NVML, read every {run.nvml_gap_ms:.0f} ms at the longest"
    sampled = f" (read every {run.allocator_gap_ms} ms at the longest)" if run.allocator_gap_ms else ""
    largest = f"largest allocation {format_bytes(run.largest_bytes)}, {format_bytes(run.after_bytes)} in use afterwards"
    return [
        f"  {'compiled':<12}{format_bytes(peak.program_bytes):>12}  what the program asks for, as compiled on this GPU",
        f"  {'allocator':<12}{format_bytes(peak.allocator_bytes):>12}  JAX's peak; {largest}",
        f"  {'steady':<12}{format_bytes(run.steady_peak_bytes):>12}  of the run without its compile{sampled}",
        f"  {'process':<12}{size(peak.process_bytes, 'not known'):>12}  {read}",
        *(f"    {format_bytes(part.bytes):>22}  {part.cause}" for part in gap(peak)),
        f"  {'device':<12}{run.device}, {run.uuid}, driver {run.driver}",
        *([f"  {found}"] if (found := why_apart(peak)) else ()),
    ]


def summary(measurements: Sequence[Measurement]) -> list[str]:
    """The witnesses of each run in a line, with what the same test compiled without the GPU; and what was found beyond 2 %."""
    known = [((one.test, one.bucket, one.target), one.peak) for one in measurements if one.peak is not None]
    runs = [(place, peak) for place, peak in known if peak.run is not None]
    if not runs:
        return []
    without = {place: peak.total_bytes for place, peak in reversed(known) if peak.run is None}  # of several the first
    rows = [("bucket", "target", "without GPU", "compiled", "allocator", "process", "gap")]
    for place, peak in runs:
        allocator_bytes = peak.allocator_bytes or 0
        sizes = (size(without.get(place)), size(peak.program_bytes), size(allocator_bytes), size(peak.process_bytes, "not known"))
        rows.append((str(peak.bucket), peak.target, *sizes, f"{share(peak.program_bytes, allocator_bytes) * 100:+.2f} %"))
    table = filled(list(dict.fromkeys(rows)))
    return [*aligned(table, right=range(len(table[0]))), *dict.fromkeys(filter(None, (why_apart(peak) for _, peak in runs)))]
