import json

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.verdict import Measurement, Outcome, Verdict, judge, not_judged

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


def test_not_judged_says_why():
    line = f"GPU peak not judged: the worker died (SIGSEGV) {CONDITIONS}"
    reason = "the worker died (SIGSEGV)"
    assert not_judged(reason, CONDITIONS, 5) == Verdict(Outcome.NOT_JUDGED, line, reason, 5)


@pytest.mark.parametrize(
    "changes", [{}, {"verdict": None, "command": None}, {"peak": None, "verdict": not_judged("timed out", CONDITIONS, GIB)}]
)
def test_json_round_trip(a_measurement, changes):
    measurement = a_measurement(**changes)
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
