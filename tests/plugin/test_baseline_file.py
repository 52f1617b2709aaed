"""When the baseline is written, what is entered and what is removed; and that it is never touched otherwise."""

import json

import pytest

GATE = """
    import pytest

    pytestmark = pytest.mark.af3_baseline

    @pytest.mark.af3_tokens(100, 200)
    def test_fits(): ...

    def test_asks(gpu_peak): gpu_peak(tokens=500)
"""
TESTS = ["test_fit.py::test_asks", "test_fit.py::test_fits[100]", "test_fit.py::test_fits[200]"]


class File:
    """A project's baseline."""

    def __init__(self, project):
        self.path = project.path / "memory.json"
        self.project = project

    def run(self, *options):
        return self.project.run("--af3-baseline=memory.json", *options)

    def update(self, *options):
        return self.run("--af3-update-baseline", *options)

    def entries(self):
        return json.loads(self.path.read_text())["measurements"]

    def tests(self):
        return [entry["test"] for entry in self.entries()]

    def add(self, **changes):
        """One more entry, like the last."""
        entries = self.entries()
        self.path.write_text(json.dumps({"schema": 1, "measurements": [*entries, entries[-1] | changes]}))

    def state(self):
        return self.path.stat().st_mtime_ns, self.path.stat().st_ino, self.path.read_bytes()


@pytest.fixture
def file(project, before):
    """The baseline of a project with three tests."""
    project.write(test_fit=GATE)
    project.accept(before, passed=3)
    return File(project)


def notes(result):
    return [line for line in result.outlines if line.startswith(("baseline: ", "orphan "))]


def test_an_entry_for_each_measurement_with_the_keys_of_the_report(file, project):
    assert file.tests() == TESTS
    lines = file.path.read_text().splitlines()
    assert [line[:9] for line in lines if line.startswith("{")] == ['{"schema"', *['{"test": '] * 3]
    row = project.measurements()[2]
    same = ("test", "tokens", "bucket", "target", "method", "total_bytes", "live_bytes", "kernels")
    (entry,) = [entry for entry in file.entries() if entry["test"] == row["test"]]
    assert {name: entry[name] for name in same} == {name: row[name] for name in same}
    assert entry["model"] == {"name": "analytic", "distribution": "analytic 1.0", "config": {"width": 32}}
    assert entry["software"] == {name: version for name, version in row["software"].items() if version}
    assert entry.keys() == {*same, "components", "model", "software", "settings"}


def test_an_update_without_a_change_leaves_the_file_alone(file):
    state = file.state()
    assert notes(file.update()) == ["baseline: memory.json has 3 entries: nothing changed"]
    assert file.state() == state


@pytest.mark.parametrize(
    "options",
    [(), ("--collect-only",), ("--af3-update-baseline", "--collect-only"), ("--af3-tolerance=1 GiB",), ("-n2",)],
)
def test_a_run_that_did_not_ask_never_writes(file, project, options):
    file.add(test="test_fit.py::test_old")
    file.path.write_text(file.path.read_text().replace(' "total_bytes": ', ' "total_bytes": 1'))
    state = file.state()
    if "-n2" in options:
        pytest.importorskip("xdist")
        project.run_apart("--af3-baseline=memory.json", *options)
    else:
        file.run(*options)
    project.write(test_fit=GATE.replace("tokens=500", "tokens=400, target='nonsense'"))
    file.run(*options)
    assert file.state() == state
    assert sorted(path.name for path in project.path.iterdir() if "memory" in path.name) == ["memory.json"]


def test_failing_against_the_baseline_writes_nothing(file):
    file.path.write_text(file.path.read_text().replace('"total_bytes": 66688', '"total_bytes": 66687'))
    state = file.state()
    file.run().assert_outcomes(passed=2, failed=1)
    assert file.state() == state


def test_an_update_accepts_what_grew_and_what_shrank(file, project):
    text = file.path.read_text()
    file.path.write_text(text.replace('"total_bytes": 66688', '"total_bytes": 66687').replace(": 1052800", ": 2052800"))
    result = file.update("-v")
    result.assert_outcomes(passed=3)
    assert notes(result) == ["baseline: memory.json has 3 entries: 2 changed"]
    assert file.path.read_text() == text
    assert [(row["verdict"], row["baseline_bytes"]) for row in project.measurements()] == [
        ("within", 66_687),
        ("within", 264_320),
        ("within", 2_052_800),
    ]
    line = "GPU peak 65.12 KiB is accepted as the baseline, above the one before of 65.12 KiB by 1 B (0.0 %)"
    assert project.measurements()[0]["line"].startswith(line)
    file.run().assert_outcomes(passed=3)


def test_a_test_that_does_not_pass_keeps_its_entry(file, project):
    before = file.entries()
    project.write(
        test_fit="""
        import pytest

        pytestmark = [pytest.mark.af3_baseline, pytest.mark.af3_model(width=32)]

        @pytest.mark.af3_budget("1 KiB")
        @pytest.mark.af3_tokens(100)
        def test_fits(): ...

        @pytest.mark.af3_tokens(200)
        def test_fits(): assert 1 + 1 == 3

        def test_asks(gpu_peak):
            gpu_peak(tokens=500)
            pytest.skip("not today")

        @pytest.mark.xfail
        @pytest.mark.af3_tokens(100)
        @pytest.mark.af3_budget("1 KiB")
        def test_too_small(): ...
        """
    )
    result = file.update()
    result.assert_outcomes(failed=1, skipped=1, xfailed=1)
    assert file.entries() == [before[0], before[2]]  # test_fits[100] is no longer there
    assert notes(result) == [
        "baseline: memory.json has 2 entries: 1 removed",
        *(
            f"baseline: test_fit.py::{test} did not pass, so its entries stay as they are"
            for test in ("test_asks", "test_too_small[100]")
        ),
    ]


def test_a_measurement_that_failed_never_replaces_an_entry(file, project):
    before = file.entries()
    project.write(test_fit=GATE.replace("def test_asks", "@pytest.mark.af3_model(width=-1)\n    def test_asks"))
    file.update().assert_outcomes(passed=2, failed=1)
    assert file.entries() == before


def test_a_renamed_test_has_no_baseline_and_leaves_an_orphan(file, project):
    project.write(test_fit=GATE.replace("test_asks", "test_wants"))
    result = file.run("--junitxml=junit.xml")
    result.assert_outcomes(passed=2, failed=1)
    assert "no baseline: run with --af3-update-baseline" in project.junit()["test_wants"]
    assert notes(result) == [
        "orphan in memory.json: test_fit.py::test_asks [500 tokens, bucket 512, h100-80gb, compiled] is used by no test; "
        "--af3-update-baseline removes it"
    ]
    assert notes(file.update()) == ["baseline: memory.json has 3 entries: 1 new, 1 removed"]
    assert file.tests() == [*TESTS[1:], "test_fit.py::test_wants"]
    assert notes(file.run()) == []


def test_what_a_test_no_longer_measures_is_an_orphan(file, project):
    project.write(test_fit=GATE.replace("tokens=500", "tokens=120"))
    assert notes(file.update()) == ["baseline: memory.json has 3 entries: 1 new, 1 removed"]
    assert file.entries()[0]["bucket"] == 128
    project.write(test_fit=GATE.replace("pytestmark = pytest.mark.af3_baseline", ""))
    assert notes(file.update()) == ["baseline: memory.json has 3 entries: nothing changed"]  # no test is held against it


def test_entries_for_other_targets_are_none_of_this_runs_business(file):
    file.update("--af3-target=a100-40gb")
    assert len(file.entries()) == 6
    file.run().assert_outcomes(passed=3)
    assert notes(file.run("--af3-target=a100-40gb")) == []


NOT_FULL = {
    "by name": ["-k", "fits"],
    "by mark": ["-m", "not slow"],
    "deselected": ["--deselect=test_fit.py::test_fits"],
    "a part of the file": ["test_fit.py::test_asks"],
    "a part of a file, and a file": ["test_other.py", "test_fit.py::test_asks"],
    "other file": ["test_other.py"],
    "ignored": ["--ignore=test_other.py"],
    "last failed": ["--lf"],
    "stopped": ["-x", "test_bad.py", "test_fit.py"],
    "stopped at the most failures": ["--maxfail=1", "test_bad.py", "test_fit.py"],
    "stepwise": ["--sw", "test_bad.py", "test_fit.py"],
    "a module does not import": ["--continue-on-collection-errors", "test_fit.py", "broken"],
    "a module is skipped": ["test_fit.py", "skipped"],
    "a shard": ["-p", "shard"],
    "pytest.exit": ["test_fit.py", "exiting"],
    "workers of pytest-xdist": ["-n2", "-k", "fits"],
    "a worker of pytest-xdist dies": ["-n2", "test_fit.py", "dying"],
}


@pytest.mark.parametrize("options", NOT_FULL.values(), ids=NOT_FULL)
def test_only_a_full_run_removes_orphans(file, project, options):
    file.add(test="test_fit.py::test_old")
    project.write(
        test_bad="def test_bad(): assert False",
        test_other="import pytest\n@pytest.mark.slow\ndef test_slow(): ...",
        shard="def pytest_collection_modifyitems(items): items[:] = items[::2]",
    )
    for folder, code in {
        "broken": "import no_such_module",
        "skipped": "import pytest\npytest.importorskip('no_such_module')",
        "exiting": "import pytest\ndef test_exit(): pytest.exit('enough')",
        "dying": "import os\ndef test_dies(): os._exit(1)",
    }.items():
        (project.path / folder).mkdir()
        (project.path / folder / f"test_{folder}.py").write_text(code)
    project.pytester.makeini(
        f"[pytest]\nmarkers = slow\nnorecursedirs = broken skipped exiting dying\npythonpath = {project.path}"
    )
    run = project.run
    if "-n2" in options:
        pytest.importorskip("xdist")
        run = project.run_apart
    result = run("--af3-baseline=memory.json", "--af3-update-baseline", *options)
    assert file.tests() == [TESTS[0], *TESTS[1:], "test_fit.py::test_old"]
    assert "removed" not in "".join(notes(result))


def test_a_run_of_whole_files_is_full_for_these_files(file, project):
    project.write(test_other=GATE)
    file.update()
    for test in ("test_fit.py::test_old", "test_other.py::test_old", "test_deleted.py::test_old"):
        file.add(test=test)
    assert [line.split()[3] for line in notes(file.run("test_fit.py"))] == ["test_fit.py::test_old"]
    file.update("test_fit.py")
    assert {test for test in file.tests() if test.endswith("old")} == {"test_other.py::test_old", "test_deleted.py::test_old"}
    file.update(str(project.path))
    assert file.tests() == sorted([*TESTS, *(test.replace("fit", "other", 1) for test in TESTS)])


def test_what_is_kept_is_told(file):
    file.add(test="test_fit.py::test_old")
    assert notes(file.run("-k", "fits")) == []
    assert notes(file.update("-k", "fits")) == [
        "baseline: memory.json has 4 entries: nothing changed",
        "baseline: 2 not used by this run, and kept, for the run was not full: 1 test was left out",
    ]


def test_tests_that_fail_or_are_skipped_have_no_orphans(file, project):
    project.write(test_fit=GATE.replace("gpu_peak(tokens=500)", "pytest.skip('not today')"))
    assert notes(file.run()) == []
    file.update()
    assert file.tests() == TESTS


def test_what_hypothesis_did_not_draw_is_no_orphan(file, project):
    project.write(
        test_fit="""
        import hypothesis
        import pytest

        pytestmark = pytest.mark.af3_baseline

        @hypothesis.settings(deadline=None, max_examples=5, database=None)
        @hypothesis.given(size=hypothesis.strategies.integers(90, 100))
        def test_asks(gpu_peak, size): gpu_peak(tokens=size)
        """
    )
    assert notes(file.update()) == ["baseline: memory.json has 2 entries: 1 new, 2 removed"]
    assert [(entry["test"], entry["bucket"]) for entry in file.entries()] == [(TESTS[0], 128), (TESTS[0], 512)]
    file.run().assert_outcomes(passed=1)
    file.path.write_text(file.path.read_text().replace('"total_bytes": 66688', '"total_bytes": 66687'))
    file.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    assert "is over the baseline of 65.12 KiB by 1 B (0.0 %) [90 tokens, bucket 128," in project.junit()["test_asks"]


def test_four_workers_of_xdist_lose_nothing(project):
    pytest.importorskip("xdist")
    sizes = range(60, 100)
    project.gate("af3_baseline", f"af3_tokens(*{list(sizes)})")
    options = "-n4", "--af3-baseline=memory.json"
    result = project.run_apart(*options, "--af3-update-baseline")
    result.assert_outcomes(passed=len(sizes))
    file = File(project)
    assert [entry["tokens"] for entry in file.entries()] == list(sizes)
    assert notes(result) == ["baseline: memory.json has 40 entries: 40 new"]
    file.add(test="test_fit.py::test_old")
    assert notes(project.run_apart(*options, "--af3-update-baseline")) == ["baseline: memory.json has 40 entries: 1 removed"]
    file.run().assert_outcomes(passed=len(sizes))


def test_groups_of_xdist_are_not_part_of_a_name(file, project):
    pytest.importorskip("xdist")
    project.write(
        test_fit=GATE.replace("= pytest.mark.af3_baseline", "= [pytest.mark.af3_baseline, pytest.mark.xdist_group('one')]")
    )
    result = project.run_apart("-n2", "--dist=loadgroup", "--af3-baseline=memory.json", "--af3-update-baseline")
    result.assert_outcomes(passed=3)
    assert notes(result) == ["baseline: memory.json has 3 entries: nothing changed"]


def test_a_place_that_cannot_be_written_fails_in_one_line(file, project):
    project.write(
        test_later="""
        import pathlib

        def test_breaks():
            pathlib.Path("memory.json").unlink()
            pathlib.Path("memory.json").mkdir()
        """
    )
    result = file.update()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [line for line in result.outlines if "cannot be read" in line] == [
        f"baseline {str(file.path)!r} cannot be read: Is a directory"
    ]
