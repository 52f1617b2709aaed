"""A baseline's entry and a peak in, lines about what is different out."""

from __future__ import annotations

from pytest_af3mem import growth
from pytest_af3mem.attribution import by_component, grown
from pytest_af3mem.baseline import Entry, differing_versions
from pytest_af3mem.peak import Peak


def lost_kernels(entry: Entry, peak: Peak) -> list[str]:
    """Operations that were kernels of their own in the baseline and are now left to XLA; nothing where none was lost."""
    before, after = entry.kernels, peak.kernels
    if after.triton + after.mosaic >= before.triton + before.mosaic and not {*after.xla_fallbacks} - {*before.xla_fallbacks}:
        return []
    return growth.kernels(before, after)


def differences(entry: Entry, peak: Peak) -> list[str]:
    """Components that hold more or less than in the baseline, the largest change first, and versions that differ."""
    changes = grown(entry.components, by_component(peak)) if entry.components and peak.holders else []
    heading = ["what grew or shrank against the baseline, at the peak:"] if changes else []
    versions = differing_versions(entry, Entry.of(entry.test, peak))
    return heading + growth.components(changes) + [f"the baseline is of {version}" for version in versions]
