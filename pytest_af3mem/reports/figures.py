"""Series of measurements in, plots out: dictionaries of plotly.js's schema, with their legends and tables.

Colours are names of CSS variables of page.html.jinja, such as `--ink`. Texts are escaped: plotly.js reads markup in them.
"""

from __future__ import annotations

import functools
import html
import math
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.history import History
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.verdict import Outcome
from pytest_af3mem.reports import series
from pytest_af3mem.reports.series import Series

_GIB = 2**30
COLORS = tuple(f"--color-{index}" for index in range(10))
_MOST_BANDS = 9  # and one for all other components
_MOST_TICKS = 9
_NEAR = 1.2  # capacities that differ by less than this factor would run into each other
_AXIS = {"gridcolor": "--grid", "linecolor": "--grid", "zeroline": False, "fixedrange": True, "automargin": True}
_ENDS = {"mode": "lines+markers", "marker": {"symbol": "line-ew-open", "size": 10, "color": "--budget"}}
_LAYOUT = {
    "showlegend": False,
    "dragmode": False,
    "hovermode": "closest",
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "paper_bgcolor": "--page",
    "plot_bgcolor": "--page",
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--ink"},
    "hoverlabel": {"bgcolor": "--page", "bordercolor": "--muted", "font": {"color": "--ink"}, "align": "left"},
}
_Trace = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """One entry of a legend: `look` is a class of page.html.jinja, `color` the name of a CSS variable."""

    look: str
    color: str
    label: str


@dataclass(frozen=True)
class Plot:
    """A figure, its legend, and what it shows in words."""

    figure: Mapping[str, Any]
    keys: Sequence[Key]
    alt: str


@dataclass(frozen=True)
class Bar:
    """One peak of the plot of components: bytes of each band, in the order of the legend; 0 where it holds nothing."""

    size: str
    series: str
    bytes: Sequence[int]
    total_bytes: int


def curve(found: Sequence[Series], buckets: Sequence[int]) -> Plot:
    """Peaks over tokens as steps of the padding `buckets`, with budgets and the memory of GPUs; both axes are logarithmic."""
    targets = list(dict.fromkeys(one.target for one in found))
    sizes = sorted({bucket for one in found for bucket in one.by_bucket})
    peaks = [peak.total_bytes for one in found for peak in one.by_bucket.values()]
    measurements = [measurement for one in found for measurement in one.measurements]
    sized = [(one.bucket, one) for one in measurements if one.bucket]
    budgets = {(bucket, one.verdict.budget_bytes) for bucket, one in sized if one.verdict and one.verdict.budget_bytes}
    accepted = {(bucket, one.baseline.total_bytes) for bucket, one in sized if one.baseline}
    over = [one for one in measurements if one.verdict and one.verdict.outcome is Outcome.OVER]
    capacities = _capacities(targets, min(peaks), max(peaks))
    left, right = sizes[0] / 2, sizes[-1] * 1.1
    low, high = min(peaks), max([*peaks, *capacities.values(), *(limit for _, limit in budgets | accepted)])
    margin = max(1.3, (high / low) ** 0.07)  # with room for the label of the highest line
    low, high = low / margin, high * margin

    traces = [_capacity(name, memory, (left, right), name in targets) for name, memory in capacities.items()]
    for name, color, limits, ends in (("budget", "--budget", budgets, _ENDS), ("baseline", "--within", accepted, {})):
        for bucket, limit in sorted(limits):
            words = {"hoverinfo": "text", "text": f"{name} {format_bytes(limit)}, bucket {bucket:,}"}
            traces.append(_line([_first(bucket, buckets), bucket], [limit, limit], color, 2, "dash", **words, **ends))
    colored = list(zip(found, cycle(COLORS)))
    for index, (one, color) in enumerate(colored):
        traces += _steps(one, color, buckets, width=3 + 2 * min(4, len(found) - 1 - index))  # so that none hides an equal one
    traces += [_points(one.measurements, "circle", color) for one, color in colored]
    traces += [_points(over, "x", "--over")] if over else []
    ticks = functools.reduce(lambda kept, size: [*kept, size] if size > 1.4 * kept[-1] else kept, sizes, sizes[:1])
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    powers = [2**power for power in range(first, last + 1, 1 + (last - first) // _MOST_TICKS)]  # of two, as memory comes in
    layout = {
        "height": 460,
        "xaxis": _log_axis(left, right, ticks, [f"{size:,}" for size in ticks]) | {"title": {"text": "tokens"}},
        "yaxis": _log_axis(low / _GIB, high / _GIB, *_ticks(powers)),
    }
    has_gaps = any(trace.get("line", {}).get("dash") == "dot" for trace in traces)
    others = [
        (has_gaps, Key("dots", "--ink", "buckets that were not measured")),
        (budgets, Key("dash", "--budget", "budget")),
        (accepted, Key("dash", "--within", "baseline")),
        (over, Key("cross", "--over", "over its limit")),
        (targets, Key("line", "--target", f"memory of {' and '.join(targets)}")),
        (len(capacities) > len(targets), Key("thin", "--muted", "memory of other GPUs")),
    ]
    keys = [Key("line", color, one.name) for one, color in colored] + [key for is_there, key in others if is_there]
    described = []
    for one in found:
        peaks_of = (f"{format_bytes(peak.total_bytes)} at {bucket:,}" for bucket, peak in one.by_bucket.items())
        described.append(f"{one.name}: {', '.join(peaks_of)}")
    return Plot({"data": traces, "layout": _LAYOUT | layout}, keys, f"GPU memory over tokens. {'; '.join(described)}.")


def _capacities(targets: Collection[str], lowest: int, highest: int) -> dict[str, int]:
    """Memory of the measured targets, and of those GPUs that the peaks reach or nearly reach, whole ones before slices."""
    kept = {name: gpus.find(name).memory_bytes for name in targets}
    in_order = sorted(map(gpus.find, gpus.names()), key=lambda gpu: (gpu.is_slice, round(gpu.memory_bytes / 2**30)))
    for gpu in in_order:  # of those with about the same memory the first in the catalogue
        apart = all(max(gpu.memory_bytes, memory) > _NEAR * min(gpu.memory_bytes, memory) for memory in kept.values())
        if apart and lowest < gpu.memory_bytes < 3 * highest:
            kept[gpu.name] = gpu.memory_bytes
    return kept


def _first(bucket: int, buckets: Sequence[int]) -> int:
    """The least number of tokens that is padded to this bucket; above the largest one, and where none are known, its own."""
    return max((size for size in buckets if size < bucket), default=0) + 1 if bucket in buckets else bucket


def _steps(one: Series, color: str, buckets: Sequence[int], width: float) -> list[_Trace]:
    """The peak of each measured bucket as a line over its tokens; dotted where buckets between them were not measured."""
    measured = [(_first(bucket, buckets), bucket, peak.total_bytes) for bucket, peak in one.by_bucket.items()]
    x: list[int | None] = []
    y: list[int | None] = []
    traces = []
    for index, (first, last, total) in enumerate(measured):
        if index:
            _, before, previous = measured[index - 1]
            if first == before + 1:
                first = before  # the step is upright
            else:
                traces.append(_line([before, first], [previous, total], color, 1.5, "dot"))
                x, y = [*x, None], [*y, None]
        x += [first, last]
        y += [total, total]
    return [*traces, _line(x, y, color, width)]


def _capacity(name: str, memory: int, ends: tuple[float, float], is_target: bool) -> _Trace:
    color, width = ("--target", 2.5) if is_target else ("--muted", 1)
    text = f"{name} {format_bytes(memory)}"
    label: _Trace = {"text": [f"<b>{text}</b>" if is_target else text, ""], "textfont": {"color": color, "size": 11}}
    return _line(ends, [memory, memory], color, width, mode="lines+text", textposition="top right", **label)


def _points(measurements: Sequence[Measurement], symbol: str, color: str) -> _Trace:
    """What was asked for, each at its own number of tokens, and what came of it when it is pointed at."""
    peaks = [(one, one.peak) for one in measurements if one.peak]
    return {
        "mode": "markers",
        "x": [one.tokens for one, _ in peaks],
        "y": [_gib(peak.total_bytes) for _, peak in peaks],
        "marker": {"symbol": symbol, "size": 10, "color": color, "line": {"color": "--page", "width": 1}},
        "hoverinfo": "text",
        "text": [_escaped(f"{one.test}\n{one.verdict.line if one.verdict else peak}") for one, peak in peaks],
    }


def _line(
    x: Sequence[float | None], y: Sequence[int | None], color: str, width: float, dash: str = "solid", **more: Any
) -> _Trace:
    line = {"color": color, "width": width, "dash": dash}
    return {"mode": "lines", "x": list(x), "y": [one and _gib(one) for one in y], "line": line, "hoverinfo": "skip", **more}


def _log_axis(low: float, high: float, values: Sequence[float], texts: Sequence[str]) -> dict[str, Any]:
    ticks = {"tickvals": values, "ticktext": texts, "tickangle": 0}
    return {**_AXIS, "type": "log", "range": [math.log10(low), math.log10(high)], **ticks}


def _ticks(sizes: Sequence[int]) -> tuple[list[float], list[str]]:
    """Values and texts of the ticks of an axis in GiB."""
    return [_gib(size) for size in sizes], [round_size(size) for size in sizes]


def few_sizes(end: float) -> range:
    """Bytes from 0 to `end` for the ticks of a linear axis, so few that a narrow screen has room for them."""
    return range(0, int(end) + 1, 2 ** max(0, math.ceil(math.log2(end / 5))))


def round_size(size: int) -> str:
    return format_bytes(size).replace(".00", "")


def composition(found: Sequence[Series]) -> tuple[Plot, list[Bar]]:
    """A bar for each peak, stacked of what holds it: components of the model where they are known, else arguments and so on."""
    peaks = [(one, peak, series.parts(peak)) for one in found for peak in one.by_bucket.values()]
    most: Counter[str] = Counter()
    for _, _, held in peaks:
        most |= Counter(held)
    names = [name for name, _ in most.most_common(_MOST_BANDS)]
    others = len(most) - len(names)
    bars = []
    for one, peak, held in peaks:
        sizes = [held.pop(name, 0) for name in names]
        sizes += [sum(held.values())] if others else []
        bars.append(Bar(f"{peak.bucket:,}", one.label, sizes, peak.total_bytes))
    labels = names + ([f"{others} other components"] if others else [])
    keys = [Key("box", color, label) for color, label in zip(COLORS, labels, strict=False)]

    several = len(found) > 1
    totals = [format_bytes(bar.total_bytes) for bar in bars]
    places = [f"{bar.size}<br>{_escaped(bar.series, 14)}" if several else bar.size for bar in bars]
    total: _Trace = {"mode": "text", "x": [_gib(bar.total_bytes) for bar in bars], "text": [f" {text}" for text in totals]}
    total |= {"textposition": "middle right", "textfont": {"color": "--ink"}, "cliponaxis": False, "hoverinfo": "skip"}
    traces = [{"y": places, **_band(index, key, bars)} for index, key in enumerate(keys)] + [{"y": places, **total}]
    end = 1.4 * max(bar.total_bytes for bar in bars)
    values, texts = _ticks(few_sizes(end))
    title = "" if several else "bucket"
    layout = {
        "barmode": "stack",
        "bargap": 0.3,
        "height": 90 + (52 if several else 40) * len(bars),
        "xaxis": {**_AXIS, "tickvals": values, "ticktext": texts, "tickangle": 0, "range": [0, end / _GIB]},
        "yaxis": {**_AXIS, "type": "category", "showgrid": False, "autorange": "reversed", "title": {"text": title}},
    }
    words = (f"{bar.size} tokens, {bar.series}: {_shares(bar, keys)}" for bar in bars)
    alt = f"Who holds the peak. {'; '.join(words)}."
    return Plot({"data": traces, "layout": _LAYOUT | layout}, keys, alt), bars


def _band(index: int, key: Key, bars: Sequence[Bar]) -> _Trace:
    """The part of each bar that one entry of the legend is of."""
    held = [(bar.bytes[index], f"{format_bytes(bar.bytes[index])} of {format_bytes(bar.total_bytes)}") for bar in bars]
    return {
        "type": "bar",
        "orientation": "h",
        "x": [_gib(size) for size, _ in held],
        "marker": {"color": key.color, "line": {"width": 0}},
        "hoverinfo": "text",
        "text": [_escaped(f"{key.label}\n{text}") for _, text in held],
        "textposition": "none",
    }


def _shares(bar: Bar, keys: Sequence[Key]) -> str:
    held = sorted(zip(bar.bytes, keys, strict=True), key=lambda pair: -pair[0])
    return ", ".join(f"{key.label} {size / bar.total_bytes:.0%}" for size, key in held[:3] if size)


def over_commits(found: History, names: Sequence[str]) -> Plot:
    """Peaks over the commits of a baseline, each in percent of its test's first, so that changes of small and large ones show.

    `names` are those of its courses.
    """
    places = {commit: place for place, commit in enumerate(found.commits)}
    colored = list(zip(names, found.courses, cycle(COLORS)))
    traces = []
    for name, course, color in colored:
        texts = [f"{name}\n{format_bytes(entry.total_bytes)}\n{commit}\n{commit.subject}" for commit, entry in course.points]
        traces.append(
            {
                "mode": "lines+markers",
                "x": [places[commit] for commit, _ in course.points],
                "y": [round(size / course.sizes[0] * 100, 6) for size in course.sizes],
                "line": {"color": color, "width": 2, "shape": "hv"},
                "marker": {"color": color, "size": 7},
                "hoverinfo": "text",
                "text": list(map(_escaped, texts)),
            }
        )
    each = -(-len(found.commits) // _MOST_TICKS)
    ticks = [(place, commit.short) for commit, place in places.items() if place % each == 0]
    layout = {
        "height": 460,
        "xaxis": {**_AXIS, "tickvals": [place for place, _ in ticks], "ticktext": [text for _, text in ticks]},
        "yaxis": {**_AXIS, "ticksuffix": " %", "title": {"text": "of the test's first peak"}},
    }
    words = (f"{name}: {format_bytes(course.sizes[0])} to {format_bytes(course.sizes[-1])}" for name, course, _ in colored)
    keys = [Key("line", color, name) for name, _, color in colored]
    return Plot({"data": traces, "layout": _LAYOUT | layout}, keys, f"GPU memory over commits. {'; '.join(words)}.")


def _gib(number: int) -> float:
    return round(number / _GIB, 9)


def _escaped(text: str, width: int = 48) -> str:
    """Text in lines that also a narrow screen has room for."""
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, width)]
    return "<br>".join(html.escape(line, quote=False) for line in lines)
