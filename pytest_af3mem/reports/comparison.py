"""A baseline's entry and a peak in, lines about what is different out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pytest_af3mem import growth
from pytest_af3mem.attribution import Change, by_component, for_review, grown
from pytest_af3mem.baseline import Entry, differing_versions
from pytest_af3mem.peak import Peak
from pytest_af3mem.verdict import Measurement


def lost_kernels(entry: Entry, peak: Peak) -> list[str]:
    """Operations that were kernels of their own in the baseline and are now left to XLA; nothing where none was lost."""
    before, after = entry.kernels, peak.kernels
    if after.triton + after.mosaic >= before.triton + before.mosaic and not {*after.xla_fallbacks} - {*before.xla_fallbacks}:
        return []
    return growth.kernels(before, after)


def grew(entry: Entry, peak: Peak) -> list[Change]:
    """Components that hold more or less than in the baseline, also in one that was written feature by feature."""
    if not (entry.components and peak.holders):
        return []
    return grown(for_review(entry.components), for_review(by_component(peak)))


def versions(measurements: Iterable[Measurement]) -> list[str]:
    """What passed against a baseline of other versions, each difference once: no bytes more, and yet not the same."""
    known = [(one.baseline, one.peak) for one in measurements if one.baseline and one.peak]
    found = Counter(version for entry, peak in known for version in differing_versions(entry, Entry.of(entry.test, peak)))
    return [f"the baseline of {count} measurement{'s' if count > 1 else ''} is of {version}" for version, count in found.items()]


def differences(entry: Entry, peak: Peak) -> list[str]:
    """Components that hold more or less than in the baseline, the largest change first, and versions that differ."""
    changes = grew(entry, peak)
    heading = ["what grew or shrank against the baseline, at the peak:"] if changes else []
    versions = differing_versions(entry, Entry.of(entry.test, peak))
    return heading + growth.components(changes) + [f"the baseline is of {version}" for version in versions]
