import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.size import Size, format_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 B", 1),
        ("1 kB", 10**3),
        ("1 KiB", 2**10),
        ("72 GB", 72 * 10**9),
        ("72 GiB", 72 * 2**30),
        ("1 TB", 10**12),
        ("1 TiB", 2**40),
        (" 16gib ", 16 * 2**30),
        ("1.5 GiB", 3 * 2**29),
        ("1.9 B", 1),
        (17_179_869_184, 2**34),
        (Size(bytes=5), 5),
    ],
)
def test_absolute(text, expected):
    assert Size.parse(text) == Size(bytes=expected)
    assert Size.parse(text).of(100) == expected


@pytest.mark.parametrize(("text", "expected"), [("95 %", 950), ("95%", 950), ("100 %", 1000), ("12.55 %", 125), ("0.1 %", 1)])
def test_share_of_a_gpu(text, expected):
    assert Size.parse(text).bytes is None
    assert Size.parse(text).of(1000) == expected


NO_SIZE = "size {!r} is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes"
NOTHING = "size {!r} must be more than 0"
ABOVE = "size {!r} is more than the whole GPU: a percentage is at most 100 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("24 Bananas", NO_SIZE),
        ("24", NO_SIZE),
        ("", NO_SIZE),
        ("16 GiB or so", NO_SIZE),
        ("-16 GiB", NO_SIZE),
        ("1e3 GiB", NO_SIZE),
        ("1,5 GiB", NO_SIZE),
        ("16 G", NO_SIZE),
        ("16 GiB %", NO_SIZE),
        (1.5, NO_SIZE),
        (True, NO_SIZE),
        (None, NO_SIZE),
        ("0 GiB", NOTHING),
        ("0.0 %", NOTHING),
        ("0.4 B", NOTHING),
        (0, NOTHING),
        (-5, NOTHING),
        ("100.01 %", ABOVE),
        ("950 %", ABOVE),
    ],
)
def test_bad_size(value, text):
    with pytest.raises(UsageError) as caught:
        Size.parse(value)
    assert str(caught.value) == text.format(value)


def test_an_error_names_the_argument():
    with pytest.raises(UsageError, match=r"^af3_budget '24 Bananas' is not a size"):
        Size.parse("24 Bananas", name="af3_budget")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (3 * 2**19, "1.50 MiB"),
        (2**30, "1.00 GiB"),
        (44_914_620_498, "41.83 GiB"),
        (2**41, "2048.00 GiB"),
        (-(2**31), "-2.00 GiB"),
        (-1, "-1 B"),
    ],
)
def test_format(number, text):
    assert format_bytes(number) == text
