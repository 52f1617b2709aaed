import json as standard_json

from pytest_af3mem import __version__
from pytest_af3mem.records.measurement import not_passed
from pytest_af3mem.records.peak import Holder, Kernels
from pytest_af3mem.records.timeline import Band, Timeline
from pytest_af3mem.records.verdict import judge, not_judged
from pytest_af3mem.reports import json, terminal

GIB = 2**30
SCHEMA_1 = """
    accept accept_all alias_bytes allocator_bytes argument_bytes baseline baseline_bytes baseline_timeline bucket budget_bytes
    cached command constant_bytes explained high_water holders improved input kernels least_bytes line live_bytes method model
    output_bytes process_bytes program_limits reason run same_program seconds settings software target temp_bytes test timeline
    tokens total_bytes tuning_bytes unattributed verdict
""".split()
CONDITIONS = "[2000 tokens, bucket 2000, l4-24gb, compiled]"


def report(*measurements):
    return standard_json.loads(json.render(measurements))


def unjudged(a_measurement, **changes):
    place = {"test": "t.py::test_large", "tokens": 2000, "bucket": 2000, "target": "l4-24gb"}
    verdict = not_judged("the worker died (SIGSEGV)", CONDITIONS, GIB)
    return a_measurement(**place, peak=None, verdict=verdict, **changes)


def test_table(a_measurement, a_peak):
    cached = a_peak(cached=True, seconds=0.0)
    lines = terminal.table(
        [
            a_measurement(),
            a_measurement(test="t.py::test_small", peak=cached, verdict=judge(cached, 5 * GIB)),
            a_measurement(test="af3mem measure", verdict=None),
            unjudged(a_measurement),
        ]
    )
    assert lines == [
        "tokens  bucket  target        total     budget               margin  verdict     kernels      time  test",
        "  1000    1024  h100-80gb  8.00 GiB  10.00 GiB    2.00 GiB (20.0 %)  within      triton 47  61.2 s  t.py::test_fits",
        "  1000    1024  h100-80gb  8.00 GiB   5.00 GiB  -3.00 GiB (-60.0 %)  over        triton 47  cached  t.py::test_small",
        "  1000    1024  h100-80gb  8.00 GiB          -                    -  -           triton 47  61.2 s  af3mem measure",
        "  2000    2000  l4-24gb           -   1.00 GiB                    -  not judged  -               -  t.py::test_large",
    ]


def test_section(a_measurement, a_peak):
    over = a_measurement(verdict=judge(a_peak(), 5 * GIB))
    assert terminal.section(over).splitlines() == [
        "GPU peak 8.00 GiB is over the budget of 5.00 GiB by 3.00 GiB (60.0 %) [1000 tokens, bucket 1024, h100-80gb, compiled]",
        "  arguments       2.00 GiB  parameters and features",
        "  outputs       512.00 MiB",
        "  temporaries     6.00 GiB  one slab",
        "  aliased      -512.00 MiB  outputs in the place of arguments",
        "  live peak       7.50 GiB  the same without fragmentation",
        "  packing       512.00 MiB  gaps between buffers, lost to fragmentation",
        "  kernels     triton 47",
        "  model       alphafold3-colabfold 3.1.18, jax 0.10.2",
        "  measure it again: af3mem measure --tokens 1000 --target h100-80gb",
    ]


def test_section_says_what_fell_back_to_xla_and_leaves_out_what_is_not_there(a_measurement, a_peak):
    many = [f"attention in layer_{index}" for index in range(4)]
    kernels = Kernels(0, ("gated_linear_unit in evoformer", "gated_linear_unit in diffuser", *many))
    peak = a_peak(alias_bytes=0, live_bytes=None, kernels=kernels, software={})
    assert terminal.section(a_measurement(peak=peak, verdict=None, command=None)).splitlines() == [
        "  arguments       2.00 GiB  parameters and features",
        "  outputs       512.00 MiB",
        "  temporaries     6.00 GiB  one slab",
        "  kernels     triton 0, xla fallbacks 6",
        "  fell back to XLA: gated_linear_unit in evoformer, diffuser",
        "  fell back to XLA: attention in 4 components",
        "  model       alphafold3-colabfold 3.1.18, jax ?",
    ]


def test_section_says_who_holds_the_peak(a_measurement, a_peak):
    transition = "diffuser/evoformer/msa_stack/pair_transition"
    many = [Holder(f"diffuser/head_{index:02}", "parameter", 2**20, "bf16[1024,512]") for index in range(11)]
    holders = (
        Holder(transition, "temporary", 5 * GIB, "bf16[1024,1024,512]", "alphafold3/model/network/modules.py:121"),
        Holder(transition, "parameter", GIB, count=4),
        Holder("diffuser/evoformer", "carry", GIB, "bf16[1024,1024,128]", "alphafold3/model/model.py:1314"),
        Holder("fragmentation", "fragmentation", GIB - 11 * 2**20),
        *many,
    )
    lines = terminal.section(a_measurement(peak=a_peak(holders=holders))).splitlines()
    start = lines.index("  who holds the peak (87.6 % of it in named components):")
    assert lines[start + 1 : start + 5] == [
        f"      6.00 GiB  75.0 %  {transition}  temporary bf16[1024,1024,512] alphafold3/model/network/modules.py:121 and 4 more",
        "      1.00 GiB  12.5 %  diffuser/evoformer  carry bf16[1024,1024,128] alphafold3/model/model.py:1314",
        "   1013.00 MiB  12.4 %  fragmentation",
        "      1.00 MiB   0.0 %  diffuser/head_00  parameter bf16[1024,512]",
    ]
    assert lines[start + 10 : start + 12] == [
        "      1.00 MiB   0.0 %  diffuser/head_06  parameter bf16[1024,512]",
        "      4.00 MiB   0.0 %  in 4 others",
    ]


def test_section_says_why_it_is_not_known_who_holds_the_peak(a_measurement, a_peak):
    reason = "who holds the peak is not known: ValueError: the serialized executable has no form that is known here"
    assert f"  {reason}" in terminal.section(a_measurement(peak=a_peak(unattributed=reason))).splitlines()


def test_the_json_report_has_ten_holders_or_all(a_measurement, a_peak):
    peak = a_peak(total_bytes=16, holders=tuple(Holder(f"part_{index:02}", "input", 1, "i8[1]", "a.py:1") for index in range(16)))
    asked = standard_json.loads(json.render([a_measurement(peak=peak)], all_holders=True))["measurements"][0]
    (usual,) = report(a_measurement(peak=peak))["measurements"]
    assert asked["holders"] == standard_json.loads(standard_json.dumps(peak.to_json()["holders"]))
    assert usual == {**asked, "holders": asked["holders"][:10]}
    assert asked["explained"] == 1


def test_section_of_what_was_not_judged(a_measurement):
    assert terminal.section(unjudged(a_measurement, detail="Fatal error\nCurrent thread")).splitlines() == [
        f"GPU peak not judged: the worker died (SIGSEGV) {CONDITIONS}",
        "  the worker's last lines:",
        "    Fatal error",
        "    Current thread",
        "  measure it again: af3mem measure --tokens 1000 --target h100-80gb",
    ]


def test_failed_are_those_that_are_not_a_pass(a_measurement, a_peak):
    within, over, lost = a_measurement(), a_measurement(verdict=judge(a_peak(), GIB)), unjudged(a_measurement)
    assert not_passed([within, over, a_measurement(verdict=None), lost]) == [over, lost]


def test_json_report(a_measurement, a_peak):
    assert report() == {"schema": 1, "tool": f"pytest-af3mem {__version__}", "measurements": []}
    measured, unasked, lost = report(a_measurement(), a_measurement(verdict=None), unjudged(a_measurement))["measurements"]
    assert measured == {
        **standard_json.loads(standard_json.dumps(a_peak().to_json())),
        "test": "t.py::test_fits",
        "budget_bytes": 10 * GIB,
        "baseline_bytes": None,
        "verdict": "within",
        "reason": None,
        "line": a_measurement().verdict.line,
        "improved": False,
        "holders": [],
        "explained": None,
        "command": a_measurement().command,
        "input": None,
        "accept": None,
        "accept_all": None,
        "baseline": None,
        "baseline_timeline": None,
        "settings": {},
    }
    assert sorted(measured) == SCHEMA_1
    assert (measured["total_bytes"], measured["kernels"]) == (8 * GIB, {"triton": 47, "xla_fallbacks": [], "mosaic": 0})
    assert unasked == {**measured, "budget_bytes": None, "verdict": None, "line": None}
    assert lost == {
        **dict.fromkeys(measured),
        "test": "t.py::test_large",
        "tokens": 2000,
        "bucket": 2000,
        "target": "l4-24gb",
        "method": "compiled",
        "budget_bytes": GIB,
        "verdict": "not judged",
        "reason": "the worker died (SIGSEGV)",
        "line": f"GPU peak not judged: the worker died (SIGSEGV) {CONDITIONS}",
        "improved": False,
        "holders": [],
        "settings": {},
        "command": a_measurement().command,
        "seconds": 0.0,
        "cached": False,
    }


def test_what_a_gpu_decides_and_what_is_not_in_the_total_have_lines_of_their_own(a_measurement, a_peak):
    lines = terminal.body(a_measurement(peak=a_peak(least_bytes=7 * GIB, tuning_bytes=2 * GIB))).splitlines()
    assert "  at the least    7.00 GiB  as the GPU chooses between Triton and cuBLASLt" in lines
    assert "  tuning          2.00 GiB  inputs of kernels that tokamax may keep: not in the total" in lines


def test_numbers_in_a_list_stand_on_one_line(a_measurement, a_peak):
    """A timeline has hundreds of them. A text that looks like a list stays as it is."""
    timeline = Timeline(9, 5, (Band("[1,\n 2]", ((0, 7), (3, 0))),))
    text = json.render([a_measurement(peak=a_peak(timeline=timeline))])
    assert '"points": [[0, 7], [3, 0]],' in text
    (row,) = standard_json.loads(text)["measurements"]
    assert row["timeline"]["bands"][0]["component"] == "[1,\n 2]"
