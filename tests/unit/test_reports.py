import json as standard_json

from pytest_af3mem import __version__
from pytest_af3mem.peak import Kernels
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.verdict import judge, not_judged

GIB = 2**30
SCHEMA_1 = """
    test tokens bucket target method total_bytes live_bytes argument_bytes output_bytes temp_bytes alias_bytes
    allocator_bytes process_bytes budget_bytes baseline_bytes verdict reason model software kernels holders seconds cached
""".split()
ADDED = ["line", "command"]
CONDITIONS = "[2000 tokens, bucket 2000, l4-24gb, compiled]"


def report(*measurements):
    return standard_json.loads(json.render(measurements))


def unjudged(a_measurement, budget_bytes=None, **changes):
    place = {"test": "t.py::test_large", "tokens": 2000, "bucket": 2000, "target": "l4-24gb"}
    verdict = not_judged("the worker died (SIGSEGV)", CONDITIONS, budget_bytes)
    return a_measurement(**place, peak=None, verdict=verdict, **changes)


def test_table(a_measurement, a_peak):
    cached = a_peak(cached=True, seconds=0.0)
    lines = terminal.table(
        [
            a_measurement(),
            a_measurement(test="t.py::test_small", peak=cached, verdict=judge(cached, 5 * GIB)),
            a_measurement(test="af3mem measure", verdict=None),
            unjudged(a_measurement, GIB),
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
        "  kernels     triton 47",
        "  model       alphafold3-colabfold 3.1.18, jax 0.10.2",
        "  measure it again: af3mem measure --tokens 1000 --target h100-80gb",
    ]


def test_section_names_what_fell_back_to_xla(a_measurement, a_peak):
    many = [f"attention in layer_{index}" for index in range(4)]
    fallbacks = ("gated_linear_unit in evoformer", "gated_linear_unit in diffuser", *many)
    lines = terminal.section(a_measurement(peak=a_peak(kernels=Kernels(0, fallbacks)))).splitlines()
    assert [line for line in lines if "xla" in line.lower()] == [
        "  kernels     triton 0, xla fallbacks 6",
        "  fell back to XLA: gated_linear_unit in evoformer, diffuser",
        "  fell back to XLA: attention in 4 components",
    ]


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
    assert terminal.failed([within, over, a_measurement(verdict=None), lost]) == [over, lost]


def test_json_report(a_measurement):
    found = report(a_measurement(), unjudged(a_measurement))
    assert list(found) == ["schema", "tool", "measurements"]
    assert (found["schema"], found["tool"]) == (1, f"pytest-af3mem {__version__}")
    assert [one["test"] for one in found["measurements"]] == ["t.py::test_fits", "t.py::test_large"]
    assert report() == {**found, "measurements": []}


def test_json_entry_has_exactly_the_keys_of_the_schema(a_measurement):
    for measurement in (a_measurement(), a_measurement(verdict=None), unjudged(a_measurement)):
        (entry,) = report(measurement)["measurements"]
        assert sorted(entry) == sorted(SCHEMA_1 + ADDED)


def test_json_entry(a_measurement, a_peak):
    (entry,) = report(a_measurement())["measurements"]
    assert {name: entry[name] for name in SCHEMA_1 if name.endswith("_bytes")} == {
        "total_bytes": 8 * GIB,
        "live_bytes": 15 * GIB // 2,
        "argument_bytes": 2 * GIB,
        "output_bytes": GIB // 2,
        "temp_bytes": 6 * GIB,
        "alias_bytes": GIB // 2,
        "allocator_bytes": None,
        "process_bytes": None,
        "budget_bytes": 10 * GIB,
        "baseline_bytes": None,
    }
    assert {type(value) for name, value in entry.items() if name.endswith("_bytes")} == {int, type(None)}
    assert (entry["verdict"], entry["line"]) == ("within", a_measurement().verdict.line)
    assert list(entry["model"]) == ["name", "distribution", "fingerprint", "config"]
    assert entry["software"] == a_peak().software
    assert entry["kernels"] == {"triton": 47, "xla_fallbacks": []}
    assert (entry["holders"], entry["seconds"], entry["cached"]) == ([], 61.25, False)


def test_json_of_what_was_not_judged_has_no_numbers(a_measurement):
    (entry,) = report(unjudged(a_measurement, GIB))["measurements"]
    assert (entry["verdict"], entry["reason"]) == ("not judged", "the worker died (SIGSEGV)")
    assert entry["line"] == f"GPU peak not judged: the worker died (SIGSEGV) {CONDITIONS}"
    assert [name for name, value in entry.items() if name.endswith("_bytes") and value is not None] == ["budget_bytes"]
    assert (entry["model"], entry["software"], entry["kernels"]) == (None, None, None)
