"""The real AlphaFold 3 network on a real GPU: that what is left out to save time does not change the peak.

With `AF3MEM_FEATURES`, on a machine without the chemical component dictionary, features that were made elsewhere are used.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_spec("alphafold3") is None, reason="AlphaFold 3 is not installed"),
]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MADE_BEFORE = {"model": "featurised:Featurised", "path": BENCHMARKS}
MODEL = MADE_BEFORE if "AF3MEM_FEATURES" in os.environ else {"model": "alphafold3", "path": None}


def peak(session_of, cache_dir, full):
    session = session_of(**MODEL, cache_dir=cache_dir, full_run=full)
    return session.wait(session.pool.submit(session.request(tokens=256)))


def test_recycles_and_diffusion_steps_leave_the_peak_as_it_is(session_of, tmp_path):
    short, full = (peak(session_of, tmp_path, full) for full in (False, True))
    assert (short.model.config["num_recycles"], short.model.config["num_steps"]) == (1, 2)
    assert (full.model.config["num_recycles"], full.model.config["num_steps"]) != (1, 2)
    assert short.program_bytes == full.program_bytes
    assert abs(short.allocator_bytes - full.allocator_bytes) <= 2**20
