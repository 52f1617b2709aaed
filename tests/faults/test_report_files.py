"""Reports go where they were meant to, whole, and over nothing else."""

import errno
import os
import re
from pathlib import Path

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.reports import series, write
from pytest_af3mem.session.settings import Settings

OVER = ("af3_tokens(100)", 'af3_budget("1 KiB")')


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"json": "memory.json", "baseline": "memory.json"}, "--af3-baseline and --af3-json name the same file 'memory.json'"),
        ({"json": "a.md", "markdown": "./new/../a.md"}, "--af3-json and --af3-markdown name the same file 'new/../a.md'"),
        ({"json": "link.json", "baseline": "memory.json"}, "--af3-baseline and --af3-json name the same file 'link.json'"),
    ],
)
def test_two_files_with_one_name_are_refused(options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("new").mkdir()
    Path("memory.json").write_text("")
    Path("link.json").symlink_to("memory.json")
    with pytest.raises(UsageError, match=f"^{line}: give each its own$"):
        Settings.read(options)


def test_devices_may_be_named_twice():
    assert Settings.read({"json": "/dev/null", "markdown": "/dev/null"}).json == Path("/dev/null")


def test_a_report_over_that_of_pytest_is_refused(project):
    project.write(test_any="def test_any(): ...")
    result = project.run("--af3-json=junit.xml", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --af3-json and --junitxml name the same file 'junit.xml': give each its own" in result.errlines


def test_a_report_that_does_not_fit_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    file.write_text("old")

    def full(self, content):
        with self.open("wb") as unfinished:
            unfinished.write(content[:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    written, lost = write.write(Settings(json=file), [])
    assert (written, lost) == ([], [f"report {file} could not be written: No space left on device"])
    assert file.read_text() == "old"
    assert [*tmp_path.iterdir()] == [file]


def test_links_and_devices_are_written_to(tmp_path):
    file, link = tmp_path / "report.json", tmp_path / "link.json"
    file.write_text("old")
    link.symlink_to(file)
    write.put(link, "new")
    assert (link.is_symlink(), file.read_text()) == (True, "new")
    write.put(Path("/dev/null"), "new")
    assert Path("/dev/null").is_char_device()


def test_files_go_where_pytest_was_started_and_not_where_a_test_has_gone(project):
    (project.path / "other").mkdir()
    project.gate(*OVER, test="def test_fits(): __import__('os').chdir('other')")
    result = project.run_apart()
    result.assert_outcomes(failed=1)
    (row,) = project.measurements()
    assert (project.path / row["input"]).exists()
    assert [*(project.path / "other").iterdir()] == []
    assert f"  AlphaFold 3 input: {row['input']}" in result.outlines


def test_an_input_that_cannot_be_kept_is_a_note_beside_the_verdict(project):
    (project.path / "failing").write_text("a file")
    project.gate(*OVER)
    result = project.run("--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    assert project.junit()["test_fits[100]"].startswith("Failed: GPU peak 65.12 KiB is over the budget of 1.00 KiB")
    assert [(row["verdict"], row["input"]) for row in project.measurements()] == [("over", None)]
    assert "the AlphaFold 3 input of test_fit.py::test_fits[100] could not be written to failing: File exists" in result.outlines


def test_paths_in_the_ini_file_are_of_its_folder(project, monkeypatch):
    project.pytester.makeini("[pytest]\naf3_path = models\naf3_json = new.json\naf3_model = analytic:Analytic\naf3_gpu = yes")
    (project.path / "models").symlink_to(project.models)
    project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    (project.path / "deeper").mkdir()
    monkeypatch.chdir(project.path / "deeper")
    arguments = ("-p", "no:hypothesispytest", f"--af3-cache-dir={project.cache}", "..")
    project.pytester.runpytest_inprocess(*arguments).assert_outcomes(passed=1)
    assert (project.path / "new.json").exists()


@pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest 9 brings [tool.pytest]")
def test_native_values_of_toml(project):
    (project.path / "pyproject.toml").write_text(
        f"""
        [tool.pytest]
        af3_gpu = true
        af3_workers = 1
        af3_buckets = [120, 240]
        af3_no_cache = false
        af3_tolerance = 0
        af3_model = "analytic:Analytic"
        af3_path = "{project.models}"
        """
    )
    project.write(test_fit="def test_any(gpu_peak): assert gpu_peak(tokens=100).bucket == 120")
    result = project.pytester.runpytest_inprocess("-p", "no:hypothesispytest", f"--af3-cache-dir={project.cache}")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["af3mem: compiled for *, 1 worker"])


def test_the_page_says_when_and_of_what_it_was_made(a_measurement, monkeypatch):
    html = pytest.importorskip("pytest_af3mem.reports.html")
    monkeypatch.setenv("GITHUB_SHA", "0123456789abcdef")
    monkeypatch.setenv("GITHUB_HEAD_REF", "less-<memory>")
    page = html.render([a_measurement()])
    assert re.search(r'<p class="muted">20..-..-.. ..:.. UTC, commit 0123456789ab, branch less-&lt;memory&gt;</p>', page)


def test_the_curve_has_the_baseline(a_measurement, a_peak):
    figures = pytest.importorskip("pytest_af3mem.reports.figures")
    one = a_measurement(baseline=Entry.of("t.py::test_fits", a_peak(total_bytes=7 * 2**30)))
    plot = figures.curve(series.split([one]), (512, 1024))
    (trace,) = [trace for trace in plot.figure["data"] if trace.get("text") == "baseline 7.00 GiB, bucket 1,024"]
    assert (trace["x"], trace["y"]) == ([513, 1024], [7, 7])
    assert "baseline" in [key.label for key in plot.keys]
