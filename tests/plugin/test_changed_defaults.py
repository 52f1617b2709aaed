"""A baseline belongs to what was stated: a changed default of the model is judged. And ways to accept what a red run measured."""

import json
import shutil

import pytest

GATE = """
    import pytest

    pytestmark = [pytest.mark.af3_baseline, pytest.mark.af3_tokens(100)]

    def test_default(): ...

    @pytest.mark.af3_model(width=32)
    def test_stated(): ...
"""
CONDITIONS = "[100 tokens, bucket 128, h100-80gb, compiled]"
NEW = "report-new-baseline.json"


class Gate:
    """A project that measures a checkout of analytic.py, whose default width may be edited, and its accepted peaks."""

    def __init__(self, project):
        self.project = project
        self.file, self.new = project.path / "memory.json", project.path / NEW
        self.checkout = project.path / "checkout"
        self.checkout.mkdir()
        self.default(32)

    def default(self, width):
        text = (self.project.models / "analytic.py").read_text()
        (self.checkout / "analytic.py").write_text(text.replace('settings.get("width", 32)', f'settings.get("width", {width})'))

    def run(self, *options):
        return self.project.run("--af3-path=checkout", "--af3-baseline=memory.json", "--junitxml=junit.xml", *options)

    def rewrite(self, change):
        """Changes each accepted entry."""
        document = json.loads(self.file.read_text())
        for entry in document["measurements"]:
            change(entry)
        self.file.write_text(json.dumps(document))

    def totals(self, file):
        return {entry["test"].partition("::")[2]: entry["total_bytes"] for entry in json.loads(file.read_text())["measurements"]}


@pytest.fixture
def gate(project, before):
    gate = Gate(project)
    project.write(test_fit=GATE)
    project.accept(before, "--af3-path=checkout", passed=2)
    return gate


def notes(result):
    return [line for line in result.outlines if line.startswith(("baseline: ", "new baseline: ", "the model's "))]


def test_a_changed_default_is_judged_and_named_and_the_file_that_accepts_it_lies_beside_the_report(gate, project):
    accepted = gate.file.read_text()
    gate.default(64)
    result = gate.run()
    result.assert_outcomes(failed=1, passed=1)
    line = f"GPU peak 65.25 KiB is over the baseline of 65.12 KiB by 128 B (0.2 %) {CONDITIONS}; the model's width is 64, was 32"
    assert project.junit() == {"test_default[100]": f"Failed: {line}", "test_stated[100]": None}
    row, stated = project.measurements()
    assert (row["settings"], row["model"]["config"], row["baseline"]["model"]["config"]) == ({}, {"width": 64}, {"width": 32})
    assert (stated["settings"], stated["baseline"]["settings"], stated["accept_all"]) == ({"width": 32}, {"width": 32}, None)
    copy = f"cp {NEW} memory.json"
    result.stdout.fnmatch_lines(["  accept it as the baseline: pytest *--af3-update-baseline", f"  or all of this run: {copy}"])
    assert notes(result) == [
        "the model's width is 64, was 32, in the baseline of 1 measurement",
        f"new baseline: {NEW} has 2 entries: 1 changed; accept it: {copy}, or --af3-update-baseline",
    ]
    assert gate.file.read_text() == accepted
    assert gate.totals(gate.new) == {"test_default[100]": 66_816, "test_stated[100]": 66_688}

    shutil.copy(gate.new, gate.file)
    result = gate.run()
    result.assert_outcomes(passed=2)
    assert (notes(result), gate.new.exists()) == ([], False)


def test_a_setting_that_a_test_states_now_is_another_question(gate, project):
    project.write(test_fit=GATE.replace("def test_default", "@pytest.mark.af3_model(width=64)\n    def test_default"))
    gate.run().assert_outcomes(failed=1, passed=1)
    reason = "the baseline is of another setting width (none, now 64): run with --af3-update-baseline"
    assert project.junit()["test_default[100]"] == f"Failed: GPU peak not judged: {reason} {CONDITIONS}"


def test_what_an_earlier_version_wrote_is_found_by_the_whole_config_and_rewritten(gate, project):
    written = gate.file.read_text()
    gate.rewrite(lambda entry: entry.pop("settings"))
    result = gate.run()
    result.assert_outcomes(passed=2)
    told, offered = notes(result)
    assert told == (
        "baseline: 2 entries of memory.json do not say what was stated, and a changed default of the model is not judged: "
        "--af3-update-baseline writes them anew"
    )
    assert gate.new.read_text() == written
    assert offered.startswith(f"new baseline: {NEW} has 2 entries: 2 changed; accept it: ")
    gate.default(64)
    gate.run("-k", "default").assert_outcomes(failed=1)
    reason = "the baseline is of another setting width (32, now 64): run with --af3-update-baseline"
    assert project.junit() == {"test_default[100]": f"Failed: GPU peak not judged: {reason} {CONDITIONS}"}
    gate.default(32)
    assert notes(gate.run("--af3-update-baseline")) == ["baseline: memory.json has 2 entries: 2 changed"]
    assert gate.file.read_text() == written


OTHERS = """
    import pytest

    pytestmark = [pytest.mark.af3_baseline, pytest.mark.af3_tokens(100)]

    def test_asserts(gpu_peak):
        gpu_peak()
        assert False

    @pytest.mark.af3_budget("1 KiB")
    def test_too_large(): ...

    @pytest.mark.xfail
    def test_expected(): ...
"""


@pytest.mark.parametrize("how", ["in this process", "by workers of pytest-xdist"])
def test_the_new_baseline_has_what_failed_against_the_old_alone_and_keeps_all_others(gate, project, how):
    project.write(test_others=OTHERS)
    less = 60_000
    gate.rewrite(lambda entry: entry.update(total_bytes=less))
    document = json.loads(gate.file.read_text())
    first = document["measurements"][0]
    names = ("asserts", "too_large", "expected")
    document["measurements"] += [first | {"test": f"test_others.py::test_{name}[100]"} for name in names]
    gate.file.write_text(json.dumps(document))
    before = gate.file.read_bytes()
    stated = ("--af3-new-baseline=accepted/memory.json", "-k", "not stated")
    if how == "in this process":
        result = gate.run(*stated)
    else:
        pytest.importorskip("xdist")
        result = project.run_apart("--af3-path=checkout", "--af3-baseline=memory.json", "-n2", *stated)
    result.assert_outcomes(failed=3, xfailed=1)
    totals = gate.totals(project.path / "accepted" / "memory.json")
    assert totals == {
        "test_default[100]": 66_688,
        "test_stated[100]": less,
        **{f"test_{name}[100]": less for name in names},
    }
    assert gate.file.read_bytes() == before
    assert not gate.new.exists()
    accepted = {row["test"] for row in project.measurements() if row["accept_all"]}
    assert accepted - {"test_others.py::test_expected[100]"} == {"test_fit.py::test_default[100]"}
    assert notes(result)[0].startswith("new baseline: accepted/memory.json has 5 entries: 1 changed; accept it: cp accepted/")
    assert [line.split()[2] for line in notes(result)[1:]] == [f"test_others.py::test_{name}[100]" for name in sorted(names)]


def test_the_first_baseline_is_offered_too(gate):
    written = gate.file.read_text()
    gate.file.unlink()
    gate.run().assert_outcomes(failed=2)
    assert gate.new.read_text() == written
    assert not gate.file.exists()


def test_a_gain_is_red_where_that_is_asked_for(gate, project):
    gate.rewrite(lambda entry: entry.update(total_bytes=66_688 + 1024))
    assert gate.run("--af3-tolerance-below=1 KiB").ret == 0
    result = gate.run("--af3-tolerance-below=1023")
    result.assert_outcomes(failed=2)
    line = (
        "GPU peak 65.12 KiB is below the baseline of 66.12 KiB by 1.00 KiB (1.5 %), "
        f"more than --af3-tolerance-below 1023 B: accept the gain {CONDITIONS}"
    )
    assert project.junit()["test_default[100]"] == f"Failed: {line}"
    assert {row["verdict"] for row in project.measurements()} == {"below"}
    result.stdout.fnmatch_lines(["FAILED *- 1.00 KiB below the baseline*"])
    assert gate.totals(gate.new) == {"test_default[100]": 66_688, "test_stated[100]": 66_688}
    gate.run("--af3-tolerance-below=1023", "--af3-update-baseline").assert_outcomes(passed=2)
    gate.run("--af3-tolerance-below=0").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--af3-new-baseline=new.json"], "--af3-new-baseline needs to know the accepted one: --af3-baseline FILE"),
        (
            ["--af3-new-baseline=memory.json", "--af3-baseline=memory.json"],
            "--af3-baseline and --af3-new-baseline name the same file 'memory.json': give each its own",
        ),
        (
            [f"--af3-baseline={NEW}"],
            f"--af3-baseline and --af3-new-baseline name the same file '{NEW}': give each its own",
        ),
        (
            ["--af3-against=/usr", "--af3-tolerance-below=0"],
            "--af3-tolerance-below is of --af3-baseline, and --af3-against accepts nothing: leave one out",
        ),
    ],
)
def test_options_that_cannot_be(project, options, line):
    result = project.run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {line}"])
