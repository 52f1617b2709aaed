"""An accepted peak is removed only where a run would have used it: it was full, and has read the file of the test."""

import json
from pathlib import Path

import pytest

from pytest_af3mem.plugin.full_run import Ran, Run, covers, why_partial

GATE = """
    import pytest

    @pytest.mark.af3_baseline
    @pytest.mark.af3_tokens(100)
    def test_fits(): ...
"""
TESTS = ["test_fit.py::test_fits[100]", "test_other.py::test_others[100]"]
ROOT = Path("/project")
FULL = Run(places={ROOT}, modules={ROOT / "test_fit.py"}, collected={"a"}, attempts=[Ran("a")])


@pytest.fixture
def entries(project, before):
    """The tests that the baseline names; first those of two files are entered."""
    project.write(test_fit=GATE, test_other=GATE.replace("test_fits", "test_others"))
    project.accept(before, passed=2)
    return lambda: [entry["test"] for entry in json.loads((project.path / "memory.json").read_text())["measurements"]]


@pytest.mark.parametrize(
    "options",
    [("-o", "python_files=test_fit.py"), ("-o", "python_functions=test_fits")],
    ids=["files", "functions"],
)
def test_tests_that_an_option_leaves_out_keep_their_peaks(project, entries, options):
    project.run("--af3-baseline=memory.json", "--af3-update-baseline", *options)
    assert entries() == TESTS


def test_tests_that_a_conftest_leaves_out_keep_their_peaks(project, entries):
    project.pytester.makeconftest("collect_ignore = ['test_other.py']")
    project.run("--af3-baseline=memory.json", "--af3-update-baseline").assert_outcomes(passed=1)
    assert entries() == TESTS


def test_tests_that_xdist_leaves_out_keep_their_peaks(project, entries):
    pytest.importorskip("xdist")
    project.pytester.makeconftest("collect_ignore = ['test_other.py']")
    (project.path / "test_fit.py").write_text((project.path / "test_fit.py").read_text().replace("test_fits", "test_renamed"))
    project.run_apart("-n2", "--af3-baseline=memory.json", "--af3-update-baseline").assert_outcomes(passed=1)
    assert entries() == ["test_fit.py::test_renamed[100]", TESTS[1]]


def test_a_file_that_is_gone_has_no_peaks(project, entries):
    (project.path / "test_other.py").unlink()
    project.run("--af3-baseline=memory.json", "--af3-update-baseline").assert_outcomes(passed=1)
    assert entries() == TESTS[:1]


@pytest.fixture
def package(project, monkeypatch):
    """Runs pytest in a package that has an ini file of its own and shares a baseline with others."""

    def run(name, *options):
        folder = project.path / name
        if not folder.exists():
            folder.mkdir()
            (folder / "pytest.ini").write_text("[pytest]\naf3_baseline = ../memory.json\n")
            (folder / "test_fit.py").write_text("\n".join(line[4:] for line in GATE.splitlines()))
        monkeypatch.chdir(folder)
        return project.run("--rootdir=.", *options)

    return run


def test_packages_that_share_a_baseline_leave_each_other_alone(project, package):
    for name in ("first", "second"):
        package(name, "--af3-update-baseline").assert_outcomes(passed=1)
    for name in ("first", "second", "first"):
        package(name, "--af3-update-baseline").assert_outcomes(passed=1)
        package(name).assert_outcomes(passed=1)
    found = json.loads((project.path / "memory.json").read_text())["measurements"]
    assert [entry["test"] for entry in found] == [f"{name}/test_fit.py::test_fits[100]" for name in ("first", "second")]


def test_the_names_of_before_are_read_and_renamed(project, package):
    package("first", "--af3-update-baseline").assert_outcomes(passed=1)
    file = project.path / "memory.json"
    file.write_text(file.read_text().replace('"first/test_fit.py', '"test_fit.py'))
    package("first").assert_outcomes(passed=1)
    package("first", "--af3-update-baseline").assert_outcomes(passed=1)
    assert [entry["test"] for entry in json.loads(file.read_text())["measurements"]] == ["first/test_fit.py::test_fits[100]"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"attempts": []}, "1 test did not run"),
        ({"left_out": 2}, "2 tests were left out"),
        ({"narrowed": ["--last-failed or --ignore was given"], "left_out": 2}, "--last-failed or --ignore was given"),
    ],
)
def test_why_a_run_was_not_full(change, why):
    assert why_partial(Run(**{**vars(FULL), **change})) == why


@pytest.mark.parametrize(
    ("file", "exists", "covered"),
    [
        ("/project/test_fit.py", True, True),
        ("/project/test_fit.py", False, True),
        ("/project/test_gone.py", False, True),
        ("/project/test_ignored.py", True, False),
        ("/elsewhere/test_fit.py", False, False),
    ],
)
def test_whether_the_tests_of_a_file_would_have_been_collected(file, exists, covered):
    assert covers(FULL, Path(file), lambda path: exists) is covered
