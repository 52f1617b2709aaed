"""What running on a GPU comes to, without one: environments, what NVML says of processes, and what errors mean."""

import os

import pytest

from pytest_af3mem.errors import NotJudged, OutOfMemory
from pytest_af3mem.gpus.nvml import GpuMemory
from pytest_af3mem.records.peak import Kernels
from pytest_af3mem.worker.allocator import Counted, Reading, meaning_of, record
from pytest_af3mem.worker.environment import environment
from pytest_af3mem.worker.gpu_watch import GpuWatch
from pytest_af3mem.worker.trust import Counters, GpuProcess
from pytest_af3mem.worker.xla.program import Compiled

GIB = 2**30
OWN = os.getpid()


def test_preallocation_is_off_and_one_device_is_seen():
    made = environment({"XLA_PYTHON_CLIENT_PREALLOCATE": "true"}, "GPU-1")
    assert (made["XLA_PYTHON_CLIENT_PREALLOCATE"], made["CUDA_VISIBLE_DEVICES"]) == ("false", "GPU-1")
    assert made["JAX_PLATFORMS"] != "cpu"
    assert made["XLA_CLIENT_MEM_FRACTION"] == "0.95"


@pytest.mark.parametrize("name", ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_a_stated_share_of_the_gpu_is_kept(name):
    """JAX refuses to start with both."""
    assert not {"XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"} & environment({name: "0.5"}, "GPU-1").keys()


def watched(before, *since):
    seen = GpuWatch("GPU-1", before)
    for usage in since:
        seen.keep(usage)
    return seen


def test_the_largest_of_each_is_kept():
    seen = watched(GpuMemory(0, 80), GpuMemory(5, 80, {OWN: 4}), GpuMemory(9, 80, {OWN: 8}), GpuMemory(7, 80, {OWN: 6}))
    assert (seen.own, seen.largest[seen.own], seen.used_bytes, seen.tenants, seen.unnamed_bytes) == (OWN, 8, 9, (), 0)


def test_who_was_there_before_and_who_came():
    seen = watched(GpuMemory(3, 80, {1: 3}), GpuMemory(5, 80, {1: 3, OWN: 2}), GpuMemory(9, 80, {OWN: 8, 2**22 + 1: None}))
    assert seen.own == OWN
    assert [(one.pid, one.held_bytes) for one in seen.tenants] == [(1, 3), (2**22 + 1, None)]


def test_in_a_container_that_is_told_other_numbers():
    seen = watched(GpuMemory(0, 80), GpuMemory(9, 80, {2**22 + 5: 8}))
    assert (seen.own, seen.tenants) == (2**22 + 5, ())
    seen.keep(GpuMemory(9, 80, {2**22 + 5: 8, 2**22 + 6: 1}))
    assert (seen.own, seen.tenants) == (None, (GpuProcess(2**22 + 5, "", 8), GpuProcess(2**22 + 6, "", 1)))


def test_in_a_container_that_is_told_nothing():
    seen = watched(GpuMemory(2 * GIB, 80 * GIB), GpuMemory(9 * GIB, 80 * GIB))
    assert (seen.own, seen.tenants, seen.unnamed_bytes, seen.used_bytes) == (None, (), 2 * GIB, 9 * GIB)


NOW = Counters(in_use_bytes=GIB, peak_bytes=2 * GIB, largest_bytes=GIB, pool_bytes=2 * GIB, limit_bytes=75 * GIB)


def test_out_of_gpu_memory_is_a_result():
    error = meaning_of(
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 85899345920 bytes."), "running", NOW
    )
    assert isinstance(error, OutOfMemory)
    assert (error.asked_bytes, error.limit_bytes) == (80 * GIB, 75 * GIB)
    assert str(error) == (
        "the GPU ran out of memory while running: asked for 80.00 GiB more, with 1.00 GiB in use of a limit of 75.00 GiB"
    )


def test_out_of_gpu_memory_beside_the_allocator():
    error = meaning_of(
        RuntimeError("RESOURCE_EXHAUSTED: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: oom"), "compiling", None
    )
    assert (error.asked_bytes, error.limit_bytes) == (None, None)
    assert str(error) == (
        "the GPU ran out of memory while compiling: RESOURCE_EXHAUSTED: Failed to load in-memory CUBIN: "
        "CUDA_ERROR_OUT_OF_MEMORY: oom"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 73728, available: 65536",
            "a kernel does not run on this GPU, which is no lack of its memory, while running: ",
        ),
        (
            "INTERNAL: failed to alloc 64 bytes on host: CUDA_ERROR_OUT_OF_MEMORY: oom",
            "the host ran out of memory, not the GPU, while running: ",
        ),
        ("INTERNAL: CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC", "the driver failed while running: "),
        ("weights of 31 do not fit", "the model fails while running: RuntimeError: "),
    ],
)
def test_anything_else_is_not_judged(text, reason):
    error = meaning_of(RuntimeError(text), "running", NOW)
    assert type(error) is NotJudged
    assert str(error) == reason + text


def counted(in_use, peak, pool=0):
    return Counters(in_use_bytes=in_use, peak_bytes=peak, largest_bytes=peak // 2, pool_bytes=pool, limit_bytes=75 * GIB)


def reading(compile_peak, peak, sampled, from_cache=False):
    program = Compiled(argument_bytes=10, output_bytes=2, temp_bytes=20, alias_bytes=0, live_bytes=30, kernels=Kernels(1))
    before = [counted(0, 0), counted(8, 8), counted(10, 10), counted(11, compile_peak)]
    stages = [*before, counted(11, peak, 64), counted(11, peak, 64), counted(1, peak, 64)]
    return Reading(program, Counted(*stages, sampled), 0.0021, from_cache)


def test_a_run_that_peaks_higher_than_its_compile_is_counted_exactly():
    seen = watched(GpuMemory(1, 80), GpuMemory(90, 80, {OWN: 88}))
    seen.gap_seconds = 0.0234
    run, allocator_bytes, process_bytes = record(reading(compile_peak=15, peak=32, sampled=31), seen, "NVIDIA L4", "570")
    assert (allocator_bytes, process_bytes) == (32, 88)
    assert (run.before_bytes, run.loaded_bytes, run.compile_peak_bytes, run.steady_peak_bytes, run.after_bytes) == (
        0,
        10,
        15,
        32,
        1,
    )
    assert (run.largest_bytes, run.pool_bytes, run.limit_bytes, run.device_bytes) == (16, 64, 75 * GIB, 89)
    assert (run.allocator_gap_ms, run.nvml_gap_ms, run.process_note) == (0.0, 23.4, "")


def test_a_compile_that_peaks_higher_hides_the_run_which_then_is_sampled():
    run, allocator_bytes, process_bytes = record(
        reading(compile_peak=40, peak=40, sampled=31),
        watched(GpuMemory(0, 80), GpuMemory(90, 80, {OWN: None})),
        "NVIDIA L4",
        "570",
    )
    assert (allocator_bytes, run.compile_peak_bytes, run.steady_peak_bytes, run.allocator_gap_ms) == (40, 40, 31, 2.1)
    assert (process_bytes, run.process_note) == (None, "the driver does not tell what a process holds")


def test_the_allocator_after_each_phase():
    usage = watched(GpuMemory(0, 80), GpuMemory(90, 80, {OWN: 88}))
    run, _, _ = record(reading(compile_peak=15, peak=32, sampled=31), usage, "NVIDIA L4", "570")
    assert {name: (one.in_use_bytes, one.peak_bytes) for name, one in run.cold.by_name.items()} == {
        "start": (0, 0),
        "parameters": (8, 8),
        "features": (10, 10),
        "compile": (11, 15),
        "first run": (11, 32),
        "second run": (11, 32),
    }
    assert (run.cold.peak_bytes, run.cold.steady_peak_bytes, run.cold.gap_ms, run.warm) == (32, 32, 0.0, None)


def test_only_a_program_from_the_cache_is_warm():
    usage = watched(GpuMemory(0, 80), GpuMemory(90, 80, {OWN: 88}))
    run, allocator_bytes, _ = record(reading(11, 32, 31, from_cache=True), usage, "NVIDIA L4", "570")
    assert (run.cold, run.warm.peak_bytes, allocator_bytes) == (None, 32, 32)


def test_a_process_that_nvml_does_not_name():
    run, _, process_bytes = record(reading(15, 32, 31), watched(GpuMemory(0, 80), GpuMemory(90, 80)), "NVIDIA L4", "570")
    assert (process_bytes, run.device_bytes) == (None, 90)
    assert run.process_note == "NVML does not name this process here, as in a container"
