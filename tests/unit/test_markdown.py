from pathlib import Path

from pytest_af3mem.records.verdict import judge, not_judged
from pytest_af3mem.reports import markdown
from pytest_af3mem.reports.failures import Failure

GIB = 2**30


def test_failures_come_first_then_everything_in_a_table(a_measurement, a_peak):
    over = a_measurement(test="t.py::test_small", verdict=judge(a_peak(), 5 * GIB))
    assert markdown.render([a_measurement(), over]).splitlines() == [
        "## GPU memory of AlphaFold 3: 1 over, 1 within",
        "",
        "❌ GPU peak 8.00 GiB is over the budget of 5.00 GiB by 3.00 GiB (60.0 %) "
        r"\[1000 tokens, bucket 1024, h100-80gb, compiled\]<br>t.py::test\_small",
        "",
        "<details open><summary>Details</summary>",
        "",
        "```text",
        "arguments       2.00 GiB  parameters and features",
        "outputs       512.00 MiB",
        "temporaries     6.00 GiB  one slab",
        "aliased      -512.00 MiB  outputs in the place of arguments",
        "live peak       7.50 GiB  the same without fragmentation",
        "packing       512.00 MiB  gaps between buffers, lost to fragmentation",
        "kernels     triton 47",
        "model       alphafold3-colabfold 3.1.18, jax 0.10.2",
        "measure it again: af3mem measure --tokens 1000 --target h100-80gb",
        "```",
        "",
        "</details>",
        "",
        "| tokens | bucket | target | total | budget | margin | verdict | kernels | time | test |",
        "| ---: | ---: | --- | ---: | ---: | ---: | --- | --- | ---: | --- |",
        "| 1000 | 1024 | h100-80gb | 8.00 GiB | 5.00 GiB | -3.00 GiB (-60.0 %) | over | triton 47 | 61.2 s "
        r"| t.py::test\_small |",
        "| 1000 | 1024 | h100-80gb | 8.00 GiB | 10.00 GiB | 2.00 GiB (20.0 %) | within | triton 47 | 61.2 s "
        r"| t.py::test\_fits |",
    ]


def test_what_was_not_judged_is_a_failure(a_measurement):
    lost = a_measurement(peak=None, verdict=not_judged("the worker died (SIGSEGV)", "[1000 tokens]"))
    text = markdown.render([lost])
    assert text.startswith("## GPU memory of AlphaFold 3: 1 not judged\n\n❌ GPU peak not judged: the worker died (SIGSEGV)")
    assert "| not judged |" in text


def test_a_test_that_fails_for_another_reason_is_told(a_measurement):
    failures = [Failure(f"t.py::test_{name}", Path("t.py"), 3, "AssertionError:\n  it grew") for name in ("grows", "fits")]
    text = markdown.render([a_measurement(verdict=None)], failures)
    assert text.startswith("## GPU memory of AlphaFold 3: 1 without a limit, 2 tests failed for another reason\n")
    assert "❌ AssertionError: it grew<br>t.py::test\\_grows\n" in text


def test_a_failure_with_a_verdict_is_told_once(a_measurement, a_peak):
    over = a_measurement(verdict=judge(a_peak(), GIB))
    text = markdown.render([over], [Failure(over.test, Path("t.py"), 3, over.verdict.line)])
    assert text.count("❌") == 1


def test_nothing_was_measured():
    assert markdown.render([]) == "## GPU memory of AlphaFold 3: nothing was measured\n"


def test_names_are_no_markup(a_measurement, a_peak):
    name = "t.py::test_x[a|b`c`<img src=x>\n*d*@user#1]"
    text = markdown.render([a_measurement(test=name, verdict=judge(a_peak(), GIB))])
    escaped = r"t.py::test\_x\[a\|b\`c\`\<img src=x\> \*d\*\@user\#1\]"
    assert text.count(escaped) == 2
    *_, row = text.splitlines()
    assert row.endswith(f"| {escaped} |")
    assert row.replace(r"\|", "").count("|") == 11


def test_a_fence_is_longer_than_any_inside(a_measurement, a_peak):
    over = a_measurement(verdict=judge(a_peak(), GIB), command="echo '````' '<details>'")
    lines = markdown.render([over]).splitlines()
    start, end = lines.index("`````text"), lines.index("`````")
    assert lines[end - 1] == "measure it again: echo '````' '<details>'"
    assert start < end


def test_a_long_summary_is_cut_behind_the_failures(a_measurement, a_peak):
    """GitHub drops one of more than 1 MiB as a whole."""
    over = [a_measurement(test=f"t.py::test_{'x' * 200}[{index}]", verdict=judge(a_peak(), GIB)) for index in range(2000)]
    text = markdown.render([a_measurement(), *over])
    assert len(text.encode()) < 2**20
    assert "\nAnd 1950 more failures.\n" in text
    assert text.endswith("\nAnd 1501 more rows, which are in the JSON report.\n")


def test_two_witnesses_stand_side_by_side(a_measurement, a_run):
    lines = markdown.render([a_measurement(peak=a_run())]).splitlines()
    heading = lines.index("Compiled and run:")
    assert lines[heading + 3 : heading + 5] == [
        "bucket     target  compiled  allocator   process      gap",
        "  1024  h100-80gb  8.00 GiB   8.00 GiB  9.49 GiB  +0.05 %",
    ]
