"""Records of GPUs: written, read, held against. Numbers are invented."""

import dataclasses
import datetime
import json

import pytest

from pytest_af3mem.errors import NotJudged, SetupError
from pytest_af3mem.planning.calibrate import CompiledAndRun, record
from pytest_af3mem.records import calibration
from pytest_af3mem.records.calibration import Calibration, Point
from pytest_af3mem.records.peak import Phase, Phases

SOFTWARE = {"jax": "0.10.2", "jaxlib": "0.10.2", "tokamax": "0.0.12"}
POINTS = (Point(256, 256, 1000, 1001, 1002, 1002, 2000, 2500), Point(1024, 1024, 4000, 4000, 4040, 4040, 5000, None))
RECORD = Calibration("h100-80gb", "NVIDIA H100 80GB HBM3", "570.1", "2026-11-24", "alphafold3-colabfold 3.1.18", SOFTWARE, POINTS)
LINE = (
    "h100-80gb: the GPU took +0.20 to +1.00 % of what was compiled "
    "(256 to 1024 tokens, alphafold3-colabfold 3.1.18, jax 0.10.2, driver 570.1, 2026-11-24)"
)


def test_written_and_read(tmp_path):
    path = calibration.write(tmp_path / "new", RECORD)
    assert path.name == "h100-80gb.json"
    assert calibration.read([tmp_path / "new", tmp_path / "none"]) == ([RECORD], [])
    slice_ = dataclasses.replace(RECORD, target="h100-80gb/1g.10gb")
    assert calibration.write(tmp_path, slice_).name == "h100-80gb-1g.10gb.json"


def test_other_sizes_of_the_same_day_are_kept(tmp_path):
    small, large = (dataclasses.replace(RECORD, points=(point,)) for point in POINTS)
    assert calibration.joined(tmp_path, large) == large
    calibration.write(tmp_path, large)
    assert calibration.joined(tmp_path, small) == RECORD
    measured_again = dataclasses.replace(large, points=(dataclasses.replace(POINTS[1], allocator_bytes=4041),))
    assert calibration.joined(tmp_path, measured_again) == measured_again


@pytest.mark.parametrize("change", [{"date": "2026-11-25"}, {"driver": "580"}, {"software": {**SOFTWARE, "jax": "0.11.0"}}])
def test_sizes_under_other_conditions_are_not_mixed(tmp_path, change):
    calibration.write(tmp_path, RECORD)
    other = dataclasses.replace(RECORD, points=POINTS[:1], **change)
    assert calibration.joined(tmp_path, other) == other


def test_of_one_target_the_later_counts(tmp_path):
    later = dataclasses.replace(RECORD, date="2026-12-01")
    for name, one in (("a", later), ("b", RECORD)):
        calibration.write(tmp_path / name, one)
    assert calibration.read([tmp_path / "a", tmp_path / "b"])[0] == [later]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not valid JSON: "),
        ("{}", "schema: is missing"),
        (json.dumps({**RECORD.to_json(), "schema": 2}), "schema: 2 is not 1"),
        (json.dumps({**RECORD.to_json(), "sizes": []}), "sizes: must not be empty"),
        (json.dumps({**RECORD.to_json(), "card": 1}), "card: 'card' is not a key here"),
    ],
)
def test_a_record_that_cannot_be_read_is_said(tmp_path, text, problem):
    (tmp_path / "x.json").write_text(text)
    found, (line,) = calibration.read([tmp_path])
    assert found == []
    assert line.startswith(f"calibration {tmp_path / 'x.json'} is not used: {problem}")


def test_a_record_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"cannot be written \(Not a directory\): choose another with --into$"):
        calibration.write(tmp_path / "file" / "folder", RECORD)


def test_expectation():
    assert str(RECORD) == LINE
    assert calibration.expectation("h100-80gb", [RECORD], SOFTWARE) == LINE
    assert calibration.expectation("h100-80gb", [RECORD], {**SOFTWARE, "jax": "0.11.0"}) == f"{LINE}; that was with jax 0.10.2"


def test_without_a_record_it_says_so():
    assert calibration.expectation("l4-24gb", [RECORD], SOFTWARE) == (
        "l4-24gb: no GPU of it was read yet (af3mem calibrate, on one); docs/truth.md has what published peaks support"
    )


def test_a_record_is_made_of_whole_pairs(a_peak, a_run, a_request):
    compiled, run = a_peak(total_bytes=1000), a_run(allocator_bytes=1002, process_bytes=2500)
    read = run.run
    whole, half = (
        CompiledAndRun(a_request(), compiled, run),
        CompiledAndRun(a_request(), compiled, NotJudged("no GPU is visible")),
    )
    made = record([half, whole], datetime.date(2026, 11, 24))
    assert made.points == (Point(1000, 1024, 1000, run.program_bytes, 1002, read.steady_peak_bytes, read.pool_bytes, 2500),)
    assert (made.target, made.device, made.driver, made.date) == ("h100-80gb", read.device, read.driver, "2026-11-24")
    assert (whole.is_whole, whole.problems, half.is_whole) == (True, [], False)
    assert half.problems == ["GPU peak not judged: no GPU is visible [1000 tokens, bucket 1024, h100-80gb, compiled]"]
    assert record([half], datetime.date(2026, 11, 24)) is None


def test_a_record_has_the_phases_of_both_processes(a_peak, a_run, a_request, tmp_path):
    cold, warm = (Phases(*[Phase(10, peak)] * 6, steady_peak_bytes=peak) for peak in (1100, 1000))
    run = a_run(dataclasses.replace(a_run().run, cold=cold, warm=warm), allocator_bytes=1100)
    made = record([CompiledAndRun(a_request(), a_peak(), run)], datetime.date(2026, 11, 24))
    calibration.write(tmp_path, made)
    (point,) = json.loads((tmp_path / "h100-80gb.json").read_text())["sizes"]
    phased = point["by_phase"]
    assert (phased["compile_bytes"], phased["warm_gap_bytes"]) == (100, 1000 - run.program_bytes)
    assert (phased["cold"]["compile"], phased["warm"]["compile"]) == (
        {"in_use_bytes": 10, "peak_bytes": 1100},
        {"in_use_bytes": 10, "peak_bytes": 1000},
    )
    assert calibration.read([tmp_path]) == ([made], [])


def test_a_record_from_before_phases_were_read(tmp_path):
    old = RECORD.to_json()
    for point in old["sizes"]:
        del point["by_phase"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert calibration.read([tmp_path]) == ([RECORD], [])


def test_beside_what_was_compiled(a_measurement, a_run, tmp_path):
    compiled, run = a_measurement(), a_measurement(peak=a_run(), method="run")
    none = calibration.expectation("h100-80gb", [], {})
    assert calibration.beside([compiled, compiled], tmp_path) == [none]
    assert (
        calibration.beside([run], tmp_path)
        == calibration.beside([compiled, run], tmp_path)
        == calibration.beside([], tmp_path)
        == []
    )
    calibration.write(tmp_path / "calibration", RECORD)
    (tmp_path / "calibration" / "torn.json").write_text("{")
    line, problem = calibration.beside([compiled], tmp_path)
    assert line.startswith("h100-80gb: the GPU took +0.20 to +1.00 % of what was compiled")
    assert "torn.json is not used" in problem
