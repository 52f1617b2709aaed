"""Memory over program order: what is alive at each step of XLA's schedule, by component. Frozen records and pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_af3mem.storage.typed import Filled

OTHERS = "other components"


@dataclass(frozen=True)
class Band:
    """What one component holds of the temporaries, and what stands below it in the model and has no band of its own.

    `points` are (step, bytes): from that step on it holds so many bytes, and none before the first. `array` is type and shape of
    its largest array, and `source` the line of the model that made it, as those of a `Holder`.
    """

    component: Filled
    points: tuple[tuple[int, int], ...]
    array: str = ""
    source: str = ""


@dataclass(frozen=True)
class Stage:
    """A part of the program that the model has a name for: it begins at the step `first`, and ends where the next begins."""

    name: Filled
    first: int


@dataclass(frozen=True)
class Timeline:
    """Bytes that are alive along XLA's schedule, in the order in which the program runs; a loop is one turn of it.

    Each of the `steps` stands for several moments at which memory is taken or given back, and shows the fullest of them: so the
    largest is the peak, `Peak.live_bytes`. `kept_bytes` are alive all the time: parameters, features, outputs and constants.
    `bands` are the temporaries. `stages` are those that the model names, and `pair_bytes` the size of one pair tensor, tokens x
    tokens x channels in bfloat16, where the model has such. Where all this is not known, it is empty, and `reason` says why.
    """

    steps: int = 0
    kept_bytes: int = 0
    bands: tuple[Band, ...] = ()
    stages: tuple[Stage, ...] = ()
    pair_bytes: int | None = None
    reason: str = ""

    @property
    def along(self) -> dict[str, list[int]]:
        """Bytes of each band at each step."""
        return {band.component: _spread(dict(band.points), self.steps) for band in self.bands}

    @property
    def totals(self) -> list[int]:
        """All bytes that are alive at each step."""
        return [self.kept_bytes + size for size in _sums(self.along, self.steps)]


def bands(steps: Sequence[Mapping[str, int]], arrays: Mapping[str, tuple[str, str]], most: int) -> tuple[Band, ...]:
    """At most so many bands, and one of all others, of what each component holds at each step.

    `arrays` are type and shape of the largest array of each component, and its source.
    """
    names = list(dict.fromkeys(name for held in steps for name in held))
    along = {name: [held.get(name, 0) for held in steps] for name in names}
    kept = folded([along], most)
    found = []
    for name, sizes in merged(along, kept).items():
        largest = max((one for one in names if kept[one] == name), key=lambda one: max(along[one]))
        found.append(Band(name, points(sizes), *arrays.get(largest, ())))
    return tuple(found)


def folded(sides: Sequence[Mapping[str, Sequence[int]]], most: int) -> dict[str, str]:
    """The band in which each component counts, of at most so many and `OTHERS`, the heaviest first.

    The lightest in which nothing stands counts to the module that it stands in, until there are few enough. What a component
    holds at the peak weighs as much as if it held half of that at all steps, and one of the `sides` as much as another.
    """
    weights: Counter[str] = Counter()
    for side in sides:
        sums = _sums(side, max(map(len, side.values()), default=0))
        peak = sums.index(max(sums)) if sums else 0
        for name, sizes in side.items():
            weights[name] += (2 * sum(sizes) + len(sizes) * sizes[peak]) * 10**6 // (sum(sums) or 1)
    counts = {name: name for name in weights}
    while len(weights.keys() - {OTHERS}) > most:
        holding = {name[:end] for name in weights for end, letter in enumerate(name) if letter == "/"}
        lightest = min(weights.keys() - {OTHERS} - holding, key=lambda name: (weights[name], name))
        above = lightest.rpartition("/")[0] or OTHERS
        weights[above] += weights.pop(lightest)
        counts = {name: above if band == lightest else band for name, band in counts.items()}
    heaviest = sorted(counts, key=lambda name: (counts[name] == OTHERS, -weights[counts[name]], counts[name]))
    return {name: counts[name] for name in heaviest}


def merged(along: Mapping[str, Sequence[int]], counts: Mapping[str, str]) -> dict[str, list[int]]:
    """What each band holds at each step, where the components of `along` count in the bands of `counts`, in their order."""
    found: dict[str, list[int]] = {}
    for name, band in counts.items():
        if name in along:
            sizes = along[name]
            found[band] = [a + b for a, b in zip(found.get(band, [0] * len(sizes)), sizes, strict=True)]
    return found


def points(sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The steps from which on so many bytes are held, as those of a `Band`."""
    return tuple((step, size) for step, size in enumerate(sizes) if size != (sizes[step - 1] if step else 0))


def _spread(points: Mapping[int, int], steps: int) -> list[int]:
    sizes, now = [], 0
    for step in range(steps):
        now = points.get(step, now)
        sizes.append(now)
    return sizes


def _sums(along: Mapping[str, Sequence[int]], steps: int) -> list[int]:
    return [sum(column) for column in zip(*along.values(), strict=True)] if along else [0] * steps
