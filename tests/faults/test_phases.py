"""What a test measures is judged in whichever phase it does so: setup, call or teardown."""

import pytest

OVER = (
    "GPU peak 258.12 KiB is over the budget of 100.00 KiB by 158.12 KiB (158.1 %) [200 tokens, bucket 256, h100-80gb, compiled]"
)

LATE = {
    "a yield fixture": """
        @pytest.fixture
        def late(gpu_peak):
            yield
            gpu_peak(tokens=200)

        def test_fits(late, gpu_peak): gpu_peak(tokens=100)
    """,
    "a finalizer": """
        def test_fits(request, gpu_peak):
            gpu_peak(tokens=100)
            request.addfinalizer(lambda: gpu_peak(tokens=200))
    """,
    "a module's fixture": """
        @pytest.fixture(scope="module")
        def late(gpu_peak):
            yield
            gpu_peak(tokens=200)

        def test_fits(late, gpu_peak): gpu_peak(tokens=100)
    """,
    "teardown_method": """
        class TestFits:
            @pytest.fixture(autouse=True)
            def peak(self, gpu_peak): self.peak = gpu_peak

            def teardown_method(self): self.peak(tokens=200)

            def test_fits(self): self.peak(tokens=100)
    """,
}


@pytest.fixture
def limited(project):
    """Runs tests that have a budget of 100 KiB; the first line of each failure, and the verdict of each measurement."""

    def run(tests, *options):
        project.write(test_fit=f"import pytest\npytestmark = pytest.mark.af3_budget('100 KiB')\n{_dedented(tests)}")
        result = project.run("--junitxml=junit.xml", *options)
        return result, {row["tokens"]: row["verdict"] for row in project.measurements()}

    return run


def _dedented(text):
    return "\n".join(line.removeprefix(" " * 8) for line in text.splitlines())


@pytest.mark.parametrize("tests", LATE.values(), ids=LATE)
def test_what_is_measured_in_teardown_is_judged(limited, tests):
    result, verdicts = limited(tests)
    result.assert_outcomes(passed=1, errors=1)
    assert verdicts == {100: "within", 200: "over"}
    assert OVER in result.outlines
    assert [line for line in result.outlines if line.startswith("- GPU memory") or "- GPU memory of AlphaFold 3 -" in line]


def test_a_teardown_without_a_baseline_is_not_a_pass(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_baseline
        def test_fits(request, gpu_peak):
            gpu_peak(tokens=100)
            request.addfinalizer(lambda: gpu_peak(tokens=200))
        """
    )
    stated = "--af3-baseline=memory.json"
    project.run(stated, "--af3-update-baseline", "-q").assert_outcomes(passed=1)
    project.run(stated).assert_outcomes(passed=1)
    file = project.path / "memory.json"
    assert file.read_text().count('"test": ') == 2
    file.write_text(file.read_text().replace('"total_bytes": 264320', '"total_bytes": 264319'))
    project.run(stated).assert_outcomes(passed=1, errors=1)


def test_a_failed_setup_has_its_rows_and_its_input(limited, project):
    result, verdicts = limited(
        """
        @pytest.fixture
        def small(gpu_peak): assert gpu_peak(tokens=100) < "1 KiB"

        def test_fits(small): ...
        """
    )
    result.assert_outcomes(errors=1)
    assert verdicts == {100: "within"}
    (row,) = project.measurements()
    assert (project.path / row["input"]).exists()


def test_a_setup_that_skips_after_it_measured_has_its_row(limited):
    result, verdicts = limited(
        """
        @pytest.fixture
        def small(gpu_peak):
            gpu_peak(tokens=100)
            pytest.skip("not today")

        def test_fits(small): ...
        """
    )
    result.assert_outcomes(skipped=1)
    assert verdicts == {100: "within"}


def test_a_fixture_that_measured_for_another_test_is_named(limited, project):
    result, _ = limited(
        """
        @pytest.fixture(scope="module")
        def small(gpu_peak): return gpu_peak(tokens=100)

        def test_first(small): ...
        def test_second(small): ...
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    assert project.junit()["test_second"] == (
        "Failed: GPU peak not judged: the test has a budget, but it never called gpu_peak: fixture 'small' of scope 'module' "
        "measured once, for test_fit.py::test_first; with scope 'function' it measures for each test"
    )


def test_methods_of_a_test_case_cannot_be_parametrised(limited, project):
    limited(
        """
        import unittest

        class TestFits(unittest.TestCase):
            @pytest.mark.af3_tokens(100)
            def test_method(self): ...
        """
    )
    assert project.junit()["test_method"] == (
        "Failed: GPU peak not judged: the test has a budget, but it never called gpu_peak: af3_tokens has no effect on a method "
        "of a unittest.TestCase, which pytest cannot parametrise"
    )
