import dataclasses
import json

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.size import read_tolerance
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Model
from pytest_af3mem.records.verdict import Outcome, Reference, Verdict, judge, not_judged

GIB = 2**30
CONDITIONS = "[1000 tokens, bucket 1024, h100-80gb, compiled]"


@pytest.mark.parametrize(
    ("total_bytes", "outcome", "text"),
    [
        (40 * GIB, Outcome.WITHIN, "GPU peak 40.00 GiB is within the budget of 40.00 GiB with 0 B (0.0 %) to spare"),
        (40 * GIB + 1, Outcome.OVER, "GPU peak 40.00 GiB is over the budget of 40.00 GiB by 1 B (0.0 %)"),
        (30 * GIB, Outcome.WITHIN, "GPU peak 30.00 GiB is within the budget of 40.00 GiB with 10.00 GiB (25.0 %) to spare"),
        (44_914_620_498, Outcome.OVER, "GPU peak 41.83 GiB is over the budget of 40.00 GiB by 1.83 GiB (4.6 %)"),
    ],
)
def test_judge(a_peak, total_bytes, outcome, text):
    verdict = judge(a_peak(total_bytes=total_bytes), 40 * GIB)
    assert verdict == Verdict(outcome, f"{text} {CONDITIONS}", None, 40 * GIB)
    assert judge(a_peak(), 0).line == f"GPU peak 8.00 GiB is over the budget of 0 B by 8.00 GiB {CONDITIONS}"


ENTRY = 40 * GIB


@pytest.fixture
def against(a_peak):
    """The verdict on a peak of `total_bytes` against a baseline of 40 GiB."""

    def run(total_bytes, tolerance="0", budget_bytes=None, software=None, **how):
        entry = Entry.of("t", a_peak(total_bytes=ENTRY, software=software or a_peak().software))
        reference = Reference(**{"entry": entry, "tolerance": read_tolerance(tolerance, "tolerance"), **how})
        return judge(a_peak(total_bytes=total_bytes), budget_bytes, reference)

    return run


@pytest.mark.parametrize(
    ("total_bytes", "tolerance", "outcome", "text"),
    [
        (ENTRY, "0", Outcome.WITHIN, "GPU peak 40.00 GiB is at the baseline of 40.00 GiB {}"),
        (ENTRY + 1, "0", Outcome.OVER, "GPU peak 40.00 GiB is over the baseline of 40.00 GiB by 1 B (0.0 %) {}"),
        (44_914_620_498, "0", Outcome.OVER, "GPU peak 41.83 GiB is over the baseline of 40.00 GiB by 1.83 GiB (4.6 %) {}"),
        (
            ENTRY + 64 * 2**20,
            "64 MiB",
            Outcome.WITHIN,
            "GPU peak 40.06 GiB is within 64.00 MiB of the baseline of 40.00 GiB, above by 64.00 MiB (0.2 %) {}",
        ),
        (
            ENTRY + 64 * 2**20 + 1,
            "64 MiB",
            Outcome.OVER,
            "GPU peak 40.06 GiB is over the baseline of 40.00 GiB by 64.00 MiB (0.2 %), more than its tolerance of 64.00 MiB {}",
        ),
        (
            ENTRY + 214_748_364,
            "0.5 %",
            Outcome.WITHIN,
            "GPU peak 40.20 GiB is within 0.5 % of the baseline of 40.00 GiB, above by 204.80 MiB (0.5 %) {}",
        ),
        (
            ENTRY + 214_748_365,
            "0.5 %",
            Outcome.OVER,
            "GPU peak 40.20 GiB is over the baseline of 40.00 GiB by 204.80 MiB (0.5 %), more than its tolerance of 0.5 % {}",
        ),
        (
            ENTRY - 64 * 2**20,
            "64 MiB",
            Outcome.WITHIN,
            "GPU peak 39.94 GiB is within 64.00 MiB of the baseline of 40.00 GiB, below by 64.00 MiB (0.2 %) {}",
        ),
    ],
)
def test_judge_against_a_baseline(against, total_bytes, tolerance, outcome, text):
    assert against(total_bytes, tolerance) == Verdict(outcome, text.format(CONDITIONS), baseline_bytes=ENTRY)


def test_an_improvement_passes_and_says_so(against):
    verdict = against(ENTRY - 64 * 2**20 - 1, "64 MiB")
    line = (
        f"GPU peak 39.94 GiB is below the baseline of 40.00 GiB by 64.00 MiB (0.2 %) {CONDITIONS}; improved, update the baseline"
    )
    assert verdict == Verdict(Outcome.WITHIN, line, baseline_bytes=ENTRY, improved=True)


@pytest.mark.parametrize(
    ("less", "tolerance", "outcome"),
    [(0, "0", Outcome.WITHIN), (1, "0", Outcome.BELOW), (64 * 2**20, "64 MiB", Outcome.WITHIN), (GIB, "1 %", Outcome.BELOW)],
)
def test_a_gain_has_to_be_accepted_where_that_is_asked_for(against, less, tolerance, outcome):
    below = read_tolerance(tolerance, "tolerance")
    assert against(ENTRY - less, "2 GiB", tolerance_below=below).outcome is outcome
    assert against(ENTRY - less, "2 GiB", tolerance_below=below, accepting=True).outcome is Outcome.WITHIN


def test_the_line_of_a_gain(against):
    how = {"tolerance_below": read_tolerance("1 %", "tolerance")}
    line = "GPU peak 39.00 GiB is below the baseline of 40.00 GiB by 1.00 GiB (2.5 %), more than --af3-tolerance-below 1 %"
    expected = Verdict(Outcome.BELOW, f"{line}: accept the gain {CONDITIONS}", baseline_bytes=ENTRY, improved=True)
    assert against(39 * GIB, **how) == expected
    assert against(39 * GIB, budget_bytes=50 * GIB, **how) == dataclasses.replace(expected, budget_bytes=50 * GIB)
    assert against(39 * GIB, budget_bytes=GIB, **how).outcome is Outcome.OVER


def test_what_the_model_sets_otherwise_by_default_is_named(a_peak):
    def line(settings, total_bytes=ENTRY + 1):
        entry = Entry.of("t", a_peak(total_bytes=ENTRY, model=Model("m", "d", "f", {"num_samples": 5})), settings)
        peak = a_peak(total_bytes=total_bytes, model=Model("m", "d", "f", {"num_samples": 6}))
        return judge(dataclasses.replace(peak, software=a_peak().software), None, Reference(entry)).line

    assert line({}) == (
        f"GPU peak 40.00 GiB is over the baseline of 40.00 GiB by 1 B (0.0 %) {CONDITIONS}; the model's num_samples is 6, was 5"
    )
    assert line({}, ENTRY).endswith("; the model's num_samples is 6, was 5")
    assert "num_samples" not in line(None)


def test_other_versions_are_named(against):
    software = {"python": "3.12.1", "jax": "0.9.0", "cuda_plugin": "jax-cuda12-plugin 0.10.2", "xla_flags": ""}
    differences = "jax 0.9.0, now 0.10.2; xla_flags none, now --xla_gpu_autotune_level=0"
    for total_bytes in ENTRY, ENTRY + 1, ENTRY - 1:
        assert against(total_bytes, software=software).line.endswith(f"; the baseline is of {differences}")


def test_what_no_baseline_can_judge(against):
    reason = "no baseline: run with --af3-update-baseline"
    expected = Verdict(Outcome.NOT_JUDGED, f"GPU peak not judged: {reason} {CONDITIONS}", reason)
    assert against(5, entry=None, reason=reason) == expected
    assert against(5, entry=None, reason=reason, budget_bytes=5) == dataclasses.replace(expected, budget_bytes=5)


def test_of_two_verdicts_the_worse_counts(against):
    both = against(41 * GIB, budget_bytes=20 * GIB)
    assert both.line == (
        "GPU peak 41.00 GiB is over the budget of 20.00 GiB by 21.00 GiB (105.0 %) "
        f"and over the baseline of 40.00 GiB by 1.00 GiB (2.5 %) {CONDITIONS}"
    )
    assert (both.outcome, both.budget_bytes, both.baseline_bytes) == (Outcome.OVER, 20 * GIB, ENTRY)
    assert against(41 * GIB, budget_bytes=50 * GIB).line == against(41 * GIB).line
    assert against(40 * GIB, budget_bytes=20 * GIB).line == (
        f"GPU peak 40.00 GiB is over the budget of 20.00 GiB by 20.00 GiB (100.0 %) {CONDITIONS}"
    )
    assert against(40 * GIB, budget_bytes=50 * GIB).line == (
        "GPU peak 40.00 GiB is within the budget of 50.00 GiB with 10.00 GiB (20.0 %) to spare "
        f"and at the baseline of 40.00 GiB {CONDITIONS}"
    )
    lost = against(40 * GIB, budget_bytes=20 * GIB, entry=None, reason="no baseline")
    assert (lost.outcome, lost.reason) == (Outcome.OVER, "no baseline")
    assert lost.line.endswith(f"{CONDITIONS}; no baseline")


@pytest.mark.parametrize(
    ("total_bytes", "text"),
    [
        (41 * GIB, "GPU peak 41.00 GiB is accepted as the baseline, above the one before of 40.00 GiB by 1.00 GiB (2.5 %)"),
        (39 * GIB, "GPU peak 39.00 GiB is accepted as the baseline, below the one before of 40.00 GiB by 1.00 GiB (2.5 %)"),
        (40 * GIB, "GPU peak 40.00 GiB is accepted as the baseline, as before"),
    ],
)
def test_what_is_accepted_is_within(against, total_bytes, text):
    assert against(total_bytes, accepting=True) == Verdict(Outcome.WITHIN, f"{text} {CONDITIONS}", baseline_bytes=ENTRY)
    first = against(40 * GIB, accepting=True, entry=None, reason="no baseline")
    assert first == Verdict(Outcome.WITHIN, f"GPU peak 40.00 GiB is accepted as the first baseline {CONDITIONS}")
    assert against(total_bytes, accepting=True, budget_bytes=GIB).outcome is Outcome.OVER


def test_the_way_to_accept_is_told_where_the_baseline_refuses(a_request, a_peak):
    def accept(total_bytes, **how):
        entry = Entry.of("t", a_peak(total_bytes=ENTRY))
        reference = Reference(entry, accept="pytest --af3-update-baseline")
        return Measurement.of("t", a_request(), a_peak(total_bytes=total_bytes), reference=reference, **how).accept

    assert accept(ENTRY + 1) == accept(ENTRY + 1, budget_bytes=1) == "pytest --af3-update-baseline"
    assert accept(ENTRY) is accept(ENTRY, budget_bytes=1) is None


def test_all_of_the_run_can_be_accepted_where_nothing_but_the_baseline_refuses(a_request, a_peak):
    def accept_all(total_bytes, entry=None, **how):
        reference = Reference(entry, reason="no baseline", accept="pytest", accept_all="cp new.json memory.json")
        return Measurement.of("t", a_request(), a_peak(total_bytes=total_bytes), reference=reference, **how).accept_all

    entry = Entry.of("t", a_peak(total_bytes=ENTRY))
    assert accept_all(ENTRY + 1, entry) == accept_all(ENTRY + 1, entry, budget_bytes=2 * ENTRY) == "cp new.json memory.json"
    assert accept_all(ENTRY) == "cp new.json memory.json"
    assert accept_all(ENTRY, entry) is accept_all(ENTRY + 1, entry, budget_bytes=ENTRY) is None


def test_not_judged_says_why():
    line = f"GPU peak not judged: the worker died (SIGSEGV) {CONDITIONS}"
    reason = "the worker died (SIGSEGV)"
    assert not_judged(reason, CONDITIONS, 5) == Verdict(Outcome.NOT_JUDGED, line, reason, 5)


@pytest.mark.parametrize(
    "changes", [{}, {"verdict": None, "command": None}, {"peak": None, "verdict": not_judged("timed out", CONDITIONS, GIB)}]
)
def test_json_round_trip(a_measurement, changes):
    measurement = a_measurement(**changes, accept="pytest --af3-update-baseline")
    if measurement.verdict and measurement.peak:
        measurement = dataclasses.replace(
            measurement,
            baseline=Entry.of("t", measurement.peak),
            verdict=Verdict(Outcome.WITHIN, "line", baseline_bytes=5, improved=True),
        )
    again = Measurement.from_json(json.loads(json.dumps(measurement.to_json())))
    assert again == measurement
    assert again.to_json() == measurement.to_json()


@pytest.mark.parametrize("budget_bytes", [None, 9 * GIB])
def test_of_an_answer(a_request, a_peak, budget_bytes):
    place = {"test": "t", "tokens": 1000, "bucket": 1024, "target": "h100-80gb", "method": "compiled", "command": "again"}
    peak, verdict = a_peak(), budget_bytes and judge(a_peak(), budget_bytes)
    found = Measurement.of("t", a_request(), peak, budget_bytes=budget_bytes, command="again")
    assert found == Measurement(**place, peak=peak, verdict=verdict)
    lost = NotJudged("timed out", detail="what the worker printed")
    found = Measurement.of("t", a_request(), lost, budget_bytes=budget_bytes, command="again")
    assert found == Measurement(
        **place, peak=None, verdict=not_judged("timed out", CONDITIONS, budget_bytes), detail="what the worker printed"
    )
    assert "printed" not in json.dumps(found.to_json())
