import json

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.records.peak import Holder, Kernels, Peak
from pytest_af3mem.records.timeline import Band, Stage, Timeline

GIB = 2**30


def test_text(a_peak):
    peak = a_peak(tokens=3072, bucket=3072, target="a100-40gb", total_bytes=44_914_620_498)
    assert str(peak) == "GPU peak 41.83 GiB [3072 tokens, bucket 3072, a100-40gb, compiled]"
    assert repr(peak) == f"<{peak}>"
    assert str(Kernels(47)) == "triton 47"
    assert str(Kernels(31, ("attention in evoformer", "attention in diffuser"))) == "triton 31, xla fallbacks 2"


def relations(one, other):
    return [one < other, one <= other, one == other, one != other, one >= other, one > other]


LESS, EQUAL, MORE = (
    [True, True, False, True, False, False],
    [False, True, True, False, True, False],
    [False, False, False, True, True, True],
)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("8 GiB", EQUAL),
        (8 * GIB, EQUAL),
        (Size(bytes=8 * GIB), EQUAL),
        (8 * GIB + 1, LESS),
        ("95 %", LESS),
        ("10 %", MORE),
        (0, MORE),
    ],
)
def test_compares_with_a_size(a_peak, other, expected):
    assert relations(a_peak(total_bytes=8 * GIB), other) == expected


def test_percentages_are_of_its_own_target(a_peak):
    assert a_peak(target="h100-80gb") < "50 %"
    assert a_peak(target="a100-80gb/1g.10gb") > "50 %"


def test_compares_with_peaks_by_total(a_peak):
    small, large = a_peak(total_bytes=1), a_peak(total_bytes=2)
    assert relations(small, large) == LESS
    assert relations(small, a_peak(total_bytes=1, tokens=7, bucket=7, live_bytes=None)) == EQUAL
    assert sorted([large, small]) == [small, large]
    assert len({small, large, a_peak(total_bytes=1, tokens=7)}) == 2


def test_equals_nothing_else(a_peak):
    for other in ("no size", None, 1.5):
        assert a_peak() != other
        assert (a_peak() == other) is False
    with pytest.raises(UsageError, match=r"^size 'no size' is not a size: "):
        assert a_peak() < "no size"


@pytest.mark.parametrize(
    "changes",
    [
        {"live_bytes": None, "cached": True},
        {"holders": (Holder("evoformer", "carry", 5, "f32[5]", "net.py:7", 2),), "high_water": {"evoformer": 9}},
        {"kernels": Kernels(0, ("x in y",)), "allocator_bytes": 1, "process_bytes": 2},
        {"timeline": Timeline(2, 5, (Band("evoformer", ((0, 7), (1, 0)), "f32[5]", "net.py:7"),), (Stage("trunk", 0),), 9)},
        {"timeline": Timeline(reason="memory over program order is not known: why")},
    ],
)
def test_json_round_trip(a_peak, changes):
    peak = a_peak(**changes)
    again = Peak.from_json({**json.loads(json.dumps(peak.to_json())), "test": "other keys are left alone"})
    assert vars(again) == vars(peak)


def test_a_record_of_an_earlier_version_has_no_timeline(a_peak):
    record = a_peak().to_json()
    del record["timeline"]
    assert Peak.from_json(record).timeline is None
