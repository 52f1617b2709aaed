"""Tests that are held against the committed baseline: within, over, improved, and everything that cannot be judged."""

import json

import pytest

CONDITIONS = "[100 tokens, bucket 128, h100-80gb, compiled]"
PEAK = 66_688  # analytic_bytes(128)
NO_BASELINE = f"GPU peak not judged: no baseline: run with --af3-update-baseline {CONDITIONS}"


@pytest.fixture
def gate(project, before):
    """The project with a gate of one test, and its baseline; `run` changes the accepted entry by keyword before it runs."""

    class Gate:
        path = project.path / "memory.json"

        def write(self, marker=""):
            project.gate(f"af3_baseline{marker}", "af3_tokens(100)")

        def run(self, *options, **changes):
            if changes:
                report = json.loads(self.path.read_text())
                report["measurements"][0] |= changes
                self.path.write_text(json.dumps(report))
            return project.run("--af3-baseline=memory.json", "--junitxml=junit.xml", *options)

        def message(self, test="test_fits[100]"):
            return project.junit()[test]

        def row(self):
            (row,) = project.measurements()
            return row

    gate = Gate()
    gate.write()
    project.accept(before, passed=1)
    return gate


def test_at_the_baseline_passes(gate):
    gate.run().assert_outcomes(passed=1)
    row = gate.row()
    assert (row["verdict"], row["total_bytes"], row["baseline_bytes"], row["budget_bytes"]) == ("within", PEAK, PEAK, None)
    assert row["line"] == f"GPU peak 65.12 KiB is at the baseline of 65.12 KiB {CONDITIONS}"


def test_one_byte_over_the_baseline_fails_and_says_how_to_accept_it(gate, project):
    result = gate.run(total_bytes=PEAK - 1)
    result.assert_outcomes(failed=1)
    line = f"GPU peak 65.12 KiB is over the baseline of 65.12 KiB by 1 B (0.0 %) {CONDITIONS}"
    assert gate.message() == f"Failed: {line}"
    row = gate.row()
    assert (row["verdict"], row["baseline_bytes"], row["line"]) == ("over", PEAK - 1, line)
    assert row["baseline"]["total_bytes"] == PEAK - 1
    options = "--af3-gpu --af3-model=analytic:Analytic"
    accept = f"pytest 'test_fit.py::test_fits[100]' {options} --af3-path={project.models} --af3-baseline=memory.json"
    assert row["accept"] == f"{accept} --af3-cache-dir={project.cache} --af3-update-baseline"
    result.stdout.fnmatch_lines(
        ["  measure it again: af3mem measure *", "  accept it as the baseline: pytest *--af3-update-baseline"]
    )


@pytest.mark.parametrize(
    ("marker", "option", "allowed_bytes"),
    [
        ('(tolerance="1 KiB")', "--af3-tolerance=0", 1024),
        ("", "--af3-tolerance=1 KiB", 1024),
        ('(tolerance="1 %")', "", (PEAK - 660) // 100),
        ("(tolerance=0)", "--af3-tolerance=1 GiB", 0),
    ],
)
def test_exactly_at_the_tolerance_passes_and_one_byte_over_fails(gate, marker, option, allowed_bytes):
    gate.write(marker)
    gate.run(*filter(None, [option]), total_bytes=PEAK - allowed_bytes).assert_outcomes(passed=1)
    gate.run(*filter(None, [option]), total_bytes=PEAK - allowed_bytes - 1).assert_outcomes(failed=1)


def test_an_improvement_passes_and_says_so(gate):
    result = gate.run("-v", total_bytes=PEAK + 1024)
    result.assert_outcomes(passed=1)
    line = (
        f"GPU peak 65.12 KiB is below the baseline of 66.12 KiB by 1.00 KiB (1.5 %) {CONDITIONS}; improved, update the baseline"
    )
    assert (gate.row()["verdict"], gate.row()["improved"], gate.row()["line"]) == ("within", True, line)
    assert f"test_fit.py::test_fits[100]: {line}" in result.outlines
    gate.run("--af3-tolerance=1 KiB", total_bytes=PEAK + 1024)
    assert gate.row()["improved"] is False


def test_no_entry_fails(gate, project):
    project.write(test_other="import pytest\n@pytest.mark.af3_baseline\ndef test_any(gpu_peak): gpu_peak(tokens=100)")
    gate.run().assert_outcomes(passed=1, failed=1)
    assert gate.message("test_any") == f"Failed: {NO_BASELINE}"
    _, row = project.measurements()
    assert (row["verdict"], row["reason"]) == ("not judged", "no baseline: run with --af3-update-baseline")
    assert (row["total_bytes"], row["baseline_bytes"], row["baseline"]) == (PEAK, None, None)


def test_no_file_fails(gate):
    gate.path.unlink()
    result = gate.run()
    result.assert_outcomes(failed=1)
    assert gate.message() == f"Failed: {NO_BASELINE}"
    assert "af3mem: baseline memory.json, does not exist yet" in result.outlines
    assert not gate.path.exists()


def test_without_a_baseline_nothing_passes(project):
    project.gate("af3_baseline", "af3_tokens(100)")
    project.run("--junitxml=junit.xml").assert_outcomes(failed=1)
    reason = "no baseline to compare it with: name the file with --af3-baseline FILE"
    assert project.junit() == {"test_fits[100]": f"Failed: GPU peak not judged: {reason} {CONDITIONS}"}
    (row,) = project.measurements()
    assert (row["verdict"], row["reason"]) == ("not judged", reason)


@pytest.mark.parametrize(
    ("options", "changes", "difference", "conditions"),
    [
        (["--af3-target=a100-40gb"], {}, "target (h100-80gb, now a100-40gb)", CONDITIONS.replace("h100-80gb", "a100-40gb")),
        (["--af3-buckets=120"], {}, "bucket (128, now 120)", CONDITIONS.replace("128", "120")),
        ([], {"method": "run"}, "method (run, now compiled)", CONDITIONS),
        (
            [],
            {"model": {"name": "analytic", "distribution": "analytic 1.0", "config": {"width": 64}}, "settings": None},
            "setting width (64, now 32)",
            CONDITIONS,
        ),
        ([], {"settings": {"width": 32}}, "setting width (32, now none)", CONDITIONS),
    ],
)
def test_an_entry_of_other_conditions_is_not_judged(gate, options, changes, difference, conditions):
    gate.run(*options, **changes).assert_outcomes(failed=1)
    reason = f"the baseline is of another {difference}: run with --af3-update-baseline"
    assert gate.message() == f"Failed: GPU peak not judged: {reason} {conditions}"
    assert (gate.row()["verdict"], gate.row()["reason"], gate.row()["baseline_bytes"]) == ("not judged", reason, None)


def test_an_entry_of_other_versions_is_judged_and_they_are_named(gate):
    software = gate.row()["software"]
    gate.run(software=software | {"jax": "0.4.0"}).assert_outcomes(passed=1)
    jax = f"the baseline is of jax 0.4.0, now {software['jax']}"
    assert gate.row()["line"].endswith(f"{CONDITIONS}; {jax}")
    result = gate.run(total_bytes=PEAK - 1)
    result.assert_outcomes(failed=1)
    assert gate.message().endswith(f"is over the baseline of 65.12 KiB by 1 B (0.0 %) {CONDITIONS}; {jax}")
    result.stdout.fnmatch_lines([f"  {jax}"])


def test_a_budget_and_a_baseline_on_one_measurement(gate, project):
    project.gate("af3_baseline", 'af3_budget("64 KiB")', "af3_tokens(100)")
    gate.run(total_bytes=PEAK - 1).assert_outcomes(failed=1)
    line = (
        "GPU peak 65.12 KiB is over the budget of 64.00 KiB by 1.12 KiB (1.8 %) "
        f"and over the baseline of 65.12 KiB by 1 B (0.0 %) {CONDITIONS}"
    )
    assert gate.message() == f"Failed: {line}"
    assert (gate.row()["budget_bytes"], gate.row()["baseline_bytes"], gate.row()["verdict"]) == (65_536, PEAK - 1, "over")
    gate.run(total_bytes=PEAK).assert_outcomes(failed=1)
    assert gate.message() == f"Failed: GPU peak 65.12 KiB is over the budget of 64.00 KiB by 1.12 KiB (1.8 %) {CONDITIONS}"


def test_a_test_without_the_marker_is_not_held_against_the_baseline(gate, project):
    project.write(test_fit="def test_fits(gpu_peak): gpu_peak(tokens=100)")
    gate.run().assert_outcomes(passed=1)
    assert (gate.row()["verdict"], gate.row()["baseline_bytes"]) == (None, None)


def test_a_marker_on_a_test_that_measures_nothing(gate, project):
    project.write(test_fit="import pytest\n@pytest.mark.af3_baseline\ndef test_fits(gpu_peak): ...")
    gate.run().assert_outcomes(failed=1)
    assert gate.message("test_fits") == "Failed: GPU peak not judged: the test has a baseline, but it never called gpu_peak"
    project.write(test_fit="import pytest\n@pytest.mark.af3_baseline\ndef test_fits(): ...")
    result = gate.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_fit.py::test_fits: af3_baseline has no size to measure: add af3_tokens(...), *"])


def test_a_worker_that_dies_is_not_judged(project):
    project.gate("af3_baseline", "af3_tokens(100)", 'af3_model(does="exit")')
    options = "--af3-baseline=memory.json", "--af3-update-baseline", "--junitxml=junit.xml"
    result = project.run(*options, model="misbehaving:Misbehaving")
    result.assert_outcomes(failed=1)
    reason = "the worker died (exit status 7)"
    assert project.junit() == {"test_fits[100]": f"Failed: GPU peak not judged: {reason} {CONDITIONS}"}
    (row,) = project.measurements()
    assert (row["verdict"], row["reason"], row["total_bytes"], row["baseline_bytes"]) == ("not judged", reason, None, None)
    assert not (project.path / "memory.json").exists()


def test_a_kernel_that_falls_back_is_told_first_and_then_what_grew(cold_project):
    """The model's own source is edited between two runs, as it is before a merge: an operation is left to XLA."""
    checkout = cold_project.path / "checkout"
    checkout.mkdir()
    for name in ("analytic.py", "fused.py"):
        (checkout / name).write_text((cold_project.models / name).read_text())
    cold_project.gate("af3_baseline", "af3_tokens(100)")

    def run(*options):
        stated = ("--af3-path=checkout", "--af3-baseline=memory.json", "--junitxml=junit.xml")
        return cold_project.run_apart(*stated, *options, model="fused:Fused")

    run("--af3-update-baseline").assert_outcomes(passed=1)
    (row,) = cold_project.measurements()
    (entry,) = json.loads((cold_project.path / "memory.json").read_text())["measurements"]
    assert (entry["total_bytes"], entry["kernels"]) == (row["total_bytes"], {"triton": 1, "xla_fallbacks": [], "mosaic": 0})
    assert sum(entry["components"].values()) == entry["total_bytes"] < 2048

    edited = (checkout / "fused.py").read_text().replace('IMPLEMENTATION = "pallas_triton"', 'IMPLEMENTATION = "base"')
    (checkout / "fused.py").write_text(edited)
    result = run()
    result.assert_outcomes(failed=1)
    (row,) = cold_project.measurements()
    assert row["kernels"] == {"triton": 0, "xla_fallbacks": ["pair_sums in pair_stack"], "mosaic": 0}
    assert (row["verdict"], row["total_bytes"], row["baseline_bytes"]) == ("over", PEAK, entry["total_bytes"])
    assert cold_project.junit()["test_fits[100]"] == f"Failed: {row['line']}"
    section = result.stdout.str().partition("- GPU memory of AlphaFold 3 -")[2].splitlines()[1:]
    assert section[:3] == ["fell back from a kernel to XLA: pair_sums in pair_stack", "fewer Triton kernels: 1 -> 0", row["line"]]
    heading = section.index("  what grew or shrank against the baseline, at the peak:")
    assert section[heading + 1].split() == "+64.00 KiB pair_stack new, 64.00 KiB".split()


def test_the_file_is_named_in_the_ini_file_from_its_folder(gate, project, monkeypatch):
    project.pytester.makeini("[pytest]\naf3_baseline = memory.json\naf3_tolerance = 1 KiB")
    (project.path / "deeper").mkdir()
    monkeypatch.chdir(project.path / "deeper")
    project.run("..").assert_outcomes(passed=1)
    rows = json.loads((project.path / "deeper" / "report.json").read_text())["measurements"]
    assert [row["baseline_bytes"] for row in rows] == [PEAK]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ('{"schema": 7}', "schema: 7 is newer than the 1 that this pytest-af3mem reads: upgrade it"),
        ("<<<<<<< HEAD\n", "has a merge conflict in line 1: take one side, then run with --af3-update-baseline"),
        ('{"schema": 1, "measurements": [{"test": 5}]}', "measurements[0].tokens: is missing"),
    ],
)
@pytest.mark.parametrize("update", [(), ("--af3-update-baseline",)])
def test_a_damaged_file_is_one_line_and_stays_as_it_is(gate, text, rule, update):
    gate.path.write_text(text)
    result = gate.run(*update)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, result.errlines)
    assert line.startswith("ERROR: baseline '")
    assert line.endswith(f"memory.json': {rule}")
    assert gate.path.read_text() == text


def test_options_that_cannot_be(project):
    def refused(*options):
        result = project.run(*options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        return [line for line in result.errlines if line]

    (line,) = refused("--af3-update-baseline")
    assert line == "ERROR: --af3-update-baseline needs to know the file: --af3-baseline FILE"
    (line,) = refused("--af3-baseline=no/such/memory.json")
    assert line == "ERROR: baseline 'no/such/memory.json': its folder does not exist"
