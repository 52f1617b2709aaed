"""Measurements in, text for a terminal out."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.function_call import shortened
from pytest_af3mem.records.holders import by_component, explained
from pytest_af3mem.records.measurement import Measurement, grouped
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.read_program import Planned
from pytest_af3mem.records.verdict import percent
from pytest_af3mem.reports import agreement as agreement_report
from pytest_af3mem.reports import growth, program_limits
from pytest_af3mem.reports.columns import aligned, filled, signed, size

_HEADINGS = "tokens bucket function target total budget margin baseline change verdict kernels time test".split()
_NUMBERS = {"tokens", "bucket", "total", "budget", "margin", "baseline", "change", "time"}
_TOP = 10
_WIDTH = 60  # of a function's call


def rows(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """Headings, then the cells of each measurement; a column that says nothing is left out."""
    return filled([_HEADINGS, *map(_cells, grouped(measurements))])


def table(measurements: Sequence[Measurement]) -> list[str]:
    """One line a measurement, columns aligned, headings first."""
    table = rows(measurements)
    return [shown(line) for line in aligned(table, right=numbers(table[0]))]


def numbers(headings: Sequence[str]) -> set[int]:
    """Which of these columns are numbers."""
    return {at for at, heading in enumerate(headings) if heading in _NUMBERS}


def _cells(alike: Sequence[Measurement]) -> tuple[str, ...]:
    measurement = min(alike, key=lambda one: one.peak.cached if one.peak else False)
    tokens = sorted({one.tokens for one in alike if one.tokens is not None})
    peak, verdict = measurement.peak, measurement.verdict
    budget = verdict.budget_bytes if verdict else None
    margin = budget - peak.total_bytes if peak and budget else None
    accepted = verdict.baseline_bytes if verdict else None
    change = peak.total_bytes - accepted if peak and accepted else None
    return (
        "-".join(map(str, dict.fromkeys((tokens[0], tokens[-1])))) if tokens else "-",
        "-" if measurement.bucket is None else str(measurement.bucket),
        shortened(measurement.function, _WIDTH) or "-",
        measurement.target,
        size(peak.total_bytes if peak else None),
        size(budget or None),
        f"{format_bytes(margin)} ({percent(margin, budget)})" if margin is not None and budget else "-",
        size(accepted or None),
        f"{signed(change)} ({percent(change, accepted, '+')})" if change and accepted else "-",
        verdict.outcome.value if verdict else "-",
        str(peak.kernels) if peak else "-",
        _time(peak) if peak else "-",
        measurement.test + (f" ({len(alike)} inputs)" if len(alike) > 1 else ""),
    )


def _time(peak: Peak) -> str:
    """How long it took, or where it was known from."""
    if peak.cached:
        return "shipped" if peak.shipped else "cached"
    return "same program" if peak.same_program else f"{peak.seconds:.1f} s"


def section(measurement: Measurement) -> str:
    """What stands below a failure: where the bytes are, the kernels, and the command that measures it again."""
    lines = growth.lost_kernels(measurement.baseline, measurement.peak) if measurement.peak and measurement.baseline else []
    lines += [measurement.verdict.line] if measurement.verdict else []
    lines += filter(None, [body(measurement)])
    if measurement.detail:
        lines += ["  the worker's last lines:", *(f"    {line}" for line in measurement.detail.splitlines())]
    ways = {"AlphaFold 3 input": measurement.input, "measure it again": measurement.command}
    ways |= {"accept it as the baseline": measurement.accept, "or all of this run": measurement.accept_all}
    return _printed([*lines, *(f"  {what}: {text}" for what, text in ways.items() if text)])


def body(measurement: Measurement) -> str:
    """The part of a section that inputs of one bucket have in common."""
    peak = measurement.peak
    if peak is None:
        return ""
    lines = [*agreement_report.lines(peak), *memory(peak)]
    if peak.least_bytes is not None:
        lines.append(
            f"  {'at the least':<12}{format_bytes(peak.least_bytes):>12}  as the GPU chooses between Triton and cuBLASLt"
        )
    if peak.tuning_bytes is not None:
        lines.append(
            f"  {'tuning':<12}{format_bytes(peak.tuning_bytes):>12}  inputs of kernels that tokamax may keep: not in the total"
        )
    lines += [*kernels(peak), *program_limits.lines(peak)]
    lines.append(f"  {'model':<12}{peak.model.distribution}, jax {peak.software.get('jax', '?')}")
    lines += holders(peak)
    if measurement.baseline:
        lines += [f"  {line}" for line in growth.differences(measurement.baseline, peak)]
    return _printed(lines)


def memory(peak: Planned) -> list[str]:
    """Where the bytes are, a line for each part."""
    parts = (
        ("arguments", peak.argument_bytes, "parameters and features"),
        ("outputs", peak.output_bytes, ""),
        ("temporaries", peak.temp_bytes, "one slab"),
        ("aliased", -peak.alias_bytes, "outputs in the place of arguments"),
        ("constants", peak.constant_bytes, "arrays that are part of the program"),
    )
    lines = [f"  {name:<12}{format_bytes(number):>12}  {note}".rstrip() for name, number, note in parts if number]
    if peak.live_bytes is not None:
        lines.append(f"  {'live peak':<12}{format_bytes(peak.live_bytes):>12}  the same without fragmentation")
        if peak.packing_bytes:
            lines.append(f"  {'packing':<12}{format_bytes(peak.packing_bytes):>12}  gaps between buffers, lost to fragmentation")
    return lines


def kernels(peak: Planned) -> list[str]:
    """How many there are, and what fell back from one to XLA."""
    lines = [f"  {'kernels':<12}{peak.kernels}"]
    for operation, found in growth.by_operation(peak.kernels.xla_fallbacks).items():
        places = ", ".join(found) if len(found) <= growth.FEW else f"{len(found)} components"
        lines.append(f"  fell back to XLA: {operation} in {places}")
    return lines


def _printed(lines: Sequence[str]) -> str:
    """Lines, of which a worker has said much, as one text."""
    return "\n".join(shown(line) for text in lines for line in text.split("\n"))


def once(text: str, bodies: Sequence[str], test: str, printed: dict[str, str]) -> str:
    """Sections of a test's failures; a body that an earlier test has `printed` is replaced by the name of that test."""
    for one in bodies:
        first, found, rest = text.partition(one)
        if printed.get(one, test) != test:
            text = text.replace(one, f"  for the rest see {printed[one]}: it is the same program")
        elif found:
            text = first + found + rest.replace(one, "  and the rest as above: it is the same program")
        printed.setdefault(one, test)
    return text


def holders(peak: Planned) -> list[str]:
    """The components that hold most of the peak, with the largest array of each and the line that makes it."""
    if not peak.holders:
        return [f"  {peak.unattributed}"] if peak.unattributed else []
    lines = [f"  who holds the peak ({explained(peak) * 100:.1f} % of it in named components):"]
    sums, total = by_component(peak), peak.total_bytes or 1
    for name in [*sums][:_TOP]:
        own = [holder for holder in peak.holders if holder.component == name]
        what = " ".join(filter(None, (own[0].kind, own[0].array, own[0].source)))
        more = sum(holder.count for holder in own) - own[0].count
        what_else = "" if what == name else f"  {what}{f' and {more} more' if more else ''}"
        lines.append(f"  {format_bytes(sums[name]):>12} {sums[name] / total * 100:5.1f} %  {name}{what_else}")
    if rest := [*sums.values()][_TOP:]:
        lines.append(f"  {format_bytes(sum(rest)):>12} {sum(rest) / total * 100:5.1f} %  in {len(rest)} others")
    return lines
