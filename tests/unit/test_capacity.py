"""The search for the largest size that fits, against a made-up need."""

from types import SimpleNamespace

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.planning import capacity

BUCKETS = (256, 512, 768, 1024, 1280, 1536, 2048, 2560, 3072, 3584, 4096, 4608, 5120)
SIZES = capacity.candidates(BUCKETS, 10240)
GIB = 2**30


def parabola(size):
    return GIB + 2900 * size**2


def steps(size):
    """One that no power of the tokens describes."""
    return GIB * (1 + size // 1000) ** 3


@pytest.fixture
def searched(a_request, a_peak, answered):
    """The capacity of an H100 for a need, and the sizes that were measured to find it."""

    def run(limit_bytes, need, fails_at=None, known=None):
        session = SimpleNamespace(
            request=lambda tokens, target, model_settings: a_request(tokens=tokens, buckets=tuple(SIZES), target=target)
        )
        searching = capacity._search(session, gpus.find("h100-80gb"), limit_bytes, SIZES, {}, [] if known is None else known)
        measured = []

        def answer(request):
            size = request.tokens
            measured.append(size)
            return NotJudged("it fails") if size == fails_at else a_peak(tokens=size, bucket=size, total_bytes=need(size))

        return answered(searching, answer), measured

    return run


def test_sizes_are_buckets_and_then_multiples_of_64():
    assert SIZES[: len(BUCKETS)] == list(BUCKETS)
    assert (SIZES[len(BUCKETS)], SIZES[-1]) == (5184, 10240)
    assert capacity.candidates(BUCKETS, 600) == [256, 512]
    with pytest.raises(UsageError, match="--up-to 100 is less than the smallest bucket, 256"):
        capacity.candidates(BUCKETS, 100)


@pytest.mark.parametrize("need", [parabola, steps])
@pytest.mark.parametrize("limit_bytes", [GIB // 2, 2 * GIB, 10 * GIB, 75 * GIB, 178 * GIB, 10**15])
def test_the_edge_is_found_in_few_measurements(searched, need, limit_bytes):
    found, measured = searched(limit_bytes, need)
    fitting = [size for size in SIZES if need(size) <= limit_bytes]
    assert (found.fits and found.fits.bucket) == (fitting[-1] if fitting else None)
    assert (found.beyond and found.beyond.bucket) == (SIZES[len(fitting)] if len(fitting) < len(SIZES) else None)
    assert len(measured) == len(set(measured)) <= 10
    if need is parabola:
        assert len(measured) <= 4


def test_what_one_target_taught_helps_the_next(searched):
    known = []
    searched(75 * GIB, parabola, known=known)
    _, measured = searched(75 * GIB, parabola, known=known)
    assert len(measured) == 2  # one on each side of the edge


def test_what_needs_more_on_a_gpu_without_the_kernels_does_not_mislead(searched, a_peak):
    known = [a_peak(target="h100-80gb", tokens=4096, bucket=4096, total_bytes=parabola(4096))]
    known += [a_peak(target="t4-16gb", tokens=size, bucket=size, total_bytes=3 * parabola(size)) for size in SIZES]
    _, measured = searched(75 * GIB, parabola, known=known)
    assert len(measured) == 2


def test_a_failed_measurement_leaves_the_edge_open(searched):
    found, measured = searched(75 * GIB, parabola, fails_at=5184)
    assert found.reason == "5184 tokens: it fails"
    assert measured[-1] == 5184
    assert found.fits is None or found.fits.total_bytes <= 75 * GIB
    assert found.beyond is None or found.beyond.total_bytes > 75 * GIB
