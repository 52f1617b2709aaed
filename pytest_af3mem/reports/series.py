"""Measurements in, series out: peaks that differ in the size of the input alone, named by what sets them apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak

_KINDS = {"parameter": "parameters", "input": "inputs", "output": "outputs", "constant": "constants"}
_SHORT = 28
_DIGEST = 8


@dataclass(frozen=True)
class Series:
    """All `measurements` of one series; `label` is its `name` where there is little room."""

    name: str
    label: str
    target: str
    measurements: Sequence[Measurement]

    @property
    def by_bucket(self) -> dict[int, Peak]:
        """The highest peak of each bucket, small buckets first."""
        peaks = [(one.bucket, one.peak) for one in self.measurements if one.peak and one.bucket]
        return dict(sorted(peaks, key=lambda pair: (pair[0], pair[1].total_bytes)))


def split(measurements: Iterable[Measurement]) -> list[Series]:
    """One series for each set of conditions, in the order of their first measurement; what gave no peak is in none.

    Nor is a function, which has no size of its own.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Measurement]] = {}
    for one in measurements:
        if one.peak and one.bucket:
            groups.setdefault(tuple(conditions(one.peak).items()), []).append(one)
    varying = {name for name, values in distinct(dict(group) for group in groups).items() if len(values) > 1 and name != "target"}
    series = []
    for index, (group, found) in enumerate(groups.items(), start=1):
        values = dict(group)
        values["sources"] = values["sources"].removeprefix("sha256:")[:_DIGEST]
        target, differing = values["target"], ", ".join(f"{name} {value}" for name, value in values.items() if name in varying)
        name = label = f"{target}, {differing}" if differing else target
        if len(name) > _SHORT:
            label = f"{target} #{index}"
            name = f"{label}: {differing}"
        series.append(Series(name, label, target, found))
    return series


def conditions(peak: Peak) -> dict[str, str]:
    """All that a peak was measured with, its size apart, as people read it."""
    return {
        "target": peak.target,
        "method": peak.method,
        "model": peak.model.name,
        "package": peak.model.distribution,
        "sources": peak.model.fingerprint,
        **{name: one if isinstance(one, str) else json.dumps(one, default=str) for name, one in peak.model.config.items()},
        **peak.software,
    }


def distinct(conditions: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """The values that each condition has, in the order in which they come."""
    values: dict[str, dict[str, None]] = {}
    for one in conditions:
        for name, value in one.items():
            values.setdefault(name, {})[value] = None
    return {name: list(found) for name, found in values.items()}


def parts(peak: Peak) -> dict[str, int]:
    """What holds a peak: parameters, inputs and so on as one, the rest by component; they add up to `total_bytes`."""
    if not peak.holders:
        held = {"arguments": peak.argument_bytes, "outputs": peak.output_bytes - peak.alias_bytes, "temporaries": peak.temp_bytes}
        return {name: size for name, size in held.items() if size}
    sums: Counter[str] = Counter()
    for holder in peak.holders:
        sums[_KINDS.get(holder.kind, holder.component)] += holder.bytes
    return dict(sums)
