"""The second witness on a real GPU, with a model whose memory is known."""

import os
import subprocess
import sys

import pytest

from pytest_af3mem.errors import NotJudged, OutOfMemory
from pytest_af3mem.gpus.lock import lock_path
from pytest_af3mem.gpus.nvml import Gauge

pytestmark = pytest.mark.gpu
MIB = 2**20
SIZE = 20_000  # tokens: pairs of 1.5 GiB, which no rounding hides
PAIRS_BYTES = 4 * SIZE**2
HOLD = "import jax, jax.numpy as jnp; x = jnp.zeros(2**28).block_until_ready(); print('held', flush=True); input()"


@pytest.fixture
def measured(session_of):
    def measure(size=SIZE, method="run", **settings):
        session = session_of(**settings)
        return session.wait(session.pool.submit(session.request(tokens=size, method=method)))

    return measure


def test_the_two_witnesses_agree(measured):
    run, compiled = measured(), measured(method="compiled")
    assert run.program_bytes == compiled.total_bytes
    assert run.total_bytes == run.allocator_bytes >= run.program_bytes > PAIRS_BYTES
    assert run.allocator_bytes - run.program_bytes <= 4 * MIB


def test_what_is_recorded(measured, target):
    peak = measured()
    run = peak.run
    assert (peak.method, peak.target, peak.cached) == ("run", target, False)
    assert run.before_bytes <= run.loaded_bytes <= run.steady_peak_bytes <= peak.allocator_bytes <= run.limit_bytes
    assert run.loaded_bytes - run.before_bytes <= 4 * MIB
    assert PAIRS_BYTES <= run.largest_bytes <= run.pool_bytes
    assert run.after_bytes - run.before_bytes <= MIB
    assert 0 < run.nvml_gap_ms < 5000
    assert run.uuid.startswith(("GPU-", "MIG-"))
    if peak.process_bytes is None:
        assert run.process_note
        assert run.device_bytes > run.pool_bytes
    else:
        assert peak.process_bytes > run.pool_bytes  # context, libraries, kernels


def test_a_second_process_loads_the_program(measured):
    peak = measured()
    cold, warm = peak.run.cold, peak.run.warm
    assert warm is not None, peak.run.warm_note
    assert (cold.peak_bytes, cold.steady_peak_bytes) == (peak.allocator_bytes, peak.run.steady_peak_bytes)
    for process in (cold, warm):
        assert process.parameters.in_use_bytes <= process.features.in_use_bytes <= process.second_run.peak_bytes
        assert process.features.in_use_bytes - process.start.in_use_bytes <= 4 * MIB
        assert process.first_run.peak_bytes >= PAIRS_BYTES
        assert process.second_run.in_use_bytes - process.first_run.in_use_bytes <= MIB
    assert warm.peak_bytes <= cold.peak_bytes + MIB
    assert abs(warm.steady_peak_bytes - peak.program_bytes) <= 4 * MIB


def test_again_gives_the_same(measured):
    assert measured().total_bytes == measured().total_bytes


def test_out_of_memory_is_over_with_its_numbers(measured, monkeypatch):
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", "0.1")
    with pytest.raises(OutOfMemory) as caught:
        measured(size=100_000)
    assert caught.value.asked_bytes > caught.value.limit_bytes > 0
    assert "the GPU ran out of memory while " in str(caught.value)


def test_unified_memory_is_refused(measured, monkeypatch):
    monkeypatch.setenv("TF_FORCE_UNIFIED_MEMORY", "true")
    with pytest.raises(NotJudged, match=r"^unified memory is on"):
        measured()


def test_another_process_on_the_gpu_is_refused(measured):
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, **pipes) as other:
        try:
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(NotJudged, match=r"another process holds memory on the GPU|of the GPU were taken before"):
                measured()
        finally:
            other.kill()


def test_two_at_once_take_turns(session_of):
    session = session_of(workers=2)
    answers = [session.pool.submit(session.request(tokens=size, method="run")) for size in (SIZE, SIZE - 1000)]
    peaks = [session.wait(answer) for answer in answers]
    assert peaks[0] > peaks[1]
    assert lock_path(peaks[0].run.uuid).exists()


def test_an_equal_program_is_run_once_a_session(session_of):
    session = session_of()
    first, second = (session.wait(session.pool.submit(session.request(tokens=size, method="run"))) for size in (500, 510))
    assert (first.total_bytes, first.cached, second.total_bytes, second.cached, second.tokens) == (
        first.total_bytes,
        False,
        first.total_bytes,
        True,
        510,
    )


def test_a_sequence_of_jobs(session_of, target):
    session = session_of()
    sequence = session.pool.gpu_runs.sequence([session.request(tokens=size) for size in (SIZE // 2, SIZE)])
    assert sequence.device == target
    assert not sequence.leaks, sequence
    assert sequence.excess_bytes <= 4 * MIB


def test_a_leak_in_a_sequence(session_of):
    session = session_of("misbehaving:Leaking")
    sequence = session.pool.gpu_runs.sequence([session.request(tokens=size) for size in (SIZE // 2, SIZE)])
    assert sequence.steps[-1].left_arrays == {f"float32[{SIZE // 2},3]": 1, f"float32[{SIZE},3]": 1}
    assert sequence.steps[-1].left_bytes >= 4 * SIZE * 3


def test_nvml_reads_the_device(measured):
    gauge = Gauge(measured().run.uuid)
    usage = gauge.read()
    gauge.close()
    assert 0 <= usage.used_bytes < usage.memory_bytes
