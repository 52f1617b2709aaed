"""What may have ended a run of AlphaFold 3."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """What ended a run: its name in JSON, in words, and which memory ran out, where one did (`gpu`, `shared`, `host`)."""

    name: str
    title: str
    memory: str = ""

    @property
    def is_failure(self) -> bool:
        return self not in (DONE, RETRIED, REMATERIALIZED)


GPU = Cause("gpu_memory", "the GPU ran out of memory", "gpu")
OUTSIDE = Cause("gpu_memory_outside_pool", "the GPU ran out of memory outside JAX's pool, which CUDA itself needed", "gpu")
UNIFIED = Cause("unified_memory", "unified memory ran out, which is that of the GPU and of the host together", "gpu")
SHARED = Cause("shared_memory", "a kernel wants more shared memory than this GPU has: no lack of GPU memory", "shared")
JOB_LIMIT = Cause("host_memory_limit", "the job reached its limit of host memory and was killed: no lack of GPU memory", "host")
HOST = Cause("host_memory", "the host ran out of memory: no lack of GPU memory", "host")
KILLED = Cause("killed", "the process was killed from outside, as is done when host memory runs out: no lack of GPU memory")
TIME = Cause("time_limit", "the job reached its time limit: nothing of memory")
DRIVER = Cause("driver", "the driver of the GPU does not fit the CUDA that JAX has: nothing of memory")
NO_GPU = Cause("no_gpu", "JAX found no GPU that it can use: nothing of memory")
GENERATION = Cause("gpu_generation", "a kernel does not exist for this generation of GPUs: nothing of memory")
COMPILER = Cause("cuda_files", "files of CUDA that XLA compiles with are missing: nothing of memory")
CUDNN = Cause("cudnn", "cuDNN does not start")
ADDRESS = Cause("illegal_address", "a kernel read or wrote where it may not: a fault in code, no lack of memory")
LAUNCH = Cause("launch", "a kernel could not be started on the GPU: the log names no lack of memory")
DATABASE = Cause("database", "a database of sequences or structures is missing or unreadable: nothing of memory")
PARAMETERS = Cause("parameters", "the parameters of the model are missing: nothing of memory")
DISK = Cause("disk", "a disk is full, or its quota: nothing of memory")
CRASH = Cause("crash", "the process crashed, and does not say why")
DONE = Cause("done", "nothing failed: what this log tells of is done")
RETRIED = Cause("retried", "nothing failed so far: the allocator was refused once, and XLA went on with less")
REMATERIALIZED = Cause("rematerialized", "nothing failed so far: XLA warns that it could not plan the program within its limit")
