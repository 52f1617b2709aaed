"""How a real GPU and the compiled program agree, as text."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.function_call import shortened
from pytest_af3mem.records.agreement import ByPhase, by_phase, gap, share, why_apart
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, filled, signed, size


def lines(peak: Peak) -> list[str]:
    """The witnesses of one run, a line each, and what lies between them."""
    run = peak.run
    if run is None or peak.allocator_bytes is None:
        return []
    read = run.process_note or f"NVML, read every {run.nvml_gap_ms:.0f} ms at the longest"
    sampled = f" (read every {run.allocator_gap_ms} ms at the longest)" if run.allocator_gap_ms else ""
    phases = by_phase(peak)
    largest = f"largest allocation {format_bytes(run.largest_bytes)}, {format_bytes(run.after_bytes)} in use afterwards"
    return [
        f"  {'compiled':<12}{format_bytes(peak.program_bytes):>12}  what the program asks for, as compiled on this GPU",
        f"  {'allocator':<12}{format_bytes(peak.allocator_bytes):>12}  JAX's peak; {largest}",
        *([f"  {'':<26}{_of_the_compile(phases)}"] if phases else ()),
        f"  {'steady':<12}{format_bytes(run.steady_peak_bytes):>12}  of the run without its compile{sampled}",
        f"  {'process':<12}{size(peak.process_bytes, 'not known'):>12}  {read}",
        *(f"    {format_bytes(part.bytes):>22}  {part.cause}" for part in gap(peak)),
        *([*_phase_table(phases), f"  {_from_the_program(phases)}"] if phases else ()),
        f"  {'device':<12}{run.device}, {run.uuid}, driver {run.driver}",
        *([f"  {found}"] if (found := why_apart(peak)) else ()),
    ]


def _of_the_compile(phases: ByPhase) -> str:
    """What of the peak is not the program's, by the process that did not compile it."""
    if phases.warm is None or phases.compile_bytes is None:
        return f"how much of it is the compile's is not known: {phases.warm_note}"
    share_of_it = f"{format_bytes(phases.compile_bytes)} are" if phases.compile_bytes > 0 else "nothing is"
    more = f", {format_bytes(-phases.compile_bytes)} more" if phases.compile_bytes < 0 else ""
    return (
        f"of which {share_of_it} the compile's: a process that loads the program from JAX's compilation cache peaked at "
        f"{format_bytes(phases.warm.peak_bytes)}{more}"
    )


def _phase_table(phases: ByPhase) -> list[str]:
    """Each phase of both processes: what is in use at its end, the peak so far, and by how much the phase raised it."""
    headings = ["in use", "peak so far", "raised by"]
    rows = [["end of phase", *headings, *(f"warm: {text}" for text in headings if phases.warm)]]
    rows += [[name] for name in phases.cold.by_name]
    for process in filter(None, (phases.cold, phases.warm)):
        before = None
        for row, phase in zip(rows[1:], process.by_name.values(), strict=True):
            raised = "-" if before is None else format_bytes(phase.peak_bytes - before)
            row += [format_bytes(phase.in_use_bytes), format_bytes(phase.peak_bytes), raised]
            before = phase.peak_bytes
    return [f"  {line}" for line in aligned(rows, right=range(1, len(rows[0])))]


def _from_the_program(phases: ByPhase) -> str:
    """How far the peaks of both processes are from what the program asks for."""
    cold = f"the process that compiles it {_apart(phases.program_bytes, phases.cold_gap_bytes)}"
    if phases.warm_gap_bytes is None:
        return f"against the program's {format_bytes(phases.program_bytes)}: {cold}"
    warm = f"runs of the process that loads it {_apart(phases.program_bytes, phases.warm_gap_bytes)}"
    return f"against the program's {format_bytes(phases.program_bytes)}: {warm}, {cold}"


def _apart(program_bytes: int, gap_bytes: int) -> str:
    return f"{_signed(gap_bytes)} ({share(program_bytes, program_bytes + gap_bytes) * 100:+.2f} %)"


def summary(measurements: Sequence[Measurement]) -> list[str]:
    """The witnesses of each run in a line, with what the same test compiled without the GPU; and what was found beyond 2 %.

    "warm" is a process that loaded the program from JAX's compilation cache, and "compile's" how much higher the one peaked that
    compiled it.
    """
    known = [((one.test, one.bucket, one.function, one.target), one.peak) for one in measurements if one.peak is not None]
    runs = [(place, peak) for place, peak in known if peak.run is not None]
    if not runs:
        return []
    without = {place: peak.total_bytes for place, peak in reversed(known) if peak.run is None}  # of several the first
    rows = [("bucket", "target", "without GPU", "compiled", "allocator", "process", "gap", "compile's", "warm", "warm gap")]
    found: list[str] = []
    for place, peak in runs:
        allocator_bytes, phases = peak.allocator_bytes or 0, by_phase(peak)
        if phases and phases.warm is None:
            found.append(f"no warm peak: {phases.warm_note} {peak.conditions}")
        sizes = (size(without.get(place)), size(peak.program_bytes), size(allocator_bytes), size(peak.process_bytes, "not known"))
        gap_share = f"{share(peak.program_bytes, allocator_bytes) * 100:+.2f} %"
        rows.append((shortened(peak.function) or str(peak.bucket), peak.target, *sizes, gap_share, *_warm_cells(phases)))
        found.append(why_apart(peak))
    table = filled(list(dict.fromkeys(rows)))
    return [*aligned(table, right=range(len(table[0]))), *dict.fromkeys(filter(None, found))]


def _warm_cells(phases: ByPhase | None) -> tuple[str, str, str]:
    """What the compile adds, what the runs of a process peak at that loads the program, and how far that is from the program."""
    if phases is None or phases.warm is None or phases.compile_bytes is None:
        return "-", "-", "-"
    steady_bytes = phases.warm.steady_peak_bytes
    percent = f"{share(phases.program_bytes, steady_bytes) * 100:+.2f} %"
    return _signed(phases.compile_bytes), format_bytes(steady_bytes), percent


def _signed(difference_bytes: int) -> str:
    return signed(difference_bytes) if difference_bytes else "0 B"
