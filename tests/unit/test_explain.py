"""What `af3mem explain` says of logs as people post them, in fixtures/logs, and of single lines of other threads."""

import json
import re
import shlex
from pathlib import Path

import pytest

from pytest_af3mem.commands import cli
from pytest_af3mem.planning import log_causes
from pytest_af3mem.planning.explain import Explanation, read
from pytest_af3mem.planning.log_facts import OF_THE_JOB, OF_THE_MACHINE, WORDS
from pytest_af3mem.planning.log_lines import lines
from pytest_af3mem.planning.log_messages import MESSAGES
from pytest_af3mem.planning.next_steps import steps
from pytest_af3mem.records import out_of_memory
from pytest_af3mem.records.out_of_memory import amount
from pytest_af3mem.reports.explain import render_json, render_text

LOGS = Path(__file__).parents[2] / "fixtures" / "logs"
GIB = 2**30
H100 = 84_942_979_072


def explained(name):
    with (LOGS / f"{name}.txt").open("rb") as log:
        return read(lines(log, WORDS))


def said(*printed):
    """What a log of these lines says."""
    return read(enumerate(printed, 1))


CASES = {
    "allocator-statistics": {
        "cause": "gpu_memory",
        "asked_bytes": int(42.31 * GIB),
        "limit_bytes": int(37.45 * GIB),
        "in_use_bytes": int(1.21 * GIB),
        "tokens": 3612,
        "bucket": 4096,
        "share": 0.95,
        "next": "af3mem fit --tokens 3612 --target NAME",
    },
    "bucket-4608-unified-but-capped": {
        "cause": "gpu_memory",
        "asked_bytes": 93_330_227_896,
        "limit_bytes": H100,
        "tokens": 4184,
        "bucket": 4608,
        "planned_bytes": 81_829_864_407,
        "xla_limit_bytes": 64_284_924_313,
        "target": "h100-80gb",
        "is_unified": True,
        "share": None,
        "stage": "running the network",
        "next": "export XLA_CLIENT_MEM_FRACTION=3.2",
    },
    "rtx4090-without-tokens": {
        "cause": "gpu_memory",
        "asked_bytes": 50_677_266_816,
        "limit_bytes": 25_250_627_584,
        "tokens": None,
        "bucket": None,
        "target": "rtx4090-24gb",
        "is_unified": None,
        "next": "af3mem tokens job.json",
    },
    "gpu-taken-by-another": {
        "cause": "gpu_memory",
        "asked_bytes": 10_200_547_328,
        "limit_bytes": 40_214_462_464,
        "target": "a100-40gb",  # of a name that nvidia-smi cut, and its memory
        "next": "nvidia-smi",
    },
    "cudnn-with-little-memory": {
        "cause": "cudnn",
        "free_bytes": 707_198_976,
        "next": "export XLA_CLIENT_MEM_FRACTION=0.9",
    },
    "shared-memory-of-triton": {
        "cause": "shared_memory",
        "asked_bytes": 106_496,
        "limit_bytes": 101_376,
        "tokens": 913,
        "bucket": 1024,
        "target": "l40s-48gb",
        "next": "pip install --upgrade tokamax",
    },
    "shared-memory-of-xla": {
        "cause": "shared_memory",
        "asked_bytes": 73_728,
        "limit_bytes": 65_536,
        "next": "run_alphafold.py --flash_attention_implementation=xla",
    },
    "slurm-oom-kill-in-searches": {
        "cause": "host_memory_limit",
        "asked_bytes": None,
        "limit_bytes": None,
        "stage": "searching the databases",
        "next": "sacct -j 11300781 --format=JobID,ReqMem,MaxRSS,State",
    },
    "host-killed-with-unified-memory": {
        "cause": "host_memory",
        "in_use_bytes": 198_241_032 * 1024,
        "tokens": 7202,
        "bucket": 7202,
        "target": "a100-40gb",
        "is_unified": True,
        "share": 3.2,
        "also": ["killed"],
        "next": "free -h",
    },
    "illegal-address": {"cause": "illegal_address", "tokens": 6000, "also": ["crash"]},
    "warning-and-done": {"cause": "done", "tokens": 6000, "xla_limit_bytes": 25_890_129_182, "next": None},
    "time-limit": {
        "cause": "time_limit",
        "tokens": 4711,
        "bucket": 5120,
        "next": "sacct -j 494583 --format=JobID,Timelimit,Elapsed,State",
    },
    "driver-too-old": {"cause": "driver", "also": ["no_gpu"], "next": "nvidia-smi"},
    "no-gpu": {"cause": "no_gpu", "next": "nvidia-smi"},
    "missing-database": {"cause": "database", "next": "run_alphafold.py --db_dir=DIR"},
    "full-disk": {"cause": "disk", "stage": "searching the databases", "next": "df -h . /tmp"},
    "an-error-of-another-kind": {"cause": None, "next": "run_alphafold.py ... > run.log 2>&1"},
}


def test_every_log_of_the_folder_is_here():
    assert set(CASES) == {path.stem for path in LOGS.glob("*.txt")}
    assert all(path.read_text().startswith("# ") for path in LOGS.glob("*.txt"))


@pytest.mark.parametrize(("name", "expected"), CASES.items(), ids=CASES)
def test_what_a_log_says(name, expected):
    found = explained(name)
    following = steps(found)
    known = {
        "cause": found.found.cause.name if found.found else None,
        "next": following[0].command if following else None,
        "also": [other.cause.name for other in found.also],
    }
    assert {key: known[key] if key in known else getattr(found, key) for key in expected} == expected


def test_the_text_of_one():
    assert render_text([("run.log", explained("bucket-4608-unified-but-capped"))]).splitlines() == [
        "the GPU ran out of memory (86.92 GiB asked for in one piece, of 79.11 GiB)",
        "  line 17 jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 93330227896 "
        "bytes.",
        "  input   4184 tokens, padded to the bucket of 4608, while running the network",
        "  XLA     planned 76.21 GiB at once, and warned that its limit was 59.87 GiB",
        "  pool    taken at once, unified memory on (XLA_PYTHON_CLIENT_PREALLOCATE=true, TF_FORCE_UNIFIED_MEMORY=true)",
        "  GPU     NVIDIA H100 80GB HBM3, target h100-80gb, 79.11 GiB",
        "  next    export XLA_CLIENT_MEM_FRACTION=3.2           # unified memory is on, and no share above 1 is in the log: "
        "without one the pool ends where the GPU does",
        "          af3mem fit --tokens 4184 --target h100-80gb  # this log is of an older JAX: whether it fits with the versions "
        "here as it is, else with which settings",
        "          af3mem plan job.json --targets gpus          # what it needs, and the GPUs that it fits as it is",
    ]


def test_the_text_in_the_docs_is_that():
    block = (LOGS.parents[1] / "docs" / "explain.md").read_text().partition("[576]:\n\n")[2].partition("\n\nWhat")[0]
    lines = render_text([("run.log", explained("bucket-4608-unified-but-capped"))]).splitlines()
    documented = [line.removeprefix("    ").partition(" ...")[0] for line in block.splitlines()]
    assert [line for line, beginning in zip(lines, documented, strict=True) if not line.startswith(beginning)] == []


def test_cudnn_says_what_is_free():
    assert render_text([("a", explained("cudnn-with-little-memory"))]).startswith(
        "cuDNN does not start (674.44 MiB of the GPU free)\n"
    )
    enough = said("Could not create cudnn handle: X", "Memory usage: 46637514752 bytes free, 47587131392 bytes total.")
    assert steps(enough)[0].command == "unset LD_LIBRARY_PATH"


def test_the_text_of_one_that_says_nothing():
    head, sought, error, _ = render_text([("run.log", explained("an-error-of-another-kind"))]).splitlines()
    assert head == "nothing is known of this log: it names no memory that ran out, and no other end that is known here"
    assert sought.startswith("  sought  GPU memory, a kernel's shared memory, host memory, ")
    assert error.startswith("  error   the last in it is TypeError: DataPipelineConfig.__init__() got an unexpected keyword")


def test_json_has_what_is_not_said_as_null():
    (one,) = json.loads(render_json([("run.log", explained("shared-memory-of-xla"))], []))["logs"]
    assert (one["log"], one["cause"], one["memory"], one["line_number"]) == ("run.log", "shared_memory", "shared", 3)
    assert (one["asked_bytes"], one["limit_bytes"], one["tokens"], one["unified_memory"]) == (73_728, 65_536, None, None)
    assert one["next"][0]["command"] == "run_alphafold.py --flash_attention_implementation=xla"


@pytest.mark.parametrize("name", CASES)
def test_the_next_steps_are_commands_that_exist(name):
    for step in steps(explained(name)):
        program, *arguments = shlex.split(step.command)
        if program == "af3mem":
            assert cli._parser().parse_args(arguments)


LINES = {
    # of jax-cuda12-pjrt 0.10.2
    "INTERNAL: Underlying backend ran out of memory trying to instantiate command buffer with 7": "gpu_memory_outside_pool",
    "RESOURCE_EXHAUSTED: Failed to allocate request for 87.48GiB (93935126000B) on device ordinal 0": "gpu_memory",
    "Failed to allocate 3.00GiB (3221225472 bytes) of pinned host memory: OOM": "host_memory",
    "Failed to allocate 3.00GiB (3221225472 bytes) of unified memory: OOM": "unified_memory",
    "INTERNAL: No PTX compilation provider is available. Neither ptxas/nvlink nor nvjtlink is available.": "cuda_files",
    # iit-DLSLab/mpx#11, and jax-ml/jax#10830
    "RESOURCE_EXHAUSTED: Failed to load in-memory CUBIN.: CUDA_ERROR_OUT_OF_MEMORY: out of memory": "gpu_memory_outside_pool",
    "INTERNAL: failed call to cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY: out of memory": "gpu_memory_outside_pool",
    # NovaSky-AI/SkyRL#624
    "gpu_async_1 cuMemAllocAsync failed to allocate 1225195446464 bytes: CUDA_ERROR_OUT_OF_MEMORY: out of memory": "gpu_memory",
    # google-deepmind/alphafold#197
    "failed to alloc 67108864 bytes on host: CUDA_ERROR_OUT_OF_MEMORY: out of memory": "host_memory",
    "failed to alloc 34357903360 bytes unified memory; result: CUDA_ERROR_OUT_OF_MEMORY: out of memory": "unified_memory",
    "Allocator (xla_gpu_host_bfc) ran out of memory trying to allocate 48.00MiB (rounded to 50331648)": "host_memory",
    "could not allocate pinned host memory of size: 67108864": "host_memory",
    "terminate called after throwing an instance of 'std::bad_alloc'": "host_memory",
    "MemoryError": "host_memory",
    "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2.34 GiB for an array with shape (5, 2)": "host_memory",
    "OSError: [Errno 12] Cannot allocate memory": "host_memory",
    "slurmstepd: error: Detected 12 oom-kill event(s) in StepId=16198179.batch.": "host_memory_limit",
    "srun: error: gpu012: task 0: Out Of Memory": "host_memory_limit",
    "Memory cgroup out of memory: Killed process 7 (python3) total-vm:1kB, anon-rss:12kB": "host_memory_limit",
    "run.sh: line 7: 12989 Killed                  python run_alphafold.py": "killed",
    "Killed": "killed",
    "container exited with code 137": "killed",
    # jax-ml/jax#17320, and as CUDA refuses a launch
    "failed: Shared memory requested exceeds device resources": "shared_memory",
    "Failed to set max dynamic shared memory to 106496: CUDA_ERROR_INVALID_VALUE: invalid argument": "shared_memory",
    "CUDA error: Failed to destroy CUDA graph: CUDA_ERROR_INVALID_VALUE: invalid argument": "launch",
    # jax-ml/jax#27599, google-deepmind/alphafold3#341
    "INTERNAL: Failed to capture gpu graph: CUDNN_STATUS_EXECUTION_FAILED": "launch",
    "jaxlib.xla_extension.XlaRuntimeError: INTERNAL: the function failed to launch on the GPU": "launch",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION: the provided PTX was compiled with an unsupported toolchain.": "driver",
    "Possible causes: device not supported (request SM60+), driver too old": "driver",
    "INTERNAL: the CUDA driver is too old": "driver",
    "Unknown backend: 'gpu' requested, but no platforms that are instances of gpu are present.": "no_gpu",
    'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].': "no_gpu",
    # google-deepmind/alphafold3#90
    "ValueError: implementation='triton' is unsupported on this GPU generation.": "gpu_generation",
    "CUDA error: no kernel image is available for execution on the device": "gpu_generation",
    "INTERNAL: libdevice not found at ./libdevice.10.bc": "cuda_files",
    "There was an error before creating cudnn handle (500): cudaErrorSymbolNotFound : named symbol not found": "cudnn",
    "failed to slurp /db/uniref90_2022_05_s1.fasta": "database",
    "FileNotFoundError: [Errno 2] No such file or directory: '/db/pdb_2022_09_28_mmcif_files.tar'": "database",
    "ValueError: Could not find Jackhmmer database /mnt/uniprot.fasta": "database",
    "FileNotFoundError: No models matched in /root/models": "parameters",
    "OSError: [Errno 122] Disk quota exceeded": "disk",
    "=>> PBS: job killed: walltime 3610 exceeded limit 3600": "time_limit",
    "Fatal Python error: Segmentation fault": "crash",
    # as JAX, XLA, CUDA, Slurm, PBS, Docker, bash and AlphaFold 3 write them
    "Failed to allocate host memory for transfer buffer: 1": "host_memory",
    "slurmstepd: error: Exceeded job memory limit at some point.": "host_memory_limit",
    "=>> PBS: job killed: mem 3146020kb exceeded limit 3145728kb": "host_memory_limit",
    "cudaErrorMemoryAllocation : out of memory": "gpu_memory",
    "CUDA driver version is insufficient for CUDA runtime version": "driver",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has unsupported display driver / cuda driver combination": "driver",
    "Failed to initialize NVML: Driver/library version mismatch": "driver",
    "An NVIDIA GPU may be present on this machine, but a CUDA-enabled jaxlib is not installed. Falling back to cpu.": "no_gpu",
    "INTERNAL: no supported devices found for platform CUDA": "no_gpu",
    "RuntimeError: Backend 'cuda' failed to initialize: INTERNAL": "no_gpu",
    "No GPU/TPU found, falling back to CPU.": "no_gpu",
    "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image": "gpu_generation",
    "ValueError: For devices with GPU compute capability 7.x (see https://developer.nvidia.com/cuda-gpus)": "gpu_generation",
    "Can't find libdevice directory ${CUDA_DIR}/nvvm/libdevice.": "cuda_files",
    "Couldn't find a suitable version of ptxas": "cuda_files",
    "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure": "launch",
    "Failed to launch CUDA kernel: fusion_1560": "launch",
    'FileNotFoundError: Model missing from "/root/models"': "parameters",
    "Exit code: 137": "killed",
    "Aborted (core dumped)": "crash",
    "Done processing 2 fold inputs.": "done",
    "Done processing fold input 2pv7.": "done",
    # warnings alone
    "ran out of memory trying to allocate 4.49GiB. The caller indicates that this is not a failure, but": "retried",
    "Can't reduce memory use below 1.00GiB (1073741824 bytes) by rematerialization; only reduced to 2.00GiB": "rematerialized",
}


FACTS = (
    "                 total allocation:   14.44GiB",
    "INTERNAL: failed initializing StreamExecutor: CUDA_ERROR_OUT_OF_MEMORY: out of memory; total memory reported: 34089730048",
    "StreamExecutor device (0): Tesla T4, Compute Capability 7.5",
    "  MIG 3g.20gb     Device  0: (UUID: MIG-1)",
    "|   0  Tesla V100-SXM2-32GB           On  | 00000000:3B:00.0 Off |                    0 |",
)


@pytest.mark.parametrize(("line", "cause"), LINES.items())
def test_one_line(line, cause):
    assert said(line).found.cause.name == cause


@pytest.mark.parametrize(
    "line",
    [
        "Unable to initialize backend 'rocm': module 'jaxlib.xla_extension' has no attribute 'GpuAllocatorConfig'",
        "Unable to initialize backend 'tpu': INTERNAL: Failed to open libtpu.so",
        "torch.OutOfMemoryError: no such thing here",
        "Running model inference with seed 1...",
        "",
    ],
)
def test_lines_that_say_nothing(line):
    assert said(line).found is None


@pytest.mark.parametrize("line", LINES)
def test_the_worker_reads_errors_of_a_gpu_in_the_same_way(line):
    failure = out_of_memory.read(line)
    if failure and failure.cause is out_of_memory.Cause.GPU and "not a failure" not in line:
        found = said(line)
        assert found.memory == ("host" if "host" in line else "gpu")
        assert failure.asked_bytes in (None, found.asked_bytes)


def test_every_row_of_the_tables_is_one_that_people_met():
    met = [*LINES, *FACTS, *(line for path in LOGS.glob("*.txt") for line in path.read_text().splitlines())]
    rows = [(one.words, one.pattern) for one in MESSAGES] + [*OF_THE_JOB, *OF_THE_MACHINE]
    assert [words for words, pattern in rows if not any(words in line and re.search(pattern, line) for line in met)] == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("47.20GiB", int(47.2 * GIB)),
        ("17.79G", int(17.79 * GIB)),
        ("96 bytes", 96),
        ("50331648", 50_331_648),
        ("93935126000B", 93_935_126_000),
        ("81559MiB", 81_559 * 2**20),
        ("12kB", 12_288),
        ("0xc600", 50_688),
        ("1.2.3", None),
        (None, None),
    ],
)
def test_amounts(text, size):
    assert amount(text) == size


OOM = "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes."
DONE = "Fold job a done, output written to /out/a"
START = "Running AlphaFold 3. Please note that standard AlphaFold 3 model parameters are"


def test_a_warning_gives_way_to_an_error_and_a_general_line_to_a_special_one():
    warning = "W0522 03:21:24.108116 1 x.cc:1] Allocator (GPU_0_bfc) ran out of memory trying to allocate 1.00GiB"
    assert said(warning).found.cause is log_causes.GPU
    assert said(OOM, warning).found.number == 1
    assert said("libdevice not found", warning).found.cause is log_causes.COMPILER
    assert said("kernel version 5 does not match DSO version 6", "No visible GPU devices").found.cause is log_causes.DRIVER


def test_of_two_errors_the_last_counts_and_the_other_is_named():
    found = said(OOM, "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.")
    assert found.found.cause is log_causes.JOB_LIMIT
    assert [other.cause for other in found.also] == [log_causes.GPU]
    assert "  also    the GPU ran out of memory (line 1)\n" in render_text([("a", found)])


def test_tokens_are_those_of_the_job_that_failed():
    one, other = (
        f"Got bucket size {size} for input with {size - 6} tokens, resulting in 6 padded tokens." for size in (256, 512)
    )
    assert said("Running fold job a...", one, OOM, "Running fold job b...", other, DONE).tokens == 250
    assert said("Running fold job a...", one, DONE, "Running fold job b...", other, OOM).tokens == 506
    assert said("Running fold job a...", one, DONE, "Running fold job b...", OOM).tokens is None


def test_a_run_that_failed_is_explained_though_a_later_one_did_not():
    found = said(START, OOM, START, DONE)
    assert (found.found.cause, found.ended_well) == (log_causes.GPU, True)
    assert "  later   a later run or job of this log ended well\n" in render_text([("a", found)])
    assert not said(START, DONE, START, OOM).ended_well


def test_the_bucket_is_of_the_sizes_in_the_log():
    line = "Calculating bucket size for input with 300 tokens."
    assert said(line, OOM).bucket == 384
    assert said("run_alphafold.py --buckets=256,512", line, OOM).bucket == 512
    assert said("run_alphafold.py --buckets=256", line, OOM).bucket == 300


@pytest.mark.parametrize(
    ("printed", "target"),
    [
        (["GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)", "  MIG 3g.20gb     Device  0: (UUID: MIG-1)"], "a100-40gb/3g.20gb"),
        (["GPU 0: NVIDIA H200 (UUID: GPU-1)", "GPU 1: NVIDIA L4 (UUID: GPU-2)"], "h200-141gb"),
        (["|   0  NVIDIA H100 PCIe               On  |   00000000:81:00.0 Off |                    0 |"], "h100-pcie-80gb"),
        (
            [
                "|   0  NVIDIA H100 PCIe               On  |   00000000:81:00.0 Off |                    0 |",
                "| N/A   35C    P0             53W /  310W |       1MiB /  81559MiB |      0%      Default |",
            ],
            "h100-pcie-80gb",
        ),
        (["GPU 0: NVIDIA A100-PCIE-40GB (UUID: GPU-1)"], "a100-pcie-40gb"),
        (["GPU 0: NVIDIA A100 80GB PCIe (UUID: GPU-1)"], "a100-pcie-80gb"),
        (["GPU 0: NVIDIA GH200 480GB (UUID: GPU-1)"], "gh200-96gb"),
        (["GPU 0: NVIDIA GeForce RTX 4080 (UUID: GPU-1)"], ""),
        (["StreamExecutor device (0): Tesla T4, Compute Capability 7.5"], "t4-16gb"),
    ],
)
def test_the_gpu_that_a_log_names(printed, target):
    assert said(*printed, OOM).target == target


def test_a_gpu_that_is_no_target():
    text = render_text([("a", said("GPU 0: NVIDIA H100 CNX (UUID: GPU-1)", OOM))])
    assert "  GPU     NVIDIA H100 CNX, not a target of af3mem\n" in text
    assert "af3mem fit --tokens N --target NAME" in text


def test_the_pool_is_a_share_of_the_gpu():
    gpu = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)"
    assert said(gpu, "export XLA_CLIENT_MEM_FRACTION=0.95", OOM).limit_bytes == int(0.95 * H100)
    assert said(gpu, "ENV XLA_CLIENT_MEM_FRACTION 3.2", OOM).limit_bytes == int(3.2 * H100)
    assert said(gpu, "'XLA_PYTHON_CLIENT_ALLOCATOR': 'platform'", "XLA_CLIENT_MEM_FRACTION=0.5", OOM).limit_bytes == H100
    assert said(OOM).limit_bytes is None


def test_what_xla_says_below_the_error():
    """As in patrickbryant1/AFProfile#8."""
    found = said(OOM, "BufferAssignment OOM Debugging.", "                 total allocation:   14.44GiB")
    assert found.needed_bytes == int(14.44 * GIB)
    assert "  XLA     the program takes 14.44 GiB in all: " in render_text([("a", found)])
    assert said("total allocation:   14.44GiB", "Running fold job b...", OOM).needed_bytes is None


@pytest.mark.parametrize(
    ("line", "is_preallocated", "is_unified"),
    [
        ("XLA_PYTHON_CLIENT_PREALLOCATE=true", True, None),
        ("export XLA_PYTHON_CLIENT_PREALLOCATE=false TF_FORCE_UNIFIED_MEMORY=1", False, True),
        ("docker run -e XLA_PYTHON_CLIENT_PREALLOCATE=true -e XLA_PYTHON_CLIENT_ALLOCATOR=platform", False, None),
        ("XLA backend allocating 40214462464 bytes on device 0 for BFCAllocator.", True, None),
        ("XLA backend will use up to 40214462464 bytes on device 0 for BFCAllocator.", False, None),
        ("TF_FORCE_UNIFIED_MEMORY=false", None, False),
        ("(a) Give more memory to the driver by reducing XLA_CLIENT_MEM_FRACTION (b) Disable", None, None),
    ],
)
def test_how_the_pool_was_taken(line, is_preallocated, is_unified):
    found = said(line, OOM)
    assert (found.is_preallocated, found.is_unified) == (is_preallocated, is_unified)
    assert "\n  pool   " in render_text([("a", found)])


def test_unified_memory_that_the_host_lacks():
    gpu = "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-1)"
    first, *_ = steps(said(gpu, "TF_FORCE_UNIFIED_MEMORY=true XLA_CLIENT_MEM_FRACTION=4.0", OOM))
    assert first.command == "free -h"


def test_columns_of_a_long_log():
    log = [""] * 99_999 + [OOM]
    _, line, *rest = render_text([("a", said(*log))]).splitlines()
    assert line.startswith(f"  line 100000 {OOM}")
    assert rest[0].startswith("  pool        whether it is taken at once is not in the log, nothing of ")


def test_an_empty_record_says_nothing():
    assert said() == Explanation()
