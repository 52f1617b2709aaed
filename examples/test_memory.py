"""A memory gate for AlphaFold 3, as a user writes it: `pytest examples --af3-gpu`."""

import pytest


@pytest.mark.af3_tokens(256, 500, 512)
@pytest.mark.af3_budget("3 GiB")
def test_small_folds_fit(gpu_peak): ...


def test_peak_grows_with_the_bucket(gpu_peak):
    assert gpu_peak(tokens=300) == gpu_peak(tokens=384)  # same bucket, same peak
    assert gpu_peak(tokens=300) < gpu_peak(tokens=500) <= "3 GiB"
