"""What running on a GPU comes to, without one: environments, what NVML says of processes, and what errors mean."""

import os

import pytest

from pytest_af3mem.errors import NotJudged, OutOfMemory
from pytest_af3mem.probes.nvml import Usage
from pytest_af3mem.probes.running import Watched, environment, refused
from pytest_af3mem.probes.surroundings import Counters, Tenant

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
    seen = Watched("GPU-1", before)
    for usage in since:
        seen.keep(usage)
    return seen


def test_the_largest_of_each_is_kept():
    seen = watched(Usage(0, 80), Usage(5, 80, {OWN: 4}), Usage(9, 80, {OWN: 8}), Usage(7, 80, {OWN: 6}))
    assert (seen.own, seen.largest[seen.own], seen.used_bytes, seen.tenants, seen.unnamed_bytes) == (OWN, 8, 9, (), 0)


def test_who_was_there_before_and_who_came():
    seen = watched(Usage(3, 80, {1: 3}), Usage(5, 80, {1: 3, OWN: 2}), Usage(9, 80, {OWN: 8, 2**22 + 1: None}))
    assert seen.own == OWN
    assert [(one.pid, one.held_bytes) for one in seen.tenants] == [(1, 3), (2**22 + 1, None)]


def test_in_a_container_that_is_told_other_numbers():
    seen = watched(Usage(0, 80), Usage(9, 80, {2**22 + 5: 8}))
    assert (seen.own, seen.tenants) == (2**22 + 5, ())
    seen.keep(Usage(9, 80, {2**22 + 5: 8, 2**22 + 6: 1}))
    assert (seen.own, seen.tenants) == (None, (Tenant(2**22 + 5, "", 8), Tenant(2**22 + 6, "", 1)))


def test_in_a_container_that_is_told_nothing():
    seen = watched(Usage(2 * GIB, 80 * GIB), Usage(9 * GIB, 80 * GIB))
    assert (seen.own, seen.tenants, seen.unnamed_bytes, seen.used_bytes) == (None, (), 2 * GIB, 9 * GIB)


NOW = Counters(in_use_bytes=GIB, peak_bytes=2 * GIB, largest_bytes=GIB, pool_bytes=2 * GIB, limit_bytes=75 * GIB)


def test_out_of_gpu_memory_is_a_result():
    error = refused(RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 85899345920 bytes."), "running", NOW)
    assert isinstance(error, OutOfMemory)
    assert (error.asked_bytes, error.limit_bytes) == (80 * GIB, 75 * GIB)
    assert str(error) == (
        "the GPU ran out of memory while running: asked for 80.00 GiB more, with 1.00 GiB in use of a limit of 75.00 GiB"
    )


def test_out_of_gpu_memory_beside_the_allocator():
    error = refused(
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
    error = refused(RuntimeError(text), "running", NOW)
    assert type(error) is NotJudged
    assert str(error) == reason + text
