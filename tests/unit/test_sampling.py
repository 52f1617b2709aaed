import itertools
import time

import pytest

from pytest_af3mem.worker.sampler import Sampler


def test_readings_cover_the_time():
    kept = []
    with Sampler(time.monotonic, kept.append, 0.001) as sampler:
        start = time.monotonic()
        time.sleep(0.1)
        end = time.monotonic()
    assert kept[0] <= start + sampler.gap_seconds
    assert kept[-1] >= end
    assert len(kept) > 5
    assert max(after - before for before, after in itertools.pairwise(kept)) <= sampler.gap_seconds + 0.01


def test_a_reading_that_fails_is_not_swallowed():
    def read():
        raise RuntimeError("GPU is lost")

    sampler = Sampler(read, print, 0.001)
    with pytest.raises(RuntimeError, match="GPU is lost"), sampler:
        pass


def test_an_error_in_the_block_comes_first():
    def read():
        raise RuntimeError("GPU is lost")

    with pytest.raises(ValueError, match="mine"), Sampler(read, print, 0.001):
        raise ValueError("mine")
