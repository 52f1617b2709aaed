"""How the gate goes together with what pytest itself does."""

import pytest

CONDITIONS = "[100 tokens, bucket 128, h100-80gb, compiled]"
OVER = f"GPU peak 65.12 KiB is over the budget of 1.00 KiB by 64.12 KiB (6412.5 %) {CONDITIONS}"
OFF = "needs --af3-gpu: it measures GPU memory of AlphaFold 3"


def test_the_first_failure_ends_the_run_and_last_failed_repeats_it(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_tokens(90, 100)
        def test_any(): ...

        @pytest.mark.af3_tokens(100)
        @pytest.mark.af3_budget("1 KiB")
        def test_fits(): ...

        def test_later(): ...
        """
    )
    project.run("-x").assert_outcomes(passed=2, failed=1)
    project.run("--lf").assert_outcomes(failed=1)
    assert [row["line"] for row in project.measurements()] == [OVER]


def test_expected_failures(project):
    project.write(
        test_fit="""
        import pytest

        pytestmark = pytest.mark.af3_tokens(100)

        @pytest.mark.xfail(strict=True, reason="the card is too small")
        @pytest.mark.af3_budget("1 KiB")
        def test_over(): ...

        @pytest.mark.xfail(strict=True, reason="the card is too small")
        @pytest.mark.af3_budget("1 MiB")
        def test_within(): ...
        """
    )
    result = project.run()
    result.assert_outcomes(xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["*_ test_within[[]100[]] _*", "[[]XPASS(strict)[]] the card is too small"])
    assert [row["verdict"] for row in project.measurements()] == ["over", "within"]


def test_a_test_that_fails_by_itself_keeps_its_own_message(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_budget("1 KiB")
        def test_fits(gpu_peak):
            gpu_peak(tokens=100)
            assert 1 + 1 == 3

        @pytest.mark.af3_budget("1 KiB")
        def test_skips(gpu_peak):
            gpu_peak(tokens=100)
            pytest.skip("not today")
        """
    )
    result = project.run("--junitxml=junit.xml")
    result.assert_outcomes(failed=1, skipped=1)
    assert project.junit() == {"test_fits": "assert (1 + 1) == 3", "test_skips": "not today"}
    assert [row["line"] for row in project.measurements()] == [OVER, OVER]


def test_what_a_test_catches_is_judged_all_the_same(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_model(width=-1)
        def test_careless(gpu_peak):
            with pytest.raises(pytest.fail.Exception):
                gpu_peak(tokens=100)
        """
    )
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit()["test_careless"].startswith("Failed: GPU peak not judged: the model does not initialise: ")


def test_a_budget_for_nothing_is_not_a_pass(project):
    project.gate('af3_budget("1 GiB")', test="def test_fits(gpu_peak): ...")
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit() == {"test_fits": "Failed: GPU peak not judged: the test has a budget, but it never called gpu_peak"}
    assert project.measurements() == []


def test_measuring_in_a_fixture_counts_for_the_test(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.fixture
        def small(gpu_peak):
            return gpu_peak(tokens=90)

        @pytest.mark.af3_budget("1 KiB")
        def test_fits(small):
            assert small.tokens == 90
        """
    )
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit()["test_fits"] == f"Failed: {OVER.replace('100 tokens', '90 tokens')}"


@pytest.mark.parametrize(
    ("comparison", "explanation"),
    [
        ("peak <= '1 KiB'", OVER),
        ("peak < 1024", OVER),
        ("peak <= pytest_af3mem.Size.parse('1 KiB')", OVER),
        ("peak <= 0", f"GPU peak 65.12 KiB is over the budget of 0 B by 65.12 KiB {CONDITIONS}"),
        ("peak < peak.total_bytes", f"GPU peak 65.12 KiB is not less than 65.12 KiB {CONDITIONS}"),
    ],
)
def test_a_failing_comparison_explains_itself_in_one_line(project, comparison, explanation):
    project.write(
        test_fit=f"""
        import pytest_af3mem

        def test_fits(gpu_peak):
            peak = gpu_peak(tokens=100)
            assert {comparison}
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    assert [line for line in result.outlines if line.startswith("E ")] == [f"E       assert {explanation}"]


def test_peaks_compare_with_each_other(project):
    project.write(
        test_fit="""
        def test_peak_grows_with_the_bucket(gpu_peak):
            assert gpu_peak(tokens=129) == gpu_peak(tokens=256)
            assert gpu_peak(tokens=128) < gpu_peak(tokens=129) <= "1 MiB"
            assert gpu_peak(tokens=128, chains=3, seed=1) == gpu_peak(tokens=128, msa_depth=2)
        """
    )
    assert project.run().ret == 0
    assert [(row["tokens"], row["bucket"], row["verdict"]) for row in project.measurements()] == [
        (129, 256, None),
        (256, 256, None),
        (128, 128, None),
        (128, 128, None),
        (128, 128, None),
    ]
    assert project.measurements()[3]["command"] == (
        f"af3mem measure --tokens 128 --target h100-80gb --chains 3 --seed 1 --model analytic:Analytic --path {project.models}"
    )


def test_budgets_of_single_parameters(project):
    project.write(
        test_fit="""
        import pytest

        def within(budget):
            return pytest.param(100, marks=pytest.mark.af3_budget(budget), id=budget)

        @pytest.mark.parametrize("size", [within("1 MiB"), within("1 KiB"), within("24 Bananas")])
        def test_fits(gpu_peak, size): gpu_peak(tokens=size)
        """
    )
    result = project.run("--junitxml=junit.xml")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    bad = "af3_budget '24 Bananas' is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes"
    assert project.junit() == {
        "test_fits[1 MiB]": None,
        "test_fits[1 KiB]": f"Failed: {OVER}",
        "test_fits[24 Bananas]": f'failed on setup with "Failed: {bad}"',
    }


def test_where_sizes_cannot_be_given_nothing_passes(project):
    project.write(
        test_fit="""
        import unittest
        import pytest

        class TestFits(unittest.TestCase):
            @pytest.mark.af3_tokens(100)
            def test_method(self): ...

        @pytest.mark.parametrize("other", [pytest.param(1, marks=pytest.mark.af3_tokens(100))])
        def test_parameter(other): ...
        """
    )
    project.run("--junitxml=junit.xml").assert_outcomes(failed=2)
    assert all(message.startswith("Failed: GPU peak not judged: ") for message in project.junit().values())


def test_a_job_of_ones_own(project):
    project.write(
        test_fit="""
        import pytest
        from pytest_af3mem import Job, generate
        from pytest_af3mem.inputs.chains import Protein

        @pytest.mark.af3_budget("1 KiB")
        def test_fits(gpu_peak):
            dimer = Job("dimer", (Protein(("A", "B"), "M" * 50),))
            assert gpu_peak(dimer) == gpu_peak(generate(100))
        """
    )
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert project.junit()["test_fits"] == f"Failed: {OVER}\n{OVER}"
    assert project.measurements()[0]["command"] is None


MEASURED_AND_NOT = """
    import pytest

    @pytest.mark.af3_tokens(100, 200)
    def test_marked(): ...

    @pytest.mark.af3_tokens(100)
    @pytest.mark.af3_budget("1 KiB")
    class TestGate:
        def test_in_class(self): ...

    def test_asks(gpu_peak): gpu_peak(tokens=100)

    def test_asks_late(request): request.getfixturevalue("gpu_peak")

    def test_other(): ...
"""


def test_without_the_option_all_that_measures_is_skipped(pytester):
    pytester.makepyfile(MEASURED_AND_NOT)
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=5, passed=1)
    result.stdout.fnmatch_lines([f"SKIPPED [[][0-9][]] test_without_the_option_all_that_measures_is_skipped.py:*: {OFF}"])
    assert sum(line.endswith(OFF) for line in result.outlines) == result.stdout.str().count("SKIPPED")
    assert "af3mem:" not in result.stdout.str()


def test_without_the_option_neither_worker_nor_cache_is_made(pytester, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "home"))
    pytester.makepyfile(MEASURED_AND_NOT)
    assert pytester.runpytest_subprocess("--af3-python=nowhere", "--af3-target=nonsense").ret == 0
    assert not (pytester.path / "home").exists()


def test_collecting_alone_measures_nothing(cold_project):
    cold_project.write(test_fit=MEASURED_AND_NOT)
    result = cold_project.run("--collect-only", "-q", "--af3-model=alphafold3")
    assert result.ret == 0
    assert result.outlines[:6] == [
        "test_fit.py::test_marked[100]",
        "test_fit.py::test_marked[200]",
        "test_fit.py::TestGate::test_in_class[100]",
        "test_fit.py::test_asks",
        "test_fit.py::test_asks_late",
        "test_fit.py::test_other",
    ]
