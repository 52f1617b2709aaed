import dataclasses
import json
import re
from pathlib import Path

import pytest

from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.peak import Holder
from pytest_af3mem.records.timeline import OTHERS, Band, Stage, Timeline
from pytest_af3mem.records.verdict import judge, not_judged
from pytest_af3mem.reports import figures, series
from pytest_af3mem.reports import timeline as timelines
from pytest_af3mem.reports.failures import Failure

pytest.importorskip("jinja2")
graph_objects = pytest.importorskip("plotly.graph_objects")
html = pytest.importorskip("pytest_af3mem.reports.html")

GIB = 2**30
BUCKETS = (256, 512, 768, 1024)
EVIL = "t.py::test_</script><script>alert(1)</script><img src=http://x.test/y onerror=alert(2)>\"'&"


@pytest.fixture
def sized(a_measurement, a_peak):
    """A measurement of a bucket, whose peak is `gib`."""

    def sized(bucket, gib=1, *, budget=None, target="h100-80gb", tokens=None, **changes):
        size = {"tokens": tokens or bucket, "bucket": bucket, "target": target}
        total = int(gib * GIB)
        parts = {"argument_bytes": total // 4, "output_bytes": 0, "temp_bytes": total - total // 4, "alias_bytes": 0}
        peak = a_peak(**size, **parts, total_bytes=total, **changes)
        return a_measurement(**size, peak=peak, verdict=judge(peak, int(budget * GIB)) if budget else None)

    return sized


def page_without_library(*arguments, **named):
    """The page, and the data of its plots, without plotly.js, in which anything may stand."""
    page = html.render(*arguments, **named)
    data = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page)
    return re.sub(r'(<script type="text/plain" id="plotly">).*?(</script>)', r"\1\2", page), data and json.loads(data[1])


def colored(figure):
    """A figure as the page gives it to plotly.js: with colours in the place of the names of CSS variables."""
    return json.loads(re.sub(r'"--[\w-]+"', '"#123456"', json.dumps(figure)))


def line_of(figure, width):
    (trace,) = [trace for trace in figure["data"] if trace.get("line", {}).get("width") == width and trace["mode"] == "lines"]
    return list(zip(trace["x"], trace["y"], strict=True))


# -- The page


def test_the_page_tells_it_all(sized):
    measurements = [sized(512, 1, budget=2), sized(1024, 4, budget=3)]
    page, _ = page_without_library(measurements, buckets=BUCKETS)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>GPU memory of AlphaFold 3: 1 over, 1 within</title>" in page
    headings = re.findall(r"<h([1-6])[^>]*>(.*?)</h\1>", page)
    assert headings == [
        ("1", "GPU memory of AlphaFold 3"),
        ("2", "What failed"),
        ("3", "t.py::<wbr>test_<wbr>fits"),
        ("2", "Memory over tokens"),
        ("2", "Who holds the peak"),
        ("2", "Measurements"),
        ("2", "Measured with"),
    ]
    assert "GPU peak 4.00 GiB is over the budget of 3.00 GiB by 1.00 GiB (33.3 %)" in page
    assert "measure it again: af3mem measure --tokens 1000 --target h100-80gb" in page
    assert "h100-80gb: NVIDIA H100 80GB HBM3, 79.11 GiB, compute capability 9.0" in page
    assert "--xla_gpu_autotune_level=0" in page


def test_every_plot_has_words(sized):
    page, data = page_without_library([sized(512, 1), sized(1024, 4)], buckets=BUCKETS)
    plots = dict(re.findall(r'id="(\w+)" role="img" aria-label="([^"]+)"', page))
    assert plots == {
        "curve": "GPU memory over tokens. h100-80gb: 1.00 GiB at 512, 4.00 GiB at 1,024.",
        "composition": "Who holds the peak. 512 tokens, h100-80gb: temporaries 75%, arguments 25%; "
        "1,024 tokens, h100-80gb: temporaries 75%, arguments 25%.",
    }
    assert set(data) == set(plots)


def held(**components):
    return tuple(Holder(name, "temporary", size) for name, size in components.items())


def test_changes_against_the_baseline(sized):
    before = sized(512, holders=held(evoformer=GIB, diffuser=GIB, head=7)).peak
    after = sized(512, holders=held(evoformer=3 * GIB, diffuser=GIB // 2, new=5, head=7))
    page, _ = page_without_library([dataclasses.replace(after, baseline=Entry.of(after.test, before))])
    (section,) = re.findall(r'<h2 id="changes">.*?</section>', page, re.DOTALL)
    assert "test_<wbr>fits [512 tokens, bucket 512, h100-80gb, compiled]</h3>" in section
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section)
    assert [(name, re.findall(r">([^<]+)</td>", cells)) for name, cells in rows] == [
        ("evoformer", ["+2.00 GiB", "1.00 GiB", "3.00 GiB"]),
        ("diffuser", ["-512.00 MiB", "1.00 GiB", "512.00 MiB"]),
        ("new", ["+5 B", "0 B", "5 B"]),
    ]


def test_nothing_changed(sized):
    same = sized(512, holders=held(evoformer=GIB))
    page, _ = page_without_library([dataclasses.replace(same, baseline=Entry.of(same.test, same.peak))])
    assert "What changed" not in page


def test_why_components_are_not_known(sized):
    page, _ = page_without_library([sized(512, unattributed="who holds the peak is not known: ValueError: <new> format")])
    assert "Who holds the peak is not known: ValueError: &lt;new&gt; format. The same in numbers:" in page


def test_without_a_peak_there_is_no_plot(a_measurement):
    lost = a_measurement(peak=None, verdict=not_judged("the worker died", "[1000 tokens]"))
    page, data = page_without_library([lost])
    assert data is None
    assert "GPU peak not judged: the worker died [1000 tokens]" in page
    assert "<script" not in page
    page, _ = page_without_library([])
    assert "Nothing was measured" in page


def test_what_was_not_judged_is_missed_in_the_plot(sized, a_measurement):
    lost = a_measurement(tokens=5000, peak=None, verdict=not_judged("the worker died", "[5000 tokens]"))
    page, _ = page_without_library([sized(512), lost, lost])
    assert "Not in the plot, for they were not judged: 5,000 tokens on h100-80gb." in page


def test_a_test_that_fails_for_another_reason_is_told(sized):
    page, _ = page_without_library([sized(512)], [Failure("t.py::test_grows", Path("t.py"), 3, "AssertionError: <it> grew")])
    assert "1 without a limit, 1 test failed for another reason" in page
    assert "AssertionError: &lt;it&gt; grew" in page


def test_names_are_no_markup(sized, a_peak):
    evil = dataclasses.replace(sized(512, 4, budget=3), test=EVIL, command=EVIL)
    holders = (Holder(EVIL, "temporary", 4 * GIB),)
    peak = dataclasses.replace(evil.peak, holders=holders, software={EVIL: EVIL})
    evil = dataclasses.replace(evil, peak=peak)
    failures = [Failure(f"{EVIL}2", Path("t.py"), 3, EVIL)]
    before = sized(512, holders=(Holder(f"{EVIL}3", "temporary", 1),)).peak
    page, data = page_without_library([dataclasses.replace(evil, baseline=Entry.of(EVIL, before))], failures)
    assert "What changed against the baseline" in page
    assert page.count("<script") == 3
    assert page.count("</script>") == 3
    assert "<img" not in page
    shown = [trace["text"] for trace in data["curve"]["data"] + data["composition"]["data"] if "text" in trace]
    assert any("&lt;/script&gt;" in json.dumps(text) for text in shown)
    assert "<img" not in json.dumps(shown)
    assert "<script" not in json.dumps(shown)


def test_nothing_is_loaded_from_elsewhere(sized):
    page, _ = page_without_library([sized(512, 4, budget=3)], buckets=BUCKETS)
    assert external(page) == []
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://cdn.example/plotly.js">',
        "<img src=//cdn.example/a.png>",
        "<link rel=stylesheet href='http://cdn.example/a.css'>",
        "body { background: url(https://cdn.example/a.png) }",
        '@import "https://cdn.example/a.css";',
    ],
)
def test_that_test_can_fail(markup):
    assert external(markup)


def external(page):
    return re.findall(r"""(?:(?:src|href|srcset|action|data)\s*=|url\(|@import)\s*["']?\s*(?:\w+:)?//[^\s"')>]+""", page)


def test_the_library_is_there_once_and_packed(sized):
    page = html.render([sized(512)])
    assert page.count('id="plotly"') == 1
    assert len(page) < 2.5 * 2**20


# -- The plots


def test_plotly_knows_every_attribute(sized):
    measurements = [sized(256, 1, budget=2), sized(1024, 4, budget=3), sized(512, 2, target="a100-40gb")]
    _, data = page_without_library(measurements, buckets=BUCKETS)
    for figure in data.values():
        graph_objects.Figure(colored(figure))


def test_that_test_can_fail_too(sized):
    _, data = page_without_library([sized(256)])
    figure = colored(data["curve"])
    figure["layout"]["xaxis"]["tikvals"] = [1]
    with pytest.raises(ValueError, match="tikvals"):
        graph_objects.Figure(figure)


def test_the_curve_has_the_steps_of_the_buckets(sized):
    found = series.split([sized(1024, 4, tokens=900), sized(256, 1), sized(512, 2)])
    figure = figures.curve(found, BUCKETS).figure
    assert line_of(figure, 3) == [(1, 1), (256, 1), (256, 2), (512, 2), (None, None), (769, 4), (1024, 4)]
    assert line_of(figure, 1.5) == [(512, 2), (769, 4)]  # dotted: 768 was not measured
    (points,) = [trace for trace in figure["data"] if trace["mode"] == "markers"]
    assert (points["x"], points["y"]) == ([900, 256, 512], [4, 1, 2])


def test_the_curve_of_a_model_that_does_not_pad(sized):
    figure = figures.curve(series.split([sized(300, 1), sized(500, 2)]), ()).figure
    assert line_of(figure, 3) == [(300, 1), (300, 1), (None, None), (500, 2), (500, 2)]


def test_the_curve_has_budgets_and_the_memory_of_gpus(sized):
    plot = figures.curve(series.split([sized(512, 4, budget=3), sized(1024, 20, budget=24)]), BUCKETS)
    labels = [trace["text"][0] for trace in plot.figure["data"] if trace["mode"] == "lines+text"]
    assert labels[0] == "<b>h100-80gb 79.11 GiB</b>"
    assert {"a100-40gb 39.42 GiB", "t4-16gb 14.74 GiB"} <= set(labels)
    budgets = [trace for trace in plot.figure["data"] if trace["mode"] == "lines+markers"]
    assert [(trace["x"], trace["y"]) for trace in budgets] == [([257, 512], [3, 3]), ([769, 1024], [24, 24])]
    assert [key.label for key in plot.keys] == [
        "h100-80gb",
        "buckets that were not measured",
        "budget",
        "over its limit",
        "memory of h100-80gb",
        "memory of other GPUs",
    ]
    (over,) = [trace for trace in plot.figure["data"] if trace.get("marker", {}).get("symbol") == "x"]
    assert over["x"] == [512]


def test_the_bars_show_holders(sized):
    holders = (
        Holder("diffuser/evoformer", "temporary", 3 * GIB),
        Holder("diffuser/evoformer", "parameter", GIB // 2),
        Holder("diffuser/head", "parameter", GIB // 2),
        Holder("diffuser/head", "carry", 2 * GIB),
    )
    plot, (bar,) = figures.composition(series.split([sized(512, 6, holders=holders)]))
    assert dict(zip((key.label for key in plot.keys), bar.bytes, strict=True)) == {
        "diffuser/evoformer": 3 * GIB,
        "diffuser/head": 2 * GIB,
        "parameters": GIB,
    }


def test_the_bars_without_holders(a_peak):
    """What outputs share with arguments is counted once, so that parts add up to the total."""
    parts = series.parts(a_peak())
    assert parts == {"arguments": 2 * GIB, "temporaries": 6 * GIB}
    assert sum(parts.values()) == a_peak().total_bytes


def test_small_components_are_one_band(sized):
    many = tuple(Holder(f"layer_{index:02}", "temporary", (20 - index) * GIB) for index in range(20))
    plot, (bar,) = figures.composition(series.split([sized(512, 210, holders=many)]))
    assert [key.label for key in plot.keys] == [*(f"layer_{index:02}" for index in range(9)), "11 other components"]
    assert sum(bar.bytes) == bar.total_bytes == 210 * GIB


def test_series_are_named_by_what_differs(sized, a_peak):
    few = dataclasses.replace(a_peak().model, config={"num_samples": 1})
    assert [one.name for one in series.split([sized(256), sized(512)])] == ["h100-80gb"]
    measurements = [sized(256), sized(512, target="l4-24gb"), sized(256, model=few)]
    assert [(one.name, one.label) for one in series.split(measurements)] == [
        ("h100-80gb, num_samples 5", "h100-80gb, num_samples 5"),
        ("l4-24gb, num_samples 5", "l4-24gb, num_samples 5"),
        ("h100-80gb, num_samples 1", "h100-80gb, num_samples 1"),
    ]


def test_series_with_long_names_are_numbered(sized, a_peak):
    edited = dataclasses.replace(a_peak().model, distribution="alphafold3 3.1.1, a source tree", fingerprint=f"sha256:{'4' * 64}")
    assert [(one.name, one.label) for one in series.split([sized(256), sized(256, model=edited)])] == [
        ("h100-80gb #1: package alphafold3-colabfold 3.1.18, sources 0123", "h100-80gb #1"),
        ("h100-80gb #2: package alphafold3 3.1.1, a source tree, sources 44444444", "h100-80gb #2"),
    ]


def test_two_witnesses_stand_side_by_side(a_measurement, a_run):
    page, _ = page_without_library([a_measurement(peak=a_run())])
    (told,) = re.findall(r'<h2 id="witnesses">.*?<pre>(.*?)</pre>', page, re.DOTALL)
    assert "+0.05 %" in told


# -- Memory over program order

TRUNK, HEAD = "net/trunk", "net/head"
TIMELINE = Timeline(
    steps=10,
    kept_bytes=GIB,
    bands=(
        Band(TRUNK, ((0, GIB), (3, 4 * GIB), (4, GIB), (6, 0)), "bf16[512,512,128]", "net/trunk.py:7"),
        Band(HEAD, ((6, 2 * GIB),), "f32[512]", "net/head.py:20"),
    ),
    stages=(Stage("trunk", 0), Stage("head", 6)),
    pair_bytes=2 * 512**2 * 128,
)


def over_the_program(page):
    (section,) = re.findall(r'<h2 id="over-the-program">.*?</section>', page, re.DOTALL)
    return section


def test_memory_over_program_order(sized):
    holders = (Holder(TRUNK, "temporary", 4 * GIB, "bf16[512,512,128]", "net/trunk.py:7", 2), Holder("net", "parameter", GIB))
    one = sized(512, 6, timeline=TIMELINE, holders=holders, live_bytes=5 * GIB)
    page, _ = page_without_library([one], buckets=BUCKETS)
    section = over_the_program(page)
    assert "<summary>512 tokens: h100-80gb, 5.00 GiB (80.0 pair tensors) alive at the peak, in trunk</summary>" in section
    assert "one is 512 x 512 x 128 in bfloat16, 64 MiB." in section
    (alt,) = re.findall(r'<svg [^>]*role="img" aria-label="([^"]+)"', section)
    assert alt == (
        "Memory over program order at 512 tokens, h100-80gb: 5.00 GiB (80.0 pair tensors) alive at the peak, in trunk; "
        "trunk up to 5.00 GiB (80.0 pair tensors); head up to 3.00 GiB (48.0 pair tensors)."
    )
    titles = re.findall("<title>(.*?)</title>", section, re.DOTALL)
    assert "net/trunk: up to 4.00 GiB (64.0 pair tensors)\nbf16[512,512,128]\nnet/trunk.py:7" in titles
    cells = re.findall("<td[^>]*>(.*?)</td>", section)
    assert cells[:3] == ["4.00 GiB (64.0 pair tensors)", "bf16[512,512,128] 2 buffers", "net/<wbr>trunk.py:7"]
    assert external(page) == []
    (data,) = json.loads(re.search(r'id="timelines">(.*?)</script>', page)[1])
    assert data["bands"][1] == [TRUNK, "bf16[512,512,128], net/trunk.py:7", [list(point) for point in TIMELINE.bands[0].points]]


def test_areas_lie_one_on_the_other(sized):
    peak = {"timeline": TIMELINE, "live_bytes": 5 * GIB}
    ((picture,),) = (group.pictures for group in timelines.drawn(series.split([sized(512, 5, **peak)])).groups)
    top = round(timelines.TALL / 1.04)
    height = {gib: round(timelines.TALL * (1 - gib / 5 / 1.04)) for gib in (1, 2, 3, 5)}
    head, trunk, kept = (layer.path for layer in picture.layers)  # the lowest is drawn last, over the others
    assert kept == f"M0 1000V{height[1]}H10V1000Z"
    assert trunk == f"M0 1000V{height[2]}H3V{height[5]}H4V{height[2]}H6V{height[1]}H10V1000Z"
    assert head == f"M0 1000V{height[2]}H3V{height[5]}H4V{height[2]}H6V{height[3]}H10V1000Z"
    assert picture.lines["peak"] == f"M3.5 0V{timelines.TALL - top}"
    assert [(one.left, one.width, one.narrow, one.wide) for one in picture.strips] == [
        (0, 60, "trunk", "trunk"),
        (60, 40, "head", "head"),
    ]


def test_a_stage_without_room_for_its_name_has_its_number_or_nothing(sized):
    narrow = dataclasses.replace(TIMELINE, steps=200, stages=(Stage("embedding", 0), Stage("trunk", 15), Stage("end", 199)))
    ((picture,),) = (group.pictures for group in timelines.drawn(series.split([sized(512, timeline=narrow)])).groups)
    assert [(one.narrow, one.wide) for one in picture.strips] == [("1", "1"), ("trunk", "trunk"), ("", "")]


def test_before_and_now_have_one_scale_and_the_same_colors(sized):
    less = dataclasses.replace(TIMELINE, bands=(Band(HEAD, ((6, GIB),)), Band(TRUNK, ((0, GIB), (6, 0)))))
    one = dataclasses.replace(sized(512, 6, timeline=TIMELINE), baseline_timeline=less)
    drawn = timelines.drawn(series.split([one]))
    ((before, now),) = (group.pictures for group in drawn.groups)
    assert (before.name, now.name) == ("h100-80gb, before", "h100-80gb, now")
    assert before.sizes == now.sizes
    assert before.layers[-1] == now.layers[-1]  # what is always there is as much, as high, and of one colour
    assert {layer.title.partition(":")[0]: layer.color for layer in before.layers} == {
        layer.title.partition(":")[0]: layer.color for layer in now.layers
    }
    page, _ = page_without_library([one])
    assert over_the_program(page).count("<svg") == 2


def test_components_keep_the_colors_of_the_bars(sized):
    holders = tuple(Holder(name, "temporary", size * GIB) for name, size in (("x", 5), (HEAD, 4), (TRUNK, 3)))
    found = series.split([sized(512, 12, timeline=TIMELINE, holders=holders)])
    bars = {key.label: key.color for key in figures.composition(found)[0].keys}
    colors = {key.label: key.color for key in timelines.drawn(found, figures.composition(found)[0].keys).keys}
    assert {name: colors[name] for name in (HEAD, TRUNK)} == {name: bars[name] for name in (HEAD, TRUNK)}
    assert len(set(colors.values())) == len(colors)


def test_a_model_that_says_nothing_of_itself(sized):
    bare = dataclasses.replace(TIMELINE, stages=(), pair_bytes=None)
    section = over_the_program(page_without_library([sized(512, 5, timeline=bare)])[0])
    assert "512 tokens: h100-80gb, 5.00 GiB alive at the peak</summary>" in section
    assert "pair tensor" not in section
    assert "<ol" not in section


def test_why_there_is_no_timeline(sized):
    page, _ = page_without_library([sized(512, timeline=Timeline(reason="memory over program order is not known: <why>"))])
    assert "<p>Memory over program order is not known: &lt;why&gt;.</p>" in over_the_program(page)
    assert "<svg" not in page


def test_names_in_timelines_are_no_markup(sized):
    evil = Timeline(1, 1, (Band(EVIL, ((0, GIB),), EVIL, EVIL),), (Stage(EVIL, 0),), 1)
    page, _ = page_without_library([sized(512, 4, timeline=evil, holders=(Holder(EVIL, "temporary", GIB, EVIL, EVIL),))])
    assert page.count("<script") == page.count("</script>") == 5
    assert "<img" not in page


def full(bucket):
    """A timeline of as many points, with names as long, as there may be."""
    scope = "diffuser/evoformer/template_embedding/single_template_embedding"
    names = [*(f"{scope}/module_{index:02}" for index in range(16)), OTHERS]
    line = "alphafold3/model/network/template_modules.py:1234"
    changes = [[(step, (index * step * 7_919_993) % (bucket * 2**20)) for step in range(index, 200, 6)] for index in range(17)]
    bands = [Band(name, tuple(points), "bf16[1,5120,5120,128]", line) for name, points in zip(names, changes, strict=True)]
    stages = tuple(Stage(f"stage {index}", index * 30) for index in range(7))
    return Timeline(200, bucket * 2**21, tuple(bands), stages, 2 * bucket**2 * 128)


def test_a_page_of_fifteen_buckets_is_small(sized):
    buckets = (128, 256, 384, 512, 768, 1024, 1280, 1536, 2048, 2560, 3072, 3584, 4096, 4608, 5120)
    assert sum(len(band.points) for band in full(512).bands) > 500
    held = tuple(Holder("diffuser/evoformer/msa_stack", "temporary", GIB, f"f32[{index}]", "a.py:1") for index in range(40))
    page = html.render([sized(bucket, 40, timeline=full(bucket), holders=held) for bucket in buckets], buckets=buckets)
    assert page.count("<svg viewBox") == 15
    assert len(page) < 3 * 10**6
