"""Who holds the peak, and what grew. Pure functions over the records of `peak`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_af3mem.peak import Peak


@dataclass(frozen=True)
class Change:
    """What one component holds at the peak, before and after; 0 where it holds nothing."""

    component: str
    before_bytes: int
    after_bytes: int

    @property
    def difference_bytes(self) -> int:
        return self.after_bytes - self.before_bytes


def by_component(peak: Peak) -> dict[str, int]:
    """Bytes at the peak of each component, the largest first; they add up to `total_bytes`. Empty where nobody was named."""
    sums: Counter[str] = Counter()
    for holder in peak.holders:
        sums[holder.component] += holder.bytes
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> list[Change]:
    """Components that hold more or less than before, the largest change first, of equal ones by name."""
    changes = [Change(name, before.get(name, 0), after.get(name, 0)) for name in {**before, **after}]
    moved = [change for change in changes if change.difference_bytes]
    return sorted(moved, key=lambda change: (-abs(change.difference_bytes), change.component))
