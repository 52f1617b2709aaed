"""Every reason for not believing a reading of a GPU, in full, and the one record that is believed."""

import dataclasses

import pytest

from pytest_af3mem.worker.trust import Counters, GpuProcess, Surroundings, what_would_spill, why_no_counters, why_not_trusted

GIB = 2**30
FRESH = Counters(in_use_bytes=0, peak_bytes=0, largest_bytes=0, pool_bytes=0, limit_bytes=75 * GIB)
FINAL = Counters(in_use_bytes=GIB, peak_bytes=4 * GIB, largest_bytes=3 * GIB, pool_bytes=6 * GIB, limit_bytes=75 * GIB)
GOOD = Surroundings(
    target="h100-80gb",
    platform="gpu",
    device="NVIDIA H100 80GB HBM3",
    environment={"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_CLIENT_MEM_FRACTION": "0.95"},
    fresh=FRESH,
    final=FINAL,
    argument_bytes=GIB,
)
UNIFIED = (
    "what the GPU lacks spills into host memory unseen, so that nothing is ever over; unset it, or measure with "
    "--af3-method compiled"
)
PREALLOCATED = "the model sets it, or made JAX's client before it was asked to: leave XLA_PYTHON_CLIENT_PREALLOCATE alone"


def test_believed():
    assert why_not_trusted(GOOD) == ""


def test_a_mig_slice_is_a_device_of_its_own():
    around = dataclasses.replace(GOOD, target="a100-80gb/1g.10gb", device="NVIDIA A100-SXM4-80GB MIG 1g.10gb")
    assert why_not_trusted(around) == ""
    assert why_not_trusted(dataclasses.replace(around, device="NVIDIA A100-SXM4-80GB")).startswith(
        "JAX ran on NVIDIA A100-SXM4-80GB, and "
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"platform": "cpu", "device": "cpu", "fresh": None, "final": None},
            "JAX ran on cpu (cpu) and not on a GPU, which takes pytest-af3mem[gpu]; --af3-method compiled needs no GPU",
        ),
        (
            {"no_nvml": "no NVIDIA driver: NVML Shared Library Not Found"},
            "the GPU cannot be watched (no NVIDIA driver: NVML Shared Library Not Found): install nvidia-ml-py and NVIDIA's "
            "driver; --af3-method compiled needs no GPU",
        ),
        (
            {"device": "NVIDIA L4"},
            "JAX ran on NVIDIA L4, and h100-80gb (NVIDIA H100 80GB HBM3) was asked for: name what is here; "
            "--af3-method compiled needs no GPU",
        ),
        (
            {"environment": {**GOOD.environment, "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}},
            f"preallocation is on (XLA_PYTHON_CLIENT_PREALLOCATE=true): {PREALLOCATED}",
        ),
        ({"environment": {}}, f"preallocation is on (XLA_PYTHON_CLIENT_PREALLOCATE=unset): {PREALLOCATED}"),
        (
            {"fresh": dataclasses.replace(FRESH, pool_bytes=75 * GIB)},
            f"preallocation is on (75.00 GiB were taken before anything was asked for): {PREALLOCATED}",
        ),
        (
            {"tenants": (GpuProcess(12, "python", 3 * GIB), GpuProcess(13, "", None))},
            "another process holds memory on the GPU: python (pid 12, 3.00 GiB), a process (pid 13); end it, or choose a GPU "
            "with CUDA_VISIBLE_DEVICES",
        ),
        (
            {"unnamed_bytes": GIB},
            "1.00 GiB of the GPU were taken before, by processes that NVML does not name here (as in a container): end them, or "
            "choose a GPU with CUDA_VISIBLE_DEVICES",
        ),
        ({"final": None}, "JAX has no memory counters for NVIDIA H100 80GB HBM3: its allocator cannot be read"),
        (
            {"argument_bytes": 5 * GIB},
            "the counters cannot be right: a peak of 4.00 GiB is below the 5.00 GiB of the program's own arguments",
        ),
        (
            {"final": dataclasses.replace(FINAL, in_use_bytes=5 * GIB)},
            "the counters cannot be right: a peak of 4.00 GiB, with 5.00 GiB in use and a limit of 75.00 GiB",
        ),
        (
            {"final": dataclasses.replace(FINAL, limit_bytes=3 * GIB)},
            "the counters cannot be right: a peak of 4.00 GiB, with 1.00 GiB in use and a limit of 3.00 GiB",
        ),
    ],
)
def test_refused(changes, reason):
    assert why_not_trusted(dataclasses.replace(GOOD, **changes)) == reason


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}, "XLA_PYTHON_CLIENT_ALLOCATOR=platform"),
        ({"XLA_PYTHON_CLIENT_ALLOCATOR": "cuda_async"}, "XLA_PYTHON_CLIENT_ALLOCATOR=cuda_async"),
        ({"TF_GPU_ALLOCATOR": "cuda_malloc_async"}, "TF_GPU_ALLOCATOR=cuda_malloc_async"),
    ],
)
def test_a_replaced_allocator(environment, reason):
    text = f"{reason} replaces JAX's allocator, whose counters are what is measured: unset it"
    assert why_no_counters(environment) == text
    assert why_not_trusted(dataclasses.replace(GOOD, environment={**GOOD.environment, **environment})) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_FORCE_UNIFIED_MEMORY", "1"),
        ("TF_FORCE_UNIFIED_MEMORY", "true"),
        ("XLA_PYTHON_CLIENT_MEM_FRACTION", "4.0"),
        ("XLA_CLIENT_MEM_FRACTION", "3.2"),
    ],
)
def test_unified_memory(name, value):
    """As AlphaFold 3's docs/performance.md sets it up for large inputs."""
    assert why_no_counters({name: value}) == f"unified memory is on ({name}={value}): {UNIFIED}"


@pytest.mark.parametrize(
    ("needed_bytes", "text"),
    [
        (23_612_293_120 + 512 * 2**20, "compiled, it needs 22.49 GiB of the 21.99 GiB of l4-24gb: 512.00 MiB would spill"),
        (20 * GIB, "compiled, it needs 20.00 GiB of the 21.99 GiB of l4-24gb: nothing would spill"),
    ],
)
def test_what_unified_memory_would_mean(needed_bytes, text):
    assert what_would_spill(needed_bytes, "l4-24gb") == text


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"XLA_PYTHON_CLIENT_ALLOCATOR": "default", "TF_GPU_ALLOCATOR": ""},
        {"XLA_PYTHON_CLIENT_ALLOCATOR": "BFC", "TF_FORCE_UNIFIED_MEMORY": "false"},
        {"XLA_CLIENT_MEM_FRACTION": "0.95"},
        {"XLA_CLIENT_MEM_FRACTION": "most of it"},
    ],
)
def test_an_allocator_that_can_be_measured(environment):
    assert why_no_counters(environment) == ""


def test_a_peak_that_was_set_back():
    """JAX has no call for it, and a phase that seems to shrink the peak would hide what another took."""
    assert why_not_trusted(dataclasses.replace(GOOD, peaks=(0, GIB, GIB, 4 * GIB))) == ""
    assert why_not_trusted(dataclasses.replace(GOOD, peaks=(0, 3 * GIB, 2 * GIB, 4 * GIB))) == (
        "the counters cannot be right: the peak so far went from 3.00 GiB back to 2.00 GiB, as if something had set it back"
    )
