import json

import pytest

pytest.importorskip("xdist")

GATE = """
    import pytest

    @pytest.mark.af3_tokens(100, 200, 500)
    @pytest.mark.af3_budget("{budget}")
    def test_fits(): ...

    @pytest.mark.af3_tokens(100)
    @pytest.mark.af3_model(does="exit")
    def test_bad(): ...
"""


@pytest.fixture
def run(project):
    def run(budget, *options):
        project.write(test_fit=GATE.format(budget=budget))
        return project.run_apart("-n2", *options, model="misbehaving:Misbehaving")

    return run


def test_rows_and_failures_arrive_at_the_controller(run, project):
    result = run("300 KiB", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=2)
    lines = {
        "test_fits[500]": "GPU peak 1.00 MiB is over the budget of 300.00 KiB by 728.12 KiB (242.7 %) "
        "[500 tokens, bucket 512, h100-80gb, compiled]",
        "test_bad[100]": "GPU peak not judged: the worker died (exit status 7) [100 tokens, bucket 128, h100-80gb, compiled]",
    }
    assert {name: message for name, message in project.junit().items() if message} == {
        name: f"Failed: {line}" for name, line in lines.items()
    }
    verdicts = {row["test"].partition("::")[2]: row["verdict"] for row in project.measurements()}
    assert verdicts == {
        "test_fits[100]": "within",
        "test_fits[200]": "within",
        "test_fits[500]": "over",
        "test_bad[100]": "not judged",
    }
    assert result.stdout.str().count("= GPU memory of AlphaFold 3 =") == 1
    result.stdout.fnmatch_lines(["   500     512  h100-80gb * over * test_fit.py::test_fits[[]500[]]", "report: report.json"])


def test_notes_of_the_workers_reach_the_summary(cold_project):
    cold_project.write(test_fit="def test_any(gpu_peak): assert gpu_peak(tokens=100) == gpu_peak(tokens=90)")
    assert cold_project.run_apart("-n2").ret == 0
    (entry,) = (cold_project.cache / "peaks").glob("*.json")
    entry.write_text("")
    result = cold_project.run_apart("-n2")
    assert result.ret == 0
    assert [line.partition(" is damaged")[0] for line in result.outlines if "is damaged" in line] == [f"cache entry {entry}"]


def test_the_report_has_the_same_rows_with_and_without(run, project):
    run("2 MiB", "-k", "fits").assert_outcomes(passed=3)
    distributed = project.measurements()
    run("2 MiB", "-k", "fits", "-n0").assert_outcomes(passed=3)
    timeless = {"seconds": 0.0, "cached": True}
    assert sorted(map(json.dumps, (row | timeless for row in distributed))) == sorted(
        map(json.dumps, (row | timeless for row in project.measurements()))
    )


def test_bad_input_is_one_line(run):
    result = run("2 MiB", "--af3-target=h100")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line == "ERROR: unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)"
