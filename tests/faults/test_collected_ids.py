"""The names of tests with `af3_tokens(up_to=...)` are the same wherever they are listed or run."""

import pytest

GATE = "import pytest\n@pytest.mark.af3_tokens(up_to=300)\ndef test_fits(): ..."


@pytest.fixture
def ids(project):
    """The collected tests of a run with these options."""

    def run(*options):
        project.write(test_fit=GATE)
        result = project.pytester.runpytest_inprocess("-p", "no:hypothesispytest", "--collect-only", "-q", *options)
        assert result.ret == 0
        return [line.partition("::")[2] for line in result.outlines if "::" in line]

    return run


def test_listing_shows_what_a_run_measures(ids, project):
    stated = (f"--af3-path={project.models}", "--af3-model=analytic:Analytic")
    expected = ["test_fits[128]", "test_fits[256]", "test_fits[300]"]
    assert ids(*stated) == expected
    assert ids("--af3-gpu", f"--af3-cache-dir={project.cache}", *stated) == expected
    project.run().assert_outcomes(passed=3)
    assert [row["test"].partition("::")[2] for row in project.measurements()] == expected


def test_stated_buckets_need_no_model(ids):
    stated = ("--af3-buckets=100,200,400", "--af3-python=nowhere", "--af3-model=no_such_module:Model")
    assert ids(*stated) == ["test_fits[100]", "test_fits[200]", "test_fits[300]"]


def test_skipped_tests_have_the_names_of_those_that_run(project):
    project.write(test_fit=GATE)
    project.pytester.makeini(f"[pytest]\naf3_model = analytic:Analytic\naf3_path = {project.models}")
    result = project.pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-v")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["test_fit.py::test_fits[[]128[]] SKIPPED*"])


def test_without_the_model_they_are_those_of_the_newest_alphafold3_and_that_is_told(project):
    project.write(test_fit=GATE)
    result = project.pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-W", "default", "--af3-model=no_such_module:M")
    result.assert_outcomes(skipped=3, warnings=1)
    result.stdout.fnmatch_lines(["*the buckets of af3_tokens(up_to=...) are those of the newest AlphaFold 3, for the model *"])


def test_options_that_cannot_be_are_for_a_run_to_refuse(project):
    project.write(test_fit=GATE)
    result = project.pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-W", "ignore", "--af3-python=nowhere")
    result.assert_outcomes(skipped=3)


def test_listing_leaves_nothing_behind(pytester, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "home"))
    pytester.makepyfile(GATE)
    assert pytester.runpytest_subprocess("--collect-only").ret == 0
    assert not (pytester.path / "home").exists()
