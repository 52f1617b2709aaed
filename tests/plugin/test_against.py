"""`--af3-against`: the other side is measured in the same run."""

import pytest

from pytest_af3mem.records.timeline import Timeline
from pytest_af3mem.storage import typed


@pytest.fixture
def older(project, tmp_path):
    """A source tree of the model, whose array of pairs is half as large."""
    text = (project.models / "analytic.py").read_text()
    (tmp_path / "older").mkdir()
    less = text.replace("positions[:, None] *", "positions[: len(positions) // 2, None] *").replace("axis=1", "axis=0")
    assert less != text
    (tmp_path / "older" / "analytic.py").write_text(less)
    return tmp_path / "older"


def test_more_than_the_other_side_is_over(project, older):
    project.gate("af3_tokens(100)", "af3_baseline")
    result = project.run(f"--af3-against={older}", "--junitxml=junit.xml")
    assert result.ret == 1
    line = (
        "GPU peak 65.12 KiB is over the baseline of 33.12 KiB by 32.00 KiB (96.6 %) [100 tokens, bucket 128, h100-80gb, compiled]"
    )
    assert project.junit()["test_fits[100]"].endswith(line)
    result.stdout.fnmatch_lines(["*+32.00 KiB  outer_product  32.00 KiB -> 64.00 KiB"])
    (row,) = project.measurements()
    before, now = (max(typed.read(Timeline, row[name]).totals) for name in ("baseline_timeline", "timeline"))
    assert (before, now) == (row["baseline"]["live_bytes"], row["live_bytes"])


@pytest.mark.parametrize("how", ["(tolerance='97 %')", "(tolerance='32 KiB')"])
def test_tolerance(project, older, how):
    project.gate("af3_tokens(100)", f"af3_baseline{how}")
    assert project.run(f"--af3-against={older}").ret == 0


def test_the_same_and_less_is_within(project, older, tmp_path):
    project.gate("af3_tokens(100)", "af3_baseline")
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "analytic.py").write_text((project.models / "analytic.py").read_text())
    assert project.run(f"--af3-against={tmp_path / 'same'}").ret == 0
    assert project.run(f"--af3-against={project.models}", f"--af3-path={older}").ret == 0


def test_a_side_that_cannot_be_measured_is_not_a_pass(project, older):
    project.gate("af3_tokens(100)", "af3_baseline")
    (older / "analytic.py").write_text("edited = True\n")
    result = project.run(f"--af3-against={older}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"*not judged: --af3-against '{older}' cannot be measured: model 'analytic:Analytic' cannot be loaded*"]
    )


def test_what_is_measured_is_not_held_against_itself(project):
    project.gate("af3_tokens(100)", "af3_baseline")
    result = project.run(f"--af3-against={project.models}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --af3-against '{project.models}' is what the tests measure: name another Python*"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--af3-against=/no/where"], "--af3-against '/no/where' is no file or folder: it must be a Python*"),
        (
            ["--af3-against=installed", "--af3-baseline=memory.json"],
            "--af3-against and --af3-baseline both say what tests are compared with: leave one out",
        ),
    ],
)
def test_bad_options(project, options, line):
    project.gate("af3_tokens(100)", "af3_baseline")
    result = project.run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {line}"])
