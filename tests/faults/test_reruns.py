"""A test that is run again counts as its last attempt did."""

import pytest

pytest.importorskip("pytest_rerunfailures")

FLAKY = """
    import pathlib
    import pytest

    @pytest.mark.af3_budget("100 KiB")
    def test_flaky(gpu_peak):
        tried = pathlib.Path("tried")
        tokens = 100 if tried.exists() else 200
        tried.touch()
        gpu_peak(tokens=tokens)
"""


def test_after_a_rerun_that_passed_nothing_is_over(project, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    project.write(test_fit=FLAKY)
    result = project.run_apart("--reruns=1", "--junitxml=junit.xml")
    assert result.ret == 0
    assert [(row["tokens"], row["verdict"]) for row in project.measurements()] == [(100, "within")]
    assert "over" not in (project.path / "summary.md").read_text()
    assert [value for name, value in project.junit_properties()["test_flaky"] if name == "af3_verdict"] == ["within"]


def test_a_test_that_fails_each_time_is_told_once(project):
    project.write(test_fit=FLAKY.replace("100 if", "200 if"))
    result = project.run_apart("--reruns=2")
    result.assert_outcomes(failed=1)
    assert [(row["tokens"], row["verdict"]) for row in project.measurements()] == [(200, "over")]
    assert "(3 inputs)" not in result.stdout.str()


def test_a_measurement_in_a_failed_teardown_is_of_its_attempt(project):
    project.write(
        test_fit="""
        import pathlib
        import pytest

        @pytest.fixture
        def late(gpu_peak):
            yield
            tried = pathlib.Path("tried")
            tokens = 100 if tried.exists() else 200
            tried.touch()
            gpu_peak(tokens=tokens)

        @pytest.mark.af3_budget("100 KiB")
        def test_flaky(late, gpu_peak): gpu_peak(tokens=90)
        """
    )
    assert project.run_apart("--reruns=1").ret == 0
    assert [(row["tokens"], row["verdict"]) for row in project.measurements()] == [(90, "within"), (100, "within")]
