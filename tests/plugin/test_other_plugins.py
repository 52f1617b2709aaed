"""The gate beside other plugins of pytest, where they are installed: subtests, timeout, randomly, html; and all at once."""

import importlib.util
import time
from pathlib import Path

import pytest

OVER = (
    "GPU peak 258.12 KiB is over the budget of 100.00 KiB by 158.12 KiB (158.1 %) [200 tokens, bucket 256, h100-80gb, compiled]"
)

needs_subtests = pytest.mark.skipif(
    pytest.version_tuple < (9,) and not importlib.util.find_spec("pytest_subtests"), reason="needs subtests, as pytest 9 has them"
)


def needs(*modules):
    missing = [name for name in modules if not importlib.util.find_spec(name)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def gate(project, *options, model="analytic:Analytic"):
    """Runs pytest in a process of its own, with every plugin that is installed."""
    return project.pytester.runpytest_subprocess(*project.options("--junitxml=junit.xml", *options, model=model))


# Subtests


@needs_subtests
def test_what_subtests_measure_is_judged_with_their_test(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_budget("100 KiB")
        def test_fits(gpu_peak, subtests):
            for tokens in (100, 200):
                with subtests.test(tokens=tokens):
                    gpu_peak(tokens=tokens)
        """
    )
    result = gate(project)
    assert result.ret == 1
    result.stdout.fnmatch_lines([OVER.replace("[", "[[]", 1)])
    assert [(row["tokens"], row["verdict"]) for row in project.measurements()] == [(100, "within"), (200, "over")]


@needs_subtests
def test_a_failed_subtest_explains_itself_and_its_test_enters_no_baseline(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_baseline
        @pytest.mark.parametrize("limit", ["1 MiB", "100 KiB"])
        def test_fits(gpu_peak, subtests, limit):
            with subtests.test("fits"):
                assert gpu_peak(tokens=200) <= limit
        """
    )
    result = gate(project, "--af3-baseline=memory.json", "--af3-update-baseline")
    result.stdout.fnmatch_lines([f"E *assert {OVER}".replace("[", "[[]", 1)])
    entries = project.measurements("memory.json")
    assert [entry["test"] for entry in entries] == ["test_fit.py::test_fits[1 MiB]"]


# Timeouts

SLOW = """
    import pytest

    pytestmark = pytest.mark.af3_tokens(100)

    def test_first(): ...

    @pytest.mark.timeout(5, method="{method}")
    @pytest.mark.af3_budget("1 MiB", target="h100-80gb")
    @pytest.mark.af3_budget("1 MiB", target="l4-24gb")
    @pytest.mark.af3_model(does="hang")
    def test_slow(): ...

    @pytest.mark.af3_tokens(200)
    @pytest.mark.af3_budget("1 MiB")
    def test_next(): ...
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def left_workers(project, seconds=10):
    """Workers that traced a model and did not end within so many seconds."""
    workers = set(map(int, (project.path / "traced").read_text().split()))
    end = time.monotonic() + seconds
    while (left := [*filter(is_running, workers)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


@needs("pytest_timeout")
def test_a_test_that_times_out_is_not_judged_and_waits_for_nothing_more(cold_project):
    cold_project.write(test_fit=SLOW.format(method="signal"))
    gate(cold_project, "-pno:randomly", "--af3-workers=3", model="misbehaving:Misbehaving").assert_outcomes(failed=1, passed=2)
    assert cold_project.junit()["test_slow[100]"] == "Failed: Timeout (>5.0s) from pytest-timeout."
    _, slow, following = cold_project.measurements()
    assert (slow["verdict"], following["verdict"]) == ("not judged", "within")
    reason = "the wait for it was broken off: Failed: Timeout (>5.0s) from pytest-timeout."
    assert slow["line"].startswith(f"GPU peak not judged: {reason} [100 tokens")
    assert left_workers(cold_project) == []


@needs("pytest_timeout")
def test_a_run_that_a_time_out_ends_leaves_no_worker(cold_project):
    """The method `thread` ends pytest's process at once, which no plugin can report."""
    cold_project.write(test_fit=SLOW.format(method="thread"))
    result = gate(cold_project, "-pno:randomly", "--af3-workers=3", model="misbehaving:Misbehaving")
    assert result.ret == 1
    assert "passed" not in result.stdout.str()
    assert left_workers(cold_project) == []


# Random order

SEVERAL = """
    import pytest

    pytestmark = [pytest.mark.af3_budget("2 MiB"), pytest.mark.af3_baseline]

    @pytest.mark.af3_tokens(90, 100, 129, 200, 257)
    def test_marked(): ...

    @pytest.mark.parametrize("tokens", [100, 200, 300])
    def test_asks(gpu_peak, tokens): gpu_peak(tokens=tokens)
"""


@needs("pytest_randomly")
def test_the_baseline_does_not_depend_on_the_order(project):
    project.write(test_fit=SEVERAL)
    orders, files = [], []
    for seed in (1, 2):
        baseline = project.path / f"memory-{seed}.json"
        gate(project, f"--randomly-seed={seed}", f"--af3-baseline={baseline}", "--af3-update-baseline").assert_outcomes(passed=8)
        orders.append([row["test"] for row in project.measurements()])
        files.append(baseline.read_text())
    assert orders[0] != orders[1]
    assert files[0] == files[1]
    result = gate(project, "--randomly-seed=3", f"--af3-baseline={baseline}")
    result.assert_outcomes(passed=8)
    assert "no test" not in result.stdout.str()


# A page by pytest-html


@needs("pytest_html")
def test_the_page_of_pytest_html_has_the_section_of_a_failure(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_tokens(100, 200)
        @pytest.mark.af3_budget("100 KiB")
        def test_fits(): ...
        """
    )
    gate(project, "--html=page.html", "--self-contained-html", "--af3-html=memory.html").assert_outcomes(passed=1, failed=1)
    page = (project.path / "page.html").read_text()
    for text in (OVER, "GPU memory of AlphaFold 3", "who holds the peak", "measure it again: af3mem measure --tokens 200"):
        assert text in page
    assert (project.path / "memory.html").exists()


@needs("pytest_html", "pytest_randomly", "pytest_rerunfailures", "pytest_timeout", "xdist")
@needs_subtests
def test_all_of_them_at_once(project):
    project.write(
        test_fit=SEVERAL
        + """
    @pytest.mark.af3_budget("1 KiB")
    def test_over(gpu_peak, subtests):
        for tokens in (100, 200):
            with subtests.test(tokens=tokens):
                gpu_peak(tokens=tokens)
    """
    )
    together = ("-n2", "--reruns=1", "--timeout=120", "--randomly-seed=1", "--html=page.html", "--self-contained-html")
    result = gate(project, *together, "--af3-baseline=memory.json", "--af3-update-baseline")
    assert result.ret == 1
    assert result.parseoutcomes() | {"failed": 1, "passed": 8, "rerun": 1} == result.parseoutcomes()
    rows = project.measurements()
    assert sorted((row["tokens"], row["verdict"]) for row in rows if "test_over" in row["test"]) == [(100, "over"), (200, "over")]
    assert len(rows) == 10
    entries = project.measurements("memory.json")
    assert len(entries) == 8
    assert "over the budget of 1.00 KiB" in (project.path / "page.html").read_text()
