"""Reports that are asked for, and what GitHub Actions is told without being asked."""

import json
import sys

import pytest

from pytest_af3mem import __version__

GATE = """
    import pytest

    @pytest.mark.af3_tokens(100, 200, 500)
    @pytest.mark.af3_budget("100 KiB")
    def test_fits(): ...

    def test_grows(gpu_peak):
        assert gpu_peak(tokens=500) <= "100 KiB"

    def test_other():
        assert not "of ours"
"""
OVER = (
    "GPU peak 258.12 KiB is over the budget of 100.00 KiB by 158.12 KiB (158.1 %25) [200 tokens, bucket 256, h100-80gb, compiled]"
    "%0AGPU peak 1.00 MiB is over the budget of 100.00 KiB by 928.12 KiB (928.1 %25) "
    "[500 tokens, bucket 512, h100-80gb, compiled]"
)
OTHERWISE = "assert GPU peak 1.00 MiB is over the budget of 100.00 KiB by 928.12 KiB (928.1 %25)"


@pytest.fixture
def on_github(monkeypatch, tmp_path):
    """The environment of a step of GitHub Actions; the file of its summary."""
    summary = tmp_path / "summary.md"
    summary.write_text("of a step before\n")
    for name, value in {"ACTIONS": "true", "STEP_SUMMARY": str(summary)}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    return summary


@pytest.fixture
def asked(project):
    """Runs the gate with all reports asked for; which of them there are."""

    def run(*options, run=project.run):
        project.write(test_fit=GATE)
        result = run("--af3-markdown=out/report.md", "--af3-html=out/report.html", "--af3-json=out/report.json", *options)
        return result, sorted(path.name for path in (project.path / "out").glob("report.*"))

    return run


@pytest.fixture
def needs_html():
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")


def annotations(result):
    return [line for line in result.outlines if line.startswith("::")]


def check_reports(project, rows):
    assert len(json.loads((project.path / "out" / "report.json").read_text())["measurements"]) == rows
    assert "❌ GPU peak 258.12 KiB is over the budget" in (project.path / "out" / "report.md").read_text()
    page = (project.path / "out" / "report.html").read_text()
    assert "GPU peak 258.12 KiB is over the budget of 100.00 KiB" in page
    assert f"<td>{__version__}</td>" in page


@pytest.mark.usefixtures("needs_html")
def test_reports_are_written_when_tests_fail(asked, project):
    result, written = asked()
    result.assert_outcomes(passed=1, failed=4)
    assert written == ["report.html", "report.json", "report.md"]
    check_reports(project, 4)
    text = (project.path / "out" / "report.md").read_text()
    assert text.startswith(
        "## GPU memory of AlphaFold 3: 2 over, 1 within, 1 without a limit, 1 test failed for another reason\n"
    )
    assert "test\\_other" not in text
    result.stdout.fnmatch_lines(["report: out/report.json", "report: out/report.md", "report: out/report.html"])


@pytest.mark.usefixtures("needs_html")
def test_reports_are_written_when_the_session_stops_early(asked, project):
    result, written = asked("-x")
    result.assert_outcomes(passed=1, failed=1)
    assert written == ["report.html", "report.json", "report.md"]
    check_reports(project, 2)


@pytest.mark.usefixtures("needs_html")
def test_reports_and_annotations_with_xdist(asked, project, on_github):
    pytest.importorskip("xdist")
    result, written = asked("-n2", run=project.run_apart)
    result.assert_outcomes(passed=1, failed=4)
    assert written == ["report.html", "report.json", "report.md"]
    check_reports(project, 4)
    assert on_github.read_text().count("## GPU memory") == 1
    assert len(annotations(result)) == 2


def test_failing_tests_are_annotated_at_their_line(project, on_github):
    project.write(test_fit=GATE)
    fits, grows = annotations(project.run())
    lines = (project.path / "test_fit.py").read_text().splitlines()
    first = lines.index("@pytest.mark.af3_tokens(100, 200, 500)") + 1
    assert fits == f"::error file=test_fit.py,line={first},title=GPU memory%3A test_fits[200] and 1 more::{OVER}"
    first = lines.index("def test_grows(gpu_peak):") + 1
    assert grows.startswith(f"::error file=test_fit.py,line={first},title=GPU memory%3A test_grows::")
    assert OTHERWISE in grows


def test_files_are_named_from_the_root_of_the_repository(project, on_github, monkeypatch):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    project.write(test_fit=GATE)
    assert annotations(project.run("-k", "grows"))[0].startswith(f"::error file={project.path.name}/test_fit.py,line=")


def test_the_summary_is_added_to_that_of_the_job(project, on_github):
    project.write(test_fit=GATE)
    project.run("-k", "fits")
    before, headline, *_, last = filter(None, on_github.read_text().splitlines())
    assert (before, headline) == ("of a step before", "## GPU memory of AlphaFold 3: 2 over, 1 within")
    assert last.startswith("| 100 | 128 | h100-80gb | 65.12 KiB |")
    project.write(test_fit="def test_any(): ...")
    text = on_github.read_text()
    project.run()
    assert on_github.read_text() == text  # of nothing, nothing is said


def test_a_summary_that_cannot_be_added_is_noted(project, on_github, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(on_github / "no" / "file"))
    project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["the summary could not be added to $GITHUB_STEP_SUMMARY: Not a directory"])


def test_elsewhere_nothing_is_annotated(project):
    project.write(test_fit=GATE)
    assert annotations(project.run()) == []


def test_a_setup_that_fails_is_annotated(project, on_github):
    project.write(
        test_fit="""
        import pytest

        @pytest.fixture
        def broken(): raise ValueError("no such input")

        def test_any(broken, gpu_peak): ...
        """
    )
    (line,) = annotations(project.run())
    assert line.endswith("::ValueError: no such input")


def test_a_report_that_cannot_be_written_is_told_and_no_success(project):
    project.write(
        test_fit="""
        from pathlib import Path

        def test_any(gpu_peak):
            gpu_peak(tokens=100)
            Path("report.md").mkdir()
        """
    )
    result = project.run("--af3-markdown=report.md")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["report report.md could not be written: Is a directory", "report: report.json"])


@pytest.mark.parametrize("kind", ["markdown", "html"])
def test_a_place_that_cannot_be_written_is_refused_at_the_start(project, kind):
    project.write(test_fit=GATE)
    result = project.run(f"--af3-{kind}=test_fit.py/new/report")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line == f"ERROR: --af3-{kind} 'test_fit.py/new/report' cannot be written (Not a directory): choose another place"


@pytest.mark.parametrize("module", ["jinja2", "plotly"])
def test_a_page_without_what_it_is_made_with_is_refused_at_the_start(project, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    project.write(test_fit=GATE)
    result = project.run("--af3-html=report.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line == f"ERROR: --af3-html 'report.html' needs {module}: pip install \"pytest-af3mem[html]\""


def test_a_test_that_passes_when_it_is_run_again_is_not_annotated(project, on_github):
    pytest.importorskip("pytest_rerunfailures")
    project.write(
        test_fit="""
        runs = []

        def test_any(gpu_peak):
            runs.append(gpu_peak(tokens=100))
            assert len(runs) == 2
        """
    )
    result = project.run("--reruns=1")
    result.assert_outcomes(passed=1)
    assert annotations(result) == []
    assert "❌" not in on_github.read_text()
