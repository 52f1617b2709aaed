"""Who holds a peak: sums by component, and what grew between two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_af3mem.records.read_program import Planned

FRAGMENTATION = "fragmentation"
"""Component and kind of memory that is asked for and lies idle at the peak."""


UNNAMED = "model"
"""The component of what stands in no name scope."""


class Difference:
    """Of a record that says what there was before and after."""

    before_bytes: int
    after_bytes: int

    @property
    def difference_bytes(self) -> int:
        return self.after_bytes - self.before_bytes


@dataclass(frozen=True)
class Change(Difference):
    """What one component holds, before and after; 0 where it holds nothing."""

    component: str
    before_bytes: int
    after_bytes: int


def by_component(peak: Planned) -> dict[str, int]:
    """Bytes at the peak of each component, the largest first; they add up to `total_bytes`. Empty where nobody was named."""
    sums: Counter[str] = Counter()
    for holder in peak.holders:
        sums[holder.component] += holder.bytes
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def for_review(components: Mapping[str, int]) -> dict[str, int]:
    """As a baseline keeps them: all features as one component `batch`, for their sizes follow the bucket."""
    sums: Counter[str] = Counter()
    for name, size in components.items():
        sums["batch" if name.startswith("batch/") else name] += size
    return dict(sums)


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> list[Change]:
    """Components that hold more or less than before, the largest change first, of equal ones by name."""
    changes = [Change(name, before.get(name, 0), after.get(name, 0)) for name in {**before, **after}]
    moved = [change for change in changes if change.difference_bytes]
    return sorted(moved, key=lambda change: (-abs(change.difference_bytes), change.component))


def explained(peak: Planned) -> float:
    """The share of the peak, from 0 to 1, that named components hold: neither fragmentation nor outside of all scopes."""
    named = sum(holder.bytes for holder in peak.holders if holder.component not in (UNNAMED, FRAGMENTATION))
    return named / peak.total_bytes if peak.total_bytes else 0.0
