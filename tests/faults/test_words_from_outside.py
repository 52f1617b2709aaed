"""Names of files and what a worker says come from outside: they colour no terminal and command no CI job."""

import re

import pytest

from pytest_af3mem.errors import shown
from pytest_af3mem.inputs.chains import Ligand, Protein
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.plugin import progress
from pytest_af3mem.plugin.fixture import explain
from pytest_af3mem.records.verdict import judge, percent


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("jobs/my protein, β-barrel.json", "jobs/my protein, β-barrel.json"),
        ("C:\\jobs\\a.json", "C:\\jobs\\a.json"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egnp.json", r"\u202egnp.json"),
        ("\udcff.json", r"\udcff.json"),
        ("::error::x", r"\x3a:error::x"),
        ("  ::error::x", r"  \x3a:error::x"),
        ("test.py::test_a", "test.py::test_a"),
        ("a\n::error::x", r"a\n::error::x"),
        ("so ##[error]x", r"so \x23#[error]x"),
        ("", ""),
    ],
)
def test_what_is_shown_is_one_printable_line_that_is_no_command(text, printed):
    assert shown(text) == printed


LOUD = """
from pytest_af3mem.models.model import Batch

class Loud:
    name = "loud"
    packages = ("loud",)
    settings = ()

    def distribution(self): return "loud\\n::error::\\x1b[31m 1.0"
    def buckets(self): return (128,)
    def components(self, folder, progress): return None
    def prepare(self, folder, progress): pass

    def featurise(self, job, buckets):
        import sys
        print("\\x1b[2J\\n::warning::of the worker", file=sys.stderr, flush=True)
        raise ValueError("\\x1b[31mred ##[error] words")

    def forward(self, settings, compute_capability): ...
"""


def test_what_a_worker_says_is_printed_without_control_characters(project):
    (project.path / "loud.py").write_text(LOUD)
    project.gate("af3_tokens(100)", 'af3_budget("1 GiB")')
    result = project.run("--af3-path=.", "--junitxml=junit.xml", model="loud:Loud")
    result.assert_outcomes(failed=1)
    output = result.stdout.str() + result.stderr.str()
    assert "\x1b" not in output
    assert r"loud\n::error::\x1b[31m 1.0" in output
    assert r"\x3a:warning::of the worker" in output
    assert not [line for line in output.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def test_names_are_no_markup_in_junit(project):
    project.write(
        test_fit="""
        import pytest

        @pytest.mark.parametrize("name", ["]]><failure message='x'/>&\\x1b"], ids=["]]><failure message='x'/>&\\x1b"])
        def test_any(gpu_peak, name):
            assert gpu_peak(tokens=100) <= "1 GiB"
        """
    )
    project.run("--junitxml=junit.xml").assert_outcomes(passed=1)
    ((name, properties),) = project.junit_properties().items()
    assert name.startswith("test_any[]]><failure message='x'/>&")
    assert ("af3_conditions", "100 tokens, bucket 128, h100-80gb, compiled") in properties
    assert project.junit() == {name: None}


@pytest.fixture
def fits(project):
    """The output of a gate of these sizes with a budget of 1 KiB."""

    def run(*sizes, options=()):
        project.gate(f"af3_tokens{sizes}", 'af3_budget("1 KiB")')
        return project.run(*options).outlines

    return run


def test_two_sizes_of_one_bucket_say_once_who_holds_the_peak(fits):
    lines = fits(90, 100)
    assert sum("who holds the peak" in line for line in lines) == 1
    assert "  for the rest see test_fit.py::test_fits[90]: it is the same program" in lines
    assert sum(line.startswith("  measure it again: ") for line in lines) == 2


def test_the_short_summary_begins_with_the_difference(fits, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = fits(90, 100)
    (line, _) = [line for line in lines if line.startswith("FAILED")]
    assert line == "FAILED test_fit.py::test_fits[90] - 64.12 KiB over the budget of 1.00 KiB"
    assert sum(line.startswith("GPU peak 65.12 KiB is over the budget of 1.00 KiB by 64.12 KiB") for line in lines) == 4


def test_without_a_terminal_a_long_wait_has_a_line_at_its_beginning_and_its_end(cold_project, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    cold_project.gate("af3_tokens(100)")
    lines = [line for line in cold_project.run("-v").outlines if line.startswith("af3mem: ")][2:]
    first, last = lines
    assert " 100 tokens for h100-80gb (" in first
    assert re.fullmatch(r"af3mem: \[100 tokens, bucket 128, h100-80gb, compiled\] measured after \d+ s", last)


def test_percent_of_a_few_bytes_are_times(a_peak):
    assert judge(a_peak(total_bytes=2 * 10**9), 1).line.startswith(
        "GPU peak 1.86 GiB is over the budget of 1 B by 1.86 GiB (1,999"
    )
    assert percent(-64, 1) == "-6400.0 %"
    assert percent(-120235400700, 100) == "-1,202,354,007 times"


@pytest.mark.parametrize(
    ("comparison", "explanation"),
    [
        (("<=", "PEAK", "1 GiB"), "GPU peak 8.00 GiB is over the budget of 1.00 GiB by 7.00 GiB (700.0 %)"),
        ((">=", "1 GiB", "PEAK"), "GPU peak 8.00 GiB is over the budget of 1.00 GiB by 7.00 GiB (700.0 %)"),
        ((">", "8 GiB", "PEAK"), "GPU peak 8.00 GiB is not less than 8.00 GiB"),
        ((">", "PEAK", "9 GiB"), "GPU peak 8.00 GiB is not more than 9.00 GiB"),
        (("<=", "9 GiB", "PEAK"), "GPU peak 8.00 GiB is not at least 9.00 GiB"),
    ],
)
def test_comparisons_explain_themselves_on_either_side(a_peak, comparison, explanation):
    op, *sides = comparison
    left, right = (a_peak() if side == "PEAK" else side for side in sides)
    assert explain(op, left, right) == [f"{explanation} {a_peak().conditions}"]


def test_other_comparisons_are_pytests_own(a_peak):
    assert explain("==", a_peak(), "1 GiB") is None
    assert explain("<=", a_peak(), a_peak()) is None
    assert explain("<=", 1, 2) is None


def test_a_job_shows_the_beginning_of_its_sequences():
    job = Job("dimer", (Protein(("A", "B"), "M" * 500, unpaired_msa=">q\n" + "M" * 500), Ligand(("C",), ("ATP",))))
    assert repr(job) == (
        f"Job(name='dimer', sequences=(Protein(ids=('A', 'B'), sequence='{'M' * 30}'... (500 characters), "
        f"unpaired_msa='>q\\n{'M' * 27}'... (503 characters)), Ligand(ids=('C',), ccd_codes=('ATP',))))"
    )
