import pytest

from pytest_af3mem.planning import scaling
from pytest_af3mem.planning.ask import progress

GIB = 2**30
SIZES = (256, 512, 1024, 2048, 4096)


def curve(tokens):
    return GIB + 1000 * tokens + 3000 * tokens**2


def test_the_law_of_a_parabola_is_found():
    found = scaling.fit([(tokens, curve(tokens)) for tokens in SIZES])
    assert found.constant_bytes == pytest.approx(GIB)
    assert found.bytes_per_token == pytest.approx(1000, rel=1e-6)
    assert found.bytes_per_token2 == pytest.approx(3000)
    assert found.at(3000) == pytest.approx(curve(3000))
    assert max(map(abs, found.residuals)) < 1e-9
    assert found.breaks == []


def test_it_says_where_it_breaks():
    found = scaling.fit([(tokens, curve(tokens) * (1.3 if tokens == 2048 else 1)) for tokens in (*SIZES, 1536, 2560, 3072, 3584)])
    assert 2048 in found.breaks
    assert found.residuals[3] == max(found.residuals)


@pytest.mark.parametrize("number", range(4))
def test_no_law_of_few_points(number):
    assert scaling.fit([(tokens, curve(tokens)) for tokens in SIZES[:number]]) is None


def test_local_exponents():
    assert scaling.exponents([(100, 100), (200, 400), (400, 800)]) == pytest.approx([2, 1])
    assert scaling.exponents([(100, 100)]) == scaling.exponents([]) == []


@pytest.mark.parametrize(
    ("all", "done", "known", "seconds", "text"),
    [
        (40, 12, 12, 100, "12 of 40"),
        (40, 14, 12, 100, "14 of 40, about 22 min left"),
        (40, 39, 12, 100, "39 of 40, about 4 s left"),
    ],
)
def test_progress_with_the_time_that_is_left(all, done, known, seconds, text):
    assert progress(all, done, known, seconds) == text
