"""Every input of up to 512 tokens fits: `pytest examples/test_every_input.py --af3-gpu`.

AlphaFold 3 pads each input to a bucket, so it is enough to measure the buckets, if inputs of a bucket are all alike. The second
test looks for one that is not: Hypothesis makes inputs of all kinds, and each must become features of the shapes that a
plain protein of the whole bucket has. Nothing more is compiled for that.
"""

import pytest
from hypothesis import given, settings

from pytest_af3mem import jobs

LARGEST = 512


@pytest.mark.af3_tokens(up_to=LARGEST)
@pytest.mark.af3_budget("3 GiB")
def test_every_bucket_fits(): ...


@settings(max_examples=20, deadline=None)
@given(job=jobs(max_tokens=LARGEST))
def test_no_input_differs_from_its_bucket(gpu_peak, job):
    assert gpu_peak.shapes(job) == gpu_peak.shapes(tokens=job.bucket)
