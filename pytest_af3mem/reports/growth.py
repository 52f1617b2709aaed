"""What grew between two peaks, in lines of text: first a kernel that was lost, then components, the largest change first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.baseline import Entry, changed_defaults, differing_versions
from pytest_af3mem.records.holders import Change, by_component, for_review, grown
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Kernels, Peak
from pytest_af3mem.records.read_program import Planned
from pytest_af3mem.reports.columns import signed

_TOP, FEW = 10, 3


def changes(before: Planned, after: Planned) -> list[str]:
    """All that differs between who held two peaks; empty where nothing does, or where it is unknown who held one of them."""
    lines = kernels(before.kernels, after.kernels)
    if not (before.holders and after.holders):
        return lines
    old, new = _place(before), _place(after)
    lines += [f"the peak moved from {old} to {new}"] if old != new else []
    at_peak = grown(by_component(before), by_component(after))
    return lines + components(at_peak) + elsewhere(at_peak, before.high_water, after.high_water)


def _place(peak: Planned) -> str:
    """The component that has most of the temporaries at the peak."""
    sums: Counter[str] = Counter()
    for holder in peak.holders:
        if holder.kind == "temporary":
            sums[holder.component] += holder.bytes
    return max(sums, key=lambda name: sums[name], default="parameters and inputs")


def kernels(before: Kernels, after: Kernels) -> list[str]:
    """Operations that fell back to XLA or no longer do, and how many kernels there are: a lost one is the first cause to see."""
    lost, won = (sorted({*one.xla_fallbacks} - {*other.xla_fallbacks}) for one, other in ((after, before), (before, after)))
    lines = [f"fell back from a kernel to XLA: {name}" for name in _shortened(lost)]
    for kind, old, new in (("Triton", before.triton, after.triton), ("Mosaic", before.mosaic, after.mosaic)):
        if old != new:
            lines.append(f"{'fewer' if new < old else 'more'} {kind} kernels: {old} -> {new}")
    return lines + [f"no longer left to XLA: {name}" for name in _shortened(won)]


def by_operation(fallbacks: Iterable[str]) -> dict[str, list[str]]:
    """Names like `gated_linear_unit in evoformer/pair_transition`: the components by operation."""
    places: dict[str, list[str]] = {}
    for name in fallbacks:
        operation, _, place = name.partition(" in ")
        places.setdefault(operation, []).append(place)
    return places


def _shortened(fallbacks: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for operation, places in by_operation(fallbacks).items():
        many = [f"{len(places)} components, the first is {places[0]}"]
        lines += [f"{operation} in {place}" for place in (places if len(places) <= FEW else many)]
    return lines


def components(changed: Sequence[Change]) -> list[str]:
    """A line for each of the largest changes; the others are counted in the last."""
    shown, rest = changed[:_TOP], changed[_TOP:]
    lines = [f"{signed(one.difference_bytes):>13}  {one.component}  {_course(one)}" for one in shown]
    if rest:
        lines.append(f"{signed(sum(one.difference_bytes for one in rest)):>13}  in {len(rest)} others")
    return lines


def elsewhere(at_peak: Sequence[Change], before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Components whose high-water mark moved by something else than at the peak: what a saving away from the peak shows in."""
    known = {one.component: one.difference_bytes for one in at_peak}
    moved = [one for one in grown(before, after) if one.difference_bytes != known.get(one.component)]
    heading = ["the most that temporaries of a component take, at the peak or elsewhere:"] if moved else []
    return heading + components(moved)


def _course(change: Change) -> str:
    if not change.before_bytes:
        return f"new, {format_bytes(change.after_bytes)}"
    if not change.after_bytes:
        return f"gone, {format_bytes(change.before_bytes)}"
    return f"{format_bytes(change.before_bytes)} -> {format_bytes(change.after_bytes)}"


def lost_kernels(entry: Entry, peak: Peak) -> list[str]:
    """Operations that were kernels of their own in the baseline and are now left to XLA; nothing where none was lost."""
    before, after = entry.kernels, peak.kernels
    if after.triton + after.mosaic >= before.triton + before.mosaic and not {*after.xla_fallbacks} - {*before.xla_fallbacks}:
        return []
    return kernels(before, after)


def grew(entry: Entry, peak: Peak) -> list[Change]:
    """Components that hold more or less than in the baseline, also in one that was written feature by feature."""
    if not (entry.components and peak.holders):
        return []
    return grown(for_review(entry.components), for_review(by_component(peak)))


def versions(measurements: Iterable[Measurement]) -> list[str]:
    """What passed against a baseline of other versions or defaults, each difference once: as many bytes, and yet not the same."""
    known = [(one.baseline, Entry.of(one.test, one.peak)) for one in measurements if one.baseline and one.peak]
    defaults = Counter(text for entry, measured in known for text in changed_defaults(entry, measured))
    found = Counter(version for entry, measured in known for version in differing_versions(entry, measured))
    lines = [f"{text}, in the baseline of {_measurements(count)}" for text, count in defaults.items()]
    return lines + [f"the baseline of {_measurements(count)} is of {version}" for version, count in found.items()]


def _measurements(count: int) -> str:
    return f"{count} measurement{'s' if count > 1 else ''}"


def differences(entry: Entry, peak: Peak) -> list[str]:
    """Changed defaults, components that hold more or less than in the baseline, the largest change first, then versions."""
    measured = Entry.of(entry.test, peak)
    lines = changed_defaults(entry, measured) + packing_alone(entry, peak)
    changes = grew(entry, peak)
    heading = ["what grew or shrank against the baseline, at the peak:"] if changes else []
    versions = differing_versions(entry, measured)
    return lines + heading + components(changes) + [f"the baseline is of {version}" for version in versions]


def packing_alone(entry: Entry, peak: Peak) -> list[str]:
    """That what is alive at the peak did not grow where the total did: buffers lie in the slab with larger gaps between."""
    if peak.method != "compiled" or entry.live_bytes is None or peak.live_bytes is None:  # a run's total is the allocator's
        return []
    if peak.live_bytes > entry.live_bytes or peak.total_bytes <= entry.total_bytes:
        return []
    gaps = f"{format_bytes(entry.total_bytes - entry.live_bytes)} -> {format_bytes(peak.total_bytes - peak.live_bytes)}"
    return [f"packing alone: what is alive at the peak did not grow, the gaps between buffers did ({gaps})"]
