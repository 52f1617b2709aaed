"""Markers that contradict each other, or that nobody knows, end the collection: none of them is dropped in silence."""

import dataclasses

import pytest

from pytest_af3mem.gpus import local

CONTRADICTIONS = {
    "two sizes": """
        @pytest.mark.af3_tokens(500)
        @pytest.mark.af3_tokens(100)
        def test_fits(): ...
    """,
    "two budgets": """
        @pytest.mark.af3_budget("1 KiB")
        @pytest.mark.af3_budget("1 GiB")
        @pytest.mark.af3_tokens(100)
        def test_fits(): ...
    """,
    "two budgets for one target by two of its names": """
        @pytest.mark.af3_budget("1 KiB", target="l4-24gb")
        @pytest.mark.af3_budget("1 GiB", target="L4-24GB")
        @pytest.mark.af3_tokens(100)
        def test_fits(): ...
    """,
    "two tolerances": """
        @pytest.mark.af3_baseline(tolerance=0)
        @pytest.mark.af3_baseline(tolerance="1 GiB")
        @pytest.mark.af3_tokens(100)
        def test_fits(): ...
    """,
    "one setting twice": """
        @pytest.mark.af3_model(width=1)
        @pytest.mark.af3_model(width=2)
        @pytest.mark.af3_tokens(100)
        def test_fits(): ...
    """,
    "a module's": """
        pytestmark = [pytest.mark.af3_tokens(100), pytest.mark.af3_tokens(500)]

        def test_fits(): ...
    """,
}


def _module(tests):
    return "import pytest\n" + "\n".join(line.removeprefix(" " * 8) for line in tests.splitlines())


@pytest.mark.parametrize("tests", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
@pytest.mark.parametrize("measures", [True, False])
def test_a_marker_given_twice_at_one_place_is_refused(project, tests, measures):
    project.write(test_fit=_module(tests))
    result = project.run() if measures else project.pytester.runpytest_inprocess("-p", "no:hypothesispytest")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["test_fit.py::test_fits: af3_*) and af3_*) stand at one place and contradict each other: *"])


def test_the_nearest_of_several_places_wins(project):
    project.write(
        test_fit="""
        import pytest

        pytestmark = [pytest.mark.af3_tokens(500), pytest.mark.af3_budget("1 KiB")]

        @pytest.mark.af3_tokens(200)
        class Base: ...

        @pytest.mark.af3_budget("2 KiB")
        class TestFits(Base):
            def test_of_class(self): ...

            @pytest.mark.af3_tokens(100)
            @pytest.mark.af3_budget("3 KiB", target="l4-24gb")
            @pytest.mark.af3_budget("4 KiB")
            def test_of_its_own(self): ...

        @pytest.mark.af3_tokens(300)
        class TestNearer(Base):
            def test_of_class(self): ...

        @pytest.mark.parametrize("one", [pytest.param(1, marks=pytest.mark.af3_budget("5 KiB")), 2])
        @pytest.mark.af3_budget("6 KiB")
        def test_of_parameter(one): ...
        """
    )
    project.run()
    found = [(row["test"].partition("::")[2], row["tokens"], row["budget_bytes"] // 1024) for row in project.measurements()]
    assert sorted(found) == [
        ("TestFits::test_of_class[200]", 200, 2),
        ("TestFits::test_of_its_own[100]", 100, 3),
        ("TestFits::test_of_its_own[100]", 100, 4),
        ("TestNearer::test_of_class[300]", 300, 1),
        ("test_of_parameter[500-1]", 500, 5),
        ("test_of_parameter[500-2]", 500, 6),
    ]


@pytest.mark.parametrize("measures", [True, False])
@pytest.mark.parametrize("test", ["def test_fits(): ...", "def test_fits(gpu_peak): ..."])
def test_a_misspelled_marker_is_refused_and_the_near_one_named(project, measures, test):
    project.write(test_fit=f"import pytest\n@pytest.mark.af3_bugdet('1 GiB')\n{test}")
    options = ("-p", "no:hypothesispytest", "-W", "default")  # pytest's own warning would be an error here
    result = project.run(*options) if measures else project.pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["test_fit.py::test_fits: there is no marker af3_bugdet; did you mean budget? (after af3_: *)"])


def test_a_misspelled_marker_on_a_method_of_a_test_case_is_refused(pytester):
    pytester.makepyfile(
        """
        import pytest, unittest

        class TestFits(unittest.TestCase):
            @pytest.mark.af3_bugdet("1 GiB")
            def test_fits(self): ...
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-W", "default")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*there is no marker af3_bugdet; did you mean budget?*"])


def test_a_marker_that_a_project_registers_is_its_own(pytester):
    pytester.makeini("[pytest]\nmarkers = af3_slow: takes long")
    pytester.makepyfile("import pytest\n@pytest.mark.af3_slow\ndef test_any(): ...")
    pytester.runpytest_inprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_auto_decides_the_method_of_each_target(a_session_of_auto, a_request):
    first = a_session_of_auto.retarget(a_request(method="run"), "h100-80gb")
    assert (first.target, first.method) == ("h100-80gb", "run")
    other = a_session_of_auto.retarget(first, "a100-40gb")
    assert (other.target, other.method) == ("a100-40gb", "compiled")
    assert a_session_of_auto.retarget(first, "a100-40gb", "run").method == "run"


@pytest.fixture
def a_session_of_auto(monkeypatch, tmp_path):
    """A session on a machine with an H100 whose method is `auto`."""
    from pytest_af3mem.session.session import Session
    from pytest_af3mem.session.settings import Settings, resolve_auto

    monkeypatch.setattr(local, "targets", lambda environment: ["h100-80gb"])
    session = Session(resolve_auto(Settings.read({"cache_dir": str(tmp_path)})))
    yield session
    session.close()


def test_budgets_for_another_target_than_the_visible_one_are_compiled_for(project, monkeypatch):
    """Where an H100 is visible, a test with a budget for it and one for another card runs on the first and compiles for both."""
    from pytest_af3mem.session.answers import Answers

    monkeypatch.setattr(local, "targets", lambda environment: ["h100-80gb"])
    submit = Answers.submit

    def measured(self, request):  # a run is answered by a compile, for there is no GPU
        return submit(self, dataclasses.replace(request, method="compiled"))

    monkeypatch.setattr(Answers, "submit", measured)
    project.write(
        test_fit="""
        import pytest

        pytestmark = [pytest.mark.af3_budget("1 MiB", target="h100-80gb"), pytest.mark.af3_budget("1 MiB", target="a100-40gb")]

        @pytest.mark.af3_tokens(100)
        def test_marked(): ...

        def test_asks(gpu_peak): gpu_peak(tokens=100)
        """
    )
    project.run("--af3-method=auto").assert_outcomes(passed=2)
    found = [(row["test"].partition("::")[2], row["target"], row["method"]) for row in project.measurements()]
    assert sorted(found) == [
        (test, target, method)
        for test in ("test_asks", "test_marked[100]")
        for target, method in (("a100-40gb", "compiled"), ("h100-80gb", "run"))
    ]
