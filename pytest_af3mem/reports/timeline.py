"""Series of measurements in, pictures out: memory over program order, as timeline.html.jinja draws it in SVG.

A picture is as wide as it has steps and `TALL` units high; what lies in it besides lines and areas is placed in percent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.records.peak import Holder, Peak
from pytest_af3mem.records.timeline import OTHERS, Stage, Timeline, folded, merged, points
from pytest_af3mem.reports.figures import COLORS, Key, few_sizes, round_size
from pytest_af3mem.reports.series import Series

TALL = 1000
_KEPT = "parameters, features and outputs"
_MOST_BANDS = len(COLORS) - 2  # besides what is always there and all other components
_MOST_HOLDERS = 8
_ABOVE = 1.04  # room above the highest line
_NARROW, _WIDE = 250, 880  # pixels of a picture on a telephone and on a screen
_LETTER = 8  # pixels


@dataclass(frozen=True)
class Layer:
    """An area from the bottom to the top edge of one band; those of the bands below it lie over it."""

    color: str
    path: str
    title: str


@dataclass(frozen=True)
class Tick:
    """A label at `at` percent of the height."""

    at: float
    text: str


@dataclass(frozen=True)
class Strip:
    """A stage: where it lies in percent of the width, what there is room for in it, and the most that is alive meanwhile."""

    number: int
    name: str
    left: float
    width: float
    narrow: str
    wide: str
    most: str


@dataclass(frozen=True)
class Picture:
    """One timeline: `at` is where its peak lies, in percent of the width, and `data` what the page's script reads.

    `unit` says what one pair tensor is; empty for a model without. `holders` are the largest buffers at the peak and their sizes.
    """

    name: str
    alt: str
    label: str
    at: float
    layers: Sequence[Layer]
    lines: Mapping[str, str]
    sizes: Sequence[Tick]
    pairs: Sequence[Tick]
    strips: Sequence[Strip]
    unit: str
    data: Mapping[str, Any]
    holders: Sequence[tuple[Holder, str]] = ()


@dataclass(frozen=True)
class Group:
    """Pictures of one bucket, to be compared: they have the same scale."""

    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Timelines:
    """All pictures with their legend, and why there is none of a peak."""

    groups: Sequence[Group] = ()
    keys: Sequence[Key] = ()
    reasons: Sequence[str] = ()

    @property
    def data(self) -> list[Mapping[str, Any]]:
        return [picture.data for group in self.groups for picture in group.pictures]


@dataclass(frozen=True)
class _Side:
    """One timeline and its peak; `peak` is None for what a measurement was compared with."""

    name: str
    bucket: int
    timeline: Timeline
    peak: Peak | None

    @property
    def asked_bytes(self) -> int | None:
        """What the program asks for: what is alive at the peak, and the gaps."""
        packing_bytes = self.peak.packing_bytes if self.peak else None
        return None if packing_bytes is None else max(self.timeline.totals) + packing_bytes


def drawn(found: Sequence[Series], keys: Sequence[Key] = ()) -> Timelines:
    """Pictures of the peaks of all series, small buckets first. Components that the legend `keys` has keep their colour."""
    sides = list(_sides(found))
    reasons = sorted({side.timeline.reason for side in sides} - {""})
    sides = [side for side in sides if side.timeline.steps]
    bands = folded([side.timeline.along for side in sides], _MOST_BANDS)
    colors = _colors([_KEPT, *dict.fromkeys(bands.values())], {key.label: key.color for key in keys})
    groups = []
    for bucket in sorted({side.bucket for side in sides}):
        alike = [side for side in sides if side.bucket == bucket]
        top = _ABOVE * max(max(side.asked_bytes or 0, *side.timeline.totals) for side in alike)
        pictures = [_picture(side, bands, colors, top) for side in alike]
        groups.append(Group(f"{bucket:,} tokens: {'; '.join(f'{one.name}, {one.label}' for one in pictures)}", pictures))
    legend = [Key("box", color, name) for name, color in colors.items()]
    if any(side.asked_bytes for side in sides):
        legend.append(Key("dash", "--ink", "what is asked for, with the gaps between buffers"))
    return Timelines(groups, legend if groups else (), reasons)


def _sides(found: Sequence[Series]) -> Iterator[_Side]:
    """What a measurement was compared with stands before it."""
    for one in found:
        for bucket, peak in one.by_bucket.items():
            compared = (each.baseline_timeline for each in one.measurements if each.bucket == bucket)
            before = next(filter(None, compared), None)
            if before:
                yield _Side(f"{one.label}, before", bucket, before, None)
            if peak.timeline:
                yield _Side(f"{one.label}, now" if before else one.label, bucket, peak.timeline, peak)


def _colors(names: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """A colour of each name, the greys for what is always there and for the others."""
    free = [color for color in COLORS if color not in {known[name] for name in names if name in known}]
    chosen = {name: known[name] if name in known else free.pop() for name in (_KEPT, OTHERS)}
    return {name: chosen.get(name) or known.get(name) or free.pop(0) for name in names}


def _picture(side: _Side, bands: Mapping[str, str], colors: Mapping[str, str], top: float) -> Picture:
    timeline, totals = side.timeline, side.timeline.totals
    steps, highest = timeline.steps, max(totals)
    peak = totals.index(highest)
    arrays = _arrays(timeline, bands)

    def height(size: float) -> int:
        return round(TALL * (1 - size / top))

    held = {_KEPT: [timeline.kept_bytes] * steps, **merged(timeline.along, bands)}
    layers, below = [], [0] * steps
    for name, sizes in held.items():
        below = [a + b for a, b in zip(below, sizes, strict=True)]
        title = "\n".join([f"{name}: up to {_sized(max(sizes), timeline)}", *arrays.get(name, ())])
        layers.append(Layer(colors[name], _area(list(map(height, below))), title))

    stages = list(_strips(timeline, totals))
    within = next((one.name for one in reversed(timeline.stages) if one.first <= peak), "")
    label = f"{_sized(highest, timeline)} alive at the peak{f', in {within}' if within else ''}"
    grid = "".join(f"M0 {height(size)}H{steps}" for size in few_sizes(top))
    asked = f"M0 {height(side.asked_bytes)}H{steps}" if side.asked_bytes else ""
    meanwhile = "".join(f"; {one.name} up to {one.most}" for one in stages)
    return Picture(
        name=side.name,
        alt=f"Memory over program order at {side.bucket:,} tokens, {side.name}: {label}{meanwhile}.",
        label=label,
        at=round(100 * (peak + 0.5) / steps, 2),
        layers=layers[::-1],
        lines={"grid": grid, "asked": asked, "peak": f"M{peak + 0.5} 0V{height(highest)}"},
        sizes=[Tick(_percent(size / top), round_size(size)) for size in few_sizes(top)],
        pairs=_pair_ticks(timeline, top),
        strips=stages,
        unit=_unit(timeline, side.bucket),
        data={
            "steps": steps,
            "peak": peak,
            "pair": timeline.pair_bytes,
            "stages": [[one.name, one.first] for one in timeline.stages],
            "bands": [[name, ", ".join(arrays.get(name, ())), points(sizes)] for name, sizes in held.items()],
        },
        holders=_holders(side),
    )


def _arrays(timeline: Timeline, bands: Mapping[str, str]) -> dict[str, list[str]]:
    """Of each band that is drawn: its largest array, and the line that made it."""
    along = timeline.along
    largest: dict[str, Any] = {}
    for band in sorted(timeline.bands, key=lambda one: max(along[one.component])):
        largest[bands[band.component]] = band
    return {name: [text for text in (band.array, band.source) if text] for name, band in largest.items()}


def _area(tops: Sequence[int]) -> str:
    """The outline of an area below these heights, one for each step."""
    path = f"M0 {TALL}"
    for step, top in enumerate(tops):
        if not step or top != tops[step - 1]:
            path += f"{f'H{step}' if step else ''}V{top}"
    return f"{path}H{len(tops)}V{TALL}Z"


def _strips(timeline: Timeline, totals: Sequence[int]) -> Iterator[Strip]:
    ends = [*(one.first for one in timeline.stages[1:]), timeline.steps]
    for number, (stage, end) in enumerate(zip(timeline.stages, ends, strict=False), start=1):
        share = (end - stage.first) / timeline.steps
        narrow, wide = (_fitting(stage, number, share * pixels) for pixels in (_NARROW, _WIDE))
        most = _sized(max(totals[stage.first : end], default=0), timeline)
        yield Strip(number, stage.name, _percent(stage.first / timeline.steps), _percent(share), narrow, wide, most)


def _fitting(stage: Stage, number: int, pixels: float) -> str:
    """The longest text of a stage for which there is room: its name, its number, nothing."""
    return next((text for text in (stage.name, str(number)) if _LETTER * (len(text) + 0.5) <= pixels), "")


def _pair_ticks(timeline: Timeline, top: float) -> list[Tick]:
    if not timeline.pair_bytes:
        return []
    most = top / timeline.pair_bytes
    step = next(size for power in range(12) for size in (10**power, 2 * 10**power, 5 * 10**power) if most / size <= 6)
    return [Tick(_percent(count / most), f"{count:,}x") for count in range(0, int(most) + 1, step)]


def _unit(timeline: Timeline, tokens: int) -> str:
    if not timeline.pair_bytes:
        return ""
    channels = timeline.pair_bytes // (2 * tokens**2)  # bfloat16 has two bytes
    return f"{tokens:,} x {tokens:,} x {channels} in bfloat16, {round_size(timeline.pair_bytes)}"


def _sized(size: int, timeline: Timeline) -> str:
    """Bytes, and how many pair tensors they are."""
    pairs = f" ({size / timeline.pair_bytes:.1f} pair tensors)" if timeline.pair_bytes else ""
    return f"{format_bytes(size)}{pairs}"


def _holders(side: _Side) -> list[tuple[Holder, str]]:
    """The largest buffers at the peak, and all others as one."""
    holders = side.peak.holders if side.peak else ()
    shown, rest = list(holders[:_MOST_HOLDERS]), holders[_MOST_HOLDERS:]
    if rest:
        shown.append(Holder("all others", "", sum(one.bytes for one in rest), count=sum(one.count for one in rest)))
    return [(one, _sized(one.bytes, side.timeline)) for one in shown]


def _percent(share: float) -> float:
    return round(100 * share, 2)
