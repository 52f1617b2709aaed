"""A verdict on a peak is an outcome like any other: for pytest's options, for its plugins, and in JUnit's XML."""

import pytest

CONDITIONS = "[100 tokens, bucket 128, h100-80gb, compiled]"
PEAK = 66_688
OVER = f"GPU peak 65.12 KiB is over the baseline of 65.12 KiB by 1 B (0.0 %) {CONDITIONS}"

TESTS = """
    import pytest

    pytestmark = [pytest.mark.af3_baseline, pytest.mark.af3_tokens(100)]

    @pytest.mark.parametrize("batch", [1, 2])
    def test_first(batch): ...

    class TestClass:
        def test_second(self): ...

    def test_third(): ...
"""


@pytest.fixture
def run(project, before):
    """Runs pytest with a baseline that is one byte less than what is measured."""

    def run(tests, *options, apart=False):
        project.write(test_fit=tests)
        stated = ("--af3-baseline=memory.json", "--junitxml=junit.xml")
        file = project.path / "memory.json"
        if not file.exists():
            project.accept(before, "--runxfail")
            file.write_text(file.read_text().replace(f'"total_bytes": {PEAK}', f'"total_bytes": {PEAK - 1}'))
        return (project.run_apart if apart else project.run)(*stated, *options)

    return run


def test_first_failure_and_most_failures_and_last_failed(run, project):
    run(TESTS).assert_outcomes(failed=4)
    assert project.junit() == dict.fromkeys(
        ["test_first[100-1]", "test_first[100-2]", "test_second[100]", "test_third[100]"], f"Failed: {OVER}"
    )
    run(TESTS, "-x").assert_outcomes(failed=1)
    run(TESTS, "--maxfail=3").assert_outcomes(failed=3)
    mended = TESTS.replace("def test_third", "@pytest.mark.af3_baseline(tolerance='1 B')\n    def test_third")
    run(mended, "--cache-clear").assert_outcomes(failed=3, passed=1)
    run(mended, "--lf").assert_outcomes(failed=3)


def test_xdist(run, project):
    pytest.importorskip("xdist")
    run(TESTS, "-n2", apart=True).assert_outcomes(failed=4)
    assert set(project.junit().values()) == {f"Failed: {OVER}"}
    assert {row["verdict"] for row in project.measurements()} == {"over"}
    assert dict(project.junit_properties()["test_third[100]"])["af3_verdict"] == "over"


def test_reruns(run, project):
    pytest.importorskip("pytest_rerunfailures")
    result = run(TESTS, "--reruns=2", "-k", "third", apart=True)
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*1 failed*2 rerun*"])
    assert len(project.junit_properties()["test_third[100]"]) == 5


def test_a_test_that_passes_when_run_again_is_entered(run, project):
    pytest.importorskip("pytest_rerunfailures")
    flaky = """
    import pathlib
    import pytest

    @pytest.mark.af3_baseline
    def test_flaky(gpu_peak):
        gpu_peak(tokens=100)
        tried = pathlib.Path("tried")
        again = tried.exists()
        tried.touch()
        assert again
    """
    project.write(test_fit=flaky)
    result = project.run_apart("--af3-baseline=memory.json", "--af3-update-baseline", "--reruns=1")
    result.assert_outcomes(passed=1)
    assert "baseline: memory.json has 1 entry: 1 new" in result.outlines
    assert "did not pass" not in result.stdout.str()


def test_expected_failures(run, project):
    tests = """
    import pytest

    pytestmark = [pytest.mark.af3_baseline, pytest.mark.af3_tokens(100)]

    @pytest.mark.xfail(strict=True, reason="grew, and is being looked into")
    def test_over(): ...

    @pytest.mark.xfail(strict=True, reason="no longer")
    @pytest.mark.af3_baseline(tolerance="1 %")
    def test_within(): ...
    """
    run(tests).assert_outcomes(xfailed=1, failed=1)
    assert [row["verdict"] for row in project.measurements()] == ["over", "within"]


def test_a_test_that_fails_by_itself_is_not_failed_twice(run, project):
    tests = """
    import pytest

    @pytest.mark.af3_baseline
    def test_fits(gpu_peak):
        gpu_peak(tokens=100)
        assert gpu_peak(tokens=100) > {}
    """
    run(tests.format("5"))
    result = run(tests.format("'1 GiB'"))
    result.assert_outcomes(failed=1)
    assert "assert" in project.junit()["test_fits"]
    assert "baseline" not in project.junit()["test_fits"]
    assert [row["verdict"] for row in project.measurements()] == ["over"]


def test_bytes_and_verdict_are_properties_in_junit_also_of_tests_that_pass(run, project):
    tests = """
    import pytest

    pytestmark = pytest.mark.af3_tokens(100)

    @pytest.mark.af3_baseline(tolerance="1 %")
    @pytest.mark.af3_budget("1 MiB")
    def test_both(request):
        request.node.user_properties.append(("mine", "too"))

    def test_neither(): ...

    @pytest.mark.af3_budget("1 KiB")
    def test_over(): ...

    @pytest.mark.af3_budget("1 MiB", target="a100-40gb")
    @pytest.mark.af3_budget("1 MiB", target="l4-24gb")
    def test_two_targets(): ...

    def test_other(gpu_peak, af3_tokens): ...
    """
    run(tests).assert_outcomes(passed=4, failed=1)
    found = project.junit_properties()
    conditions, peak = ("af3_conditions", CONDITIONS[1:-1]), [("af3_total_bytes", str(PEAK)), ("af3_live_bytes", str(PEAK))]
    assert found["test_both[100]"] == [
        ("mine", "too"),
        conditions,
        *peak,
        ("af3_budget_bytes", str(2**20)),
        ("af3_baseline_bytes", str(PEAK - 1)),
        ("af3_verdict", "within"),
    ]
    assert found["test_neither[100]"] == found["test_other[100]"] == [conditions, *peak]
    assert found["test_over[100]"][3:] == [("af3_budget_bytes", "1024"), ("af3_verdict", "over")]
    two = found["test_two_targets[100]"]
    assert {value for name, value in two if name == "af3_conditions"} == {
        "100 tokens, bucket 128, a100-40gb, compiled",
        "100 tokens, bucket 128, l4-24gb, compiled",
    }
    assert [value for name, value in two if name == "af3_verdict"] == ["within", "within"]


def test_what_was_not_judged_has_no_bytes_in_junit(project):
    project.gate('af3_budget("1 MiB")', "af3_model(width=-1)", "af3_tokens(100)")
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit_properties()["test_fits[100]"] == [
        ("af3_conditions", CONDITIONS[1:-1]),
        ("af3_budget_bytes", str(2**20)),
        ("af3_verdict", "not judged"),
    ]
