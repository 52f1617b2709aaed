"""Sizes are whole bytes, worked out exactly, whatever the process around them set up."""

import decimal

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import EXACT, Size, format_bytes, read_tolerance
from pytest_af3mem.records.peak import Peak

MOST = 2**63 - 1


@pytest.mark.parametrize(("text", "expected"), [("95 %", 81_604_378_624), ("1.005 GiB", 1_079_110_533)])
def test_a_context_of_decimals_moves_no_budget(text, expected):
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded])):
        assert Size.parse(text).of(80 * 2**30) == expected
        assert read_tolerance("0.5 %", "tolerance").of(1001) == 5


def test_a_size_is_at_most_what_63_bits_hold():
    assert Size.parse(MOST).bytes == MOST
    for value in (MOST + 1, 10**400, 10**5000, "9" * 10**6 + " B", "8388608 TiB"):
        with pytest.raises(
            UsageError, match=r"^af3_budget .* is more than any GPU has: a size is at most 9,223,372,036,854,775,807"
        ):
            Size.parse(value, name="af3_budget")
    with pytest.raises(UsageError, match=r"is more than the whole GPU"):
        Size.parse("9" * 10**6 + " %")
    with pytest.raises(UsageError) as caught:
        Size.parse("x" * 10**6)
    assert len(str(caught.value)) < 300


def test_a_huge_budget_is_one_line(project):
    project.gate("af3_tokens(100)", "af3_budget(10**400)")
    result = project.run()
    assert result.ret != 0
    assert "is more than any GPU has" in result.stdout.str() + result.stderr.str()
    assert "OverflowError" not in result.stdout.str()


@pytest.mark.parametrize("value", ["0", "0 %", "0%", "0.0 %", "0 MiB", "0.0 MiB", 0])
def test_no_tolerance_in_all_its_spellings(value):
    assert read_tolerance(value, "tolerance") == EXACT


def test_a_number_of_bytes_is_a_tolerance(project):
    assert read_tolerance("4096", "--af3-tolerance") == Size(bytes=4096) == read_tolerance(4096, "tolerance")
    for value in (True, "-1", "4096.5", 10**400, "101 %"):
        with pytest.raises(UsageError, match=r"is not a tolerance: write '0\.5 %', '64 MiB', a number of bytes, or 0$"):
            read_tolerance(value, "tolerance")
    project.write(test_any="def test_any(): ...")
    assert project.run("--af3-tolerance=4096").ret == 0


def test_numbers_beyond_floating_point_are_written():
    assert format_bytes(2**53 + 1) == "8388608.00 GiB"
    assert format_bytes(10**400).endswith(" GiB")
    assert [format_bytes(size) for size in (1152, -1152, 2**20 - 5)] == ["1.12 KiB", "-1.12 KiB", "1.00 MiB"]


def test_peaks_of_other_cards_are_not_equal(a_peak):
    small, large = a_peak(target="a100-40gb"), a_peak(target="h100-80gb")
    assert small != large
    assert a_peak(method="run") != a_peak()
    assert len({small, large, a_peak(target="a100-40gb", tokens=7)}) == 2
    assert hash(small) == hash(small.total_bytes)
    assert small == small.total_bytes


def test_a_peak_is_not_compared_with_true(a_peak):
    one: Peak = a_peak(total_bytes=1)
    assert one == 1
    assert one != True  # noqa: E712
    with pytest.raises(UsageError, match="size True is not a size"):
        assert one <= True
