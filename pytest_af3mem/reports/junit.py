"""Measurements in, properties of a test in JUnit's XML out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_af3mem.records.measurement import Measurement, grouped

_NAMES = ("conditions", "total_bytes", "live_bytes", "budget_bytes", "baseline_bytes", "verdict")


def properties(measurements: Sequence[Measurement]) -> list[tuple[str, object]]:
    """Conditions, and then bytes and verdict where there are any, of each measurement; of inputs that came to the same, once."""
    found: list[tuple[str, object]] = []
    for one, *_ in grouped(measurements):
        row = {**one.to_json(), "conditions": one.conditions[1:-1]}
        found += [(f"af3_{name}", row[name]) for name in _NAMES if row[name] is not None]
    return found


def replaced(before: Iterable[tuple[str, object]], measurements: Sequence[Measurement]) -> list[tuple[str, object]]:
    """The properties that a test has, ours renewed: a test that is run again would have them twice."""
    ours = {f"af3_{name}" for name in _NAMES}
    return [*(one for one in before if one[0] not in ours), *properties(measurements)]
