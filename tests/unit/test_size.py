import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size, format_bytes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1 B", 1),
        ("1 kB", 10**3),
        ("1 KiB", 2**10),
        ("1 MB", 10**6),
        ("1 MiB", 2**20),
        ("72 GB", 72 * 10**9),
        (" 72gib ", 72 * 2**30),
        ("1 TB", 10**12),
        ("1.5 TiB", 3 * 2**39),
        ("1.9 B", 1),
        (17_179_869_184, 2**34),
        (Size(bytes=5), 5),
    ],
)
def test_absolute(value, expected):
    assert Size.parse(value) == Size(bytes=expected)
    assert Size.parse(value).of(100) == expected


@pytest.mark.parametrize(("text", "expected"), [("95%", 950), ("100 %", 1000), ("12.55 %", 125), ("0.01 %", 1)])
def test_share_of_a_gpu(text, expected):
    assert Size.parse(text).bytes is None
    assert Size.parse(text).of(1000) == expected


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (
            "is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes",
            ["24 Bananas", "24", "", "16 GiB or so", "-16 GiB", "1e3 GiB", "1,5 GiB", "16 G", "16 GiB %", 1.5, True, None],
        ),
        ("must be more than 0", ["0 GiB", "0.0 %", "0.4 B", 0, -5]),
        ("is more than the whole GPU: a percentage is at most 100 %", ["100.01 %"]),
    ],
)
def test_bad_size(rule, values):
    for value in values:
        with pytest.raises(UsageError) as caught:
            Size.parse(value, name="af3_budget")
        assert str(caught.value) == f"af3_budget {value!r} {rule}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (2**20 - 10, "1023.99 KiB"),
        (2**20 - 1, "1.00 MiB"),
        (2**30 - 1, "1.00 GiB"),
        (44_914_620_498, "41.83 GiB"),
        (2**41, "2048.00 GiB"),
        (-(2**31), "-2.00 GiB"),
        (-1, "-1 B"),
    ],
)
def test_format(number, text):
    assert format_bytes(number) == text
