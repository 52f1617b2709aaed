"""A baseline's entry and a peak in, lines about what is different out."""

from __future__ import annotations

from pytest_af3mem import attribution
from pytest_af3mem.baseline import Entry, differing_versions
from pytest_af3mem.peak import Peak
from pytest_af3mem.size import format_bytes

_MOST = 8


def lost_kernels(entry: Entry, peak: Peak) -> list[str]:
    """A line where operations ran as kernels of their own and are now left to XLA, which nobody else tells."""
    fallbacks = sorted({*peak.kernels.xla_fallbacks} - {*entry.kernels.xla_fallbacks})
    before, after = entry.kernels.triton, peak.kernels.triton
    if not fallbacks and after >= before:
        return []
    what = f"fell back from Triton to XLA: {_few(fallbacks)}" if fallbacks else "fewer Triton kernels"
    return [f"{what} (triton {after}, in the baseline {before})"]


def differences(entry: Entry, peak: Peak) -> list[str]:
    """Components that hold more or less than in the baseline, the largest change first, and versions that differ."""
    changes = attribution.grown(entry.components, attribution.by_component(peak)) if entry.components and peak.holders else []
    lines = [
        f"{_signed(one.difference_bytes):>12}  {one.component} ({_held(one.before_bytes)}, now {_held(one.after_bytes)})"
        for one in changes[:_MOST]
    ]
    if len(changes) > _MOST:
        rest = sum(change.difference_bytes for change in changes[_MOST:])
        lines.append(f"{_signed(rest):>12}  {len(changes) - _MOST} other components")
    heading = ["against the baseline, at the peak:"] if lines else []
    return (
        heading
        + lines
        + [f"the baseline is of {difference}" for difference in differing_versions(entry, Entry.of(entry.test, peak))]
    )


def _signed(difference_bytes: int) -> str:
    return f"{'+' if difference_bytes > 0 else ''}{format_bytes(difference_bytes)}"


def _held(held_bytes: int) -> str:
    return format_bytes(held_bytes) if held_bytes else "nothing"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} others" if len(names) > _MOST else "")
