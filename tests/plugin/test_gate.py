from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.records.timeline import Timeline
from pytest_af3mem.storage import typed

MODELS = Path(__file__).parents[1] / "models"

GATE = """
    import pytest

    @pytest.mark.af3_tokens(100, 500)
    @pytest.mark.af3_budget({budget!r})
    def test_fits(): ...
"""
TOO_LARGE = (
    "GPU peak 258.12 KiB is over the budget of 100.00 KiB by 158.12 KiB (158.1 %) [200 tokens, bucket 256, h100-80gb, compiled]"
)


def held(bucket):
    """Who holds the peak of the model in tests/models/analytic.py, with the lines of it that make the arrays."""
    lines = (MODELS / "analytic.py").read_text().splitlines()
    pairs, sums = (next(index for index, line in enumerate(lines, 1) if text in line) for text in ("barrier(", "return pairs"))
    return [
        {"component": component, "kind": kind, "bytes": size, "array": array, "source": source, "count": 1}
        for component, kind, size, array, source in (
            ("outer_product", "temporary", 4 * bucket**2, f"f32[{bucket},{bucket}]", f"analytic.py:{pairs}"),
            ("batch/positions", "input", 4 * bucket, f"f32[{bucket}]", ""),
            ("model", "output", 4 * bucket, f"f32[{bucket}]", f"analytic.py:{sums}"),
            ("model", "parameter", 4 * 32, "", ""),  # small enough to go without its array
        )
    ]


def test_peaks_within_the_budget_pass(project, needed_bytes):
    project.write(test_fit=GATE.format(budget="2 MiB"))
    result = project.run("--junitxml=junit.xml", "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "test_fit.py::test_fits[[]100[]] PASSED*",
            "test_fit.py::test_fits[[]500[]] PASSED*",
            "*= GPU memory of AlphaFold 3 =*",
            "tokens  bucket  target *total *budget *margin  verdict  kernels *time  test",
            "   100     128  h100-80gb  65.12 KiB  2.00 MiB     1.94 MiB (96.8 %)  within   triton 0 *::test_fits?100?",
            "   500     512  h100-80gb   1.00 MiB  2.00 MiB  1019.88 KiB (49.8 %)  within   triton 0 *::test_fits?500?",
            "report: report.json",
        ]
    )
    assert project.junit() == {"test_fits[100]": None, "test_fits[500]": None}
    small, large = project.measurements()
    assert (small["test"], large["test"]) == ("test_fit.py::test_fits[100]", "test_fit.py::test_fits[500]")
    assert large["total_bytes"] == large["live_bytes"] == needed_bytes(512)


def test_a_measurement_in_the_json_report(cold_project, needed_bytes):
    cold_project.write(test_fit=GATE.format(budget="2 MiB"))
    cold_project.run()
    _, row = cold_project.measurements()
    model, software = row.pop("model"), row.pop("software")
    assert row.pop("seconds") >= 0
    timeline, before = typed.read(Timeline, row.pop("timeline")), row.pop("baseline_timeline")
    assert (max(timeline.totals), before) == (needed_bytes(512), None)
    assert timeline.bands[0].component == "outer_product"
    limits = row.pop("program_limits")
    assert (limits["large_arrays"], limits["launch"], limits["rematerialization"]["reached_bytes"]) == ([], None, None)
    assert row == {
        "test": "test_fit.py::test_fits[500]",
        "tokens": 500,
        "bucket": 512,
        "target": "h100-80gb",
        "method": "compiled",
        "argument_bytes": 4 * (32 + 512),
        "output_bytes": 4 * 512,
        "temp_bytes": 4 * 512**2,
        "alias_bytes": 0,
        "constant_bytes": 0,
        "total_bytes": needed_bytes(512),
        "live_bytes": needed_bytes(512),
        "allocator_bytes": None,
        "process_bytes": None,
        "run": None,
        "budget_bytes": 2 * 2**20,
        "baseline_bytes": None,
        "verdict": "within",
        "reason": None,
        "line": "GPU peak 1.00 MiB is within the budget of 2.00 MiB with 1019.88 KiB (49.8 %) to spare "
        "[500 tokens, bucket 512, h100-80gb, compiled]",
        "command": f"af3mem measure --tokens 500 --target h100-80gb --model analytic:Analytic --path {cold_project.models}",
        "improved": False,
        "input": None,
        "accept": None,
        "baseline": None,
        "kernels": {"triton": 0, "xla_fallbacks": [], "mosaic": 0},
        "holders": held(512),
        "explained": round(4 * (512 + 512**2) / needed_bytes(512), 4),
        "high_water": {"outer_product": 4 * 512**2, "model": 4},
        "unattributed": "",
        "settings": {},
        "accept_all": None,
        "cached": False,
        "same_program": False,
        "shipped": False,
        "least_bytes": None,
        "tuning_bytes": None,
    }
    assert model.pop("fingerprint").startswith("sha256:")
    assert model == {"name": "analytic", "distribution": "analytic 1.0", "config": {"width": 32}}
    assert {"python", "jax", "jaxlib", "cuda_plugin", "xla_flags"} <= set(software)


def test_a_peak_over_the_budget_fails_in_one_line(project):
    project.write(test_fit=GATE.format(budget="1000 KiB"))
    result = project.run("--junitxml=junit.xml")
    line = (
        "GPU peak 1.00 MiB is over the budget of 1000.00 KiB by 28.12 KiB (2.8 %) [500 tokens, bucket 512, h100-80gb, compiled]"
    )
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*_ test_fits[[]500[]] _*",
            line.replace("[", "[[]"),
            "*- GPU memory of AlphaFold 3 -*",
            "  arguments *2.12 KiB  parameters and features",
            "  outputs *2.00 KiB",
            "  temporaries *1.00 MiB  one slab",
            "  live peak *1.00 MiB  the same without fragmentation",
            "  kernels *triton 0",
            "  model *analytic 1.0, jax *",
            "  who holds the peak (99.8 % of it in named components):",
            "   *1.00 MiB  99.6 %  outer_product  temporary f32[[]512,512[]] analytic.py:*",
            "   *2.12 KiB   0.2 %  model  output f32[[]512[]] analytic.py:* and 1 more",
            "   *2.00 KiB   0.2 %  batch/positions  input f32[[]512[]]",
            f"  measure it again: {project.measurements()[1]['command']}",
        ]
    )
    assert "test_fit.py:" not in result.stdout.str().partition("FAILURES")[2].partition("GPU memory of")[0]
    assert project.junit() == {"test_fits[100]": None, "test_fits[500]": f"Failed: {line}"}
    assert [(row["verdict"], row["budget_bytes"]) for row in project.measurements()] == [
        ("within", 1000 * 2**10),
        ("over", 1000 * 2**10),
    ]
    assert project.measurements()[1]["line"] == line


def test_at_the_budget_passes_and_one_byte_over_fails(project):
    project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=500)")
    project.run()
    (row,) = project.measurements()
    assert (row["verdict"], row["budget_bytes"], row["line"]) == (None, None, None)
    project.write(
        test_fit=f"""
        import pytest

        @pytest.mark.af3_budget({row["total_bytes"]})
        def test_at(gpu_peak): assert gpu_peak(tokens=500) <= {row["total_bytes"]}

        @pytest.mark.af3_budget({row["total_bytes"] - 1})
        def test_one_byte_over(gpu_peak): gpu_peak(tokens=500)
        """
    )
    project.run("--junitxml=junit.xml").assert_outcomes(passed=1, failed=1)
    assert project.junit()["test_at"] is None
    assert [row["verdict"] for row in project.measurements()] == ["within", "over"]


def test_percent_is_of_the_memory_of_the_target(project):
    project.write(test_fit=GATE.format(budget="0.0001 %"))
    project.run("--junitxml=junit.xml").assert_outcomes(passed=1, failed=1)
    assert [row["budget_bytes"] for row in project.measurements()] == [gpus.find("h100-80gb").memory_bytes // 1_000_000] * 2
    assert project.junit() == {
        "test_fits[100]": None,
        "test_fits[500]": "Failed: GPU peak 1.00 MiB is over the budget of 82.95 KiB by 945.17 KiB (1139.4 %) "
        "[500 tokens, bucket 512, h100-80gb, compiled]",
    }


def test_budgets_for_several_targets(project):
    project.gate("af3_tokens(100)", 'af3_budget("64 KiB", target="a100-40gb")', 'af3_budget("66 KiB", target="l4-24gb")')
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit() == {
        "test_fits[100]": "Failed: GPU peak 65.12 KiB is over the budget of 64.00 KiB by 1.12 KiB (1.8 %) "
        "[100 tokens, bucket 128, a100-40gb, compiled]"
    }
    assert {row["target"]: row["verdict"] for row in project.measurements()} == {"a100-40gb": "over", "l4-24gb": "within"}


def test_settings_of_the_model(project, needed_bytes):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_model(width=1000)
        class TestWide:
            @pytest.mark.af3_tokens(100)
            def test_wide(self): ...

            @pytest.mark.af3_tokens(100)
            @pytest.mark.af3_model(width=2000)
            def test_wider(self): ...
        """
    )
    assert project.run().ret == 0
    assert [row["total_bytes"] for row in project.measurements()] == [needed_bytes(128, 1000), needed_bytes(128, 2000)]
    assert [row["model"]["config"] for row in project.measurements()] == [{"width": 1000}, {"width": 2000}]


def test_markers_on_classes_and_beside_other_parameters(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_tokens(100, 200)
        @pytest.mark.af3_budget("100 KiB")
        class TestFits:
            def test_alone(self): ...

            @pytest.mark.parametrize("factor", [1, 2])
            def test_with(self, gpu_peak, af3_tokens, factor):
                assert gpu_peak() == gpu_peak(tokens=af3_tokens)
                gpu_peak(tokens=af3_tokens * factor)

            @pytest.mark.af3_tokens(90)
            @pytest.mark.af3_budget("1 GiB")
            def test_nearer_markers_win(self, af3_tokens): assert af3_tokens == 90
        """
    )
    project.run("--junitxml=junit.xml")
    assert {name for name, message in project.junit().items() if message is None} == {
        "test_alone[100]",
        "test_with[100-1]",
        "test_nearer_markers_win[90]",
    }
    assert {name: message.splitlines() for name, message in project.junit().items() if message} == {
        "test_alone[200]": [f"Failed: {TOO_LARGE}"],
        "test_with[100-2]": [f"Failed: {TOO_LARGE}"],
        "test_with[200-1]": [f"Failed: {TOO_LARGE}"],
        "test_with[200-2]": [
            f"Failed: {TOO_LARGE}",
            "GPU peak 1.00 MiB is over the budget of 100.00 KiB by 928.12 KiB (928.1 %) "
            "[400 tokens, bucket 512, h100-80gb, compiled]",
        ],
    }


def test_the_folder_of_the_report_is_made(project):
    project.write(test_fit=GATE.format(budget="2 MiB"))
    project.run("--af3-json=new/reports/memory.json").stdout.fnmatch_lines(["report: new/reports/memory.json"])
    assert len(project.measurements("new/reports/memory.json")) == 2
