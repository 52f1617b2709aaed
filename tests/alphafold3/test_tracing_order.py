"""A program is the same whichever was traced before it: else what was compiled once is compiled again by the next process."""

import subprocess
import sys

PROGRAM = """
import os
from pytest_af3mem.worker.environment import ENVIRONMENT
os.environ.update(ENVIRONMENT)
import jax, numpy, tokamax
from pytest_af3mem import gpus
from pytest_af3mem.models.model import Forward
from pytest_af3mem.worker.xla import same_program, tracing, tuning

def apply(parameters, key, features):
    query = jax.nn.relu(features["query"])
    return jax.nn.relu(tokamax.dot_product_attention(query, query, query, implementation="triton"))

forward, features = Forward(init=None, apply=apply), {"query": numpy.zeros((2, 256, 4, 32), "float16")}
for _ in range(2):
    with tuning.noted():
        print(same_program.listing(tracing.lowered(forward, {}, features, gpus.find("h100-80gb"))).digest)
"""


def test_a_first_trace_with_tokamax_gives_the_program_of_a_second():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    first, second = result.stdout.split()
    assert first == second
