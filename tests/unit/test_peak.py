import json

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.peak import Kernels, Peak
from pytest_af3mem.size import Size

GIB = 2**30


def test_text(a_peak):
    peak = a_peak(tokens=3072, bucket=3072, target="a100-40gb", total_bytes=44_914_620_498)
    assert str(peak) == "GPU peak 41.83 GiB [3072 tokens, bucket 3072, a100-40gb, compiled]"
    assert repr(peak) == f"<{peak}>"


@pytest.mark.parametrize("other", ["8 GiB", "8192 MiB", 8 * GIB, Size(bytes=8 * GIB)])
def test_equals_a_size(a_peak, other):
    peak = a_peak(total_bytes=8 * GIB)
    assert peak == other
    assert other == peak
    assert peak <= other
    assert peak >= other
    assert not peak < other
    assert not peak > other


@pytest.mark.parametrize("other", ["9 GiB", 8 * GIB + 1, "95 %"])
def test_is_less_than_a_size(a_peak, other):
    peak = a_peak(total_bytes=8 * GIB)
    assert peak < other
    assert peak <= other
    assert other > peak
    assert peak != other
    assert not peak > other
    assert not peak >= other


def test_percentages_are_of_its_own_target(a_peak):
    assert a_peak(target="h100-80gb") < "50 %"
    assert a_peak(target="a100-80gb/1g.10gb") > "50 %"


def test_compares_with_peaks_by_total(a_peak):
    small, large = a_peak(total_bytes=1), a_peak(total_bytes=2)
    assert small < large
    assert large > small
    assert small != large
    assert small == a_peak(total_bytes=1, tokens=7, bucket=7, live_bytes=None)
    assert sorted([large, small]) == [small, large]
    assert len({small, large, a_peak(total_bytes=1, tokens=7)}) == 2


def test_compares_with_no_bananas(a_peak):
    with pytest.raises(UsageError, match=r"^size '24 Bananas' is not a size: "):
        assert a_peak() < "24 Bananas"


def test_kernels_as_text():
    assert str(Kernels(47)) == "triton 47"
    assert str(Kernels(31, ("attention in evoformer", "attention in diffuser"))) == "triton 31, xla fallbacks 2"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"live_bytes": None, "cached": True},
        {"kernels": Kernels(0, ("attention in evoformer",))},
        {"allocator_bytes": 1, "process_bytes": 2},
    ],
)
def test_json_round_trip(a_peak, changes):
    peak = a_peak(**changes)
    again = Peak.from_json(json.loads(json.dumps(peak.to_json())))
    assert vars(again) == vars(peak)


def test_from_json_leaves_other_keys_alone(a_peak):
    assert vars(Peak.from_json({**a_peak().to_json(), "test": "t", "verdict": None})) == vars(a_peak())
