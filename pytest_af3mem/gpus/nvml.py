"""NVIDIA's management library: which GPUs this machine has, and who holds memory on them. The only module that touches NVML.

It runs in the worker too, whose interpreter may lack `pynvml`: that is one file of the standard library's modules alone, and
`lend` lets the worker load the one that this interpreter has.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged


@dataclass(frozen=True)
class VisibleGpu:
    """A GPU that the driver of this machine reports, or a MIG slice of one.

    `name` is the one that CUDA gives it as well; `uuid` begins with `GPU-` or `MIG-`; `parent_uuid` is, for a slice, that
    of the GPU that it is cut from; `index` is that of the whole GPU, as nvidia-smi counts.
    """

    name: str
    memory_bytes: int
    driver: str
    uuid: str = ""
    parent_uuid: str = ""
    index: int = 0

    @property
    def is_slice(self) -> bool:
        return bool(self.parent_uuid)


@dataclass(frozen=True)
class Facts:
    """What the driver says of a GPU besides its name. `memory_bytes` leaves out what the driver keeps for itself, as CUDA does.

    SMs are `core_count` for a slice; for a whole GPU, which has 0 there, NVML counts `cuda_cores` alone.
    """

    compute_capability: tuple[int, int]
    memory_bytes: int
    core_count: int
    cuda_cores: int


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU at one moment, in bytes.

    `used_bytes` is all that is taken, without what the driver keeps for itself; `processes` maps the process ids that NVML
    names to what each holds, None where the driver does not tell. In a container NVML may name nobody.
    """

    used_bytes: int
    memory_bytes: int
    processes: Mapping[int, int | None] = field(default_factory=dict)


def visible_gpus() -> tuple[list[VisibleGpu], str]:
    """The GPUs of this machine, one with MIG on as its slices, and, where there are none, why."""
    try:
        with _library() as pynvml:
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            gpus = [gpu for index in range(pynvml.nvmlDeviceGetCount()) for gpu in _gpus(pynvml, index, driver)]
        return gpus, "" if gpus else "the driver reports no GPU"
    except NotJudged as error:
        return [], str(error)


def facts(gpu: VisibleGpu) -> Facts:
    """Raises NotJudged, with NVML's words, where it does not say."""
    with _library() as pynvml:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        whole = pynvml.nvmlDeviceGetHandleByUUID(gpu.parent_uuid) if gpu.is_slice else handle
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(whole)
        memory = _memory(pynvml, handle)
        return Facts(
            compute_capability=(major, minor),
            memory_bytes=memory.total - getattr(memory, "reserved", 0),
            core_count=pynvml.nvmlDeviceGetAttributes(handle).multiprocessorCount if gpu.is_slice else 0,
            cuda_cores=0 if gpu.is_slice else pynvml.nvmlDeviceGetNumGpuCores(handle),
        )


class Gauge:
    """Reads the memory of one GPU, again and again. Raises NotJudged, with NVML's words, when it cannot."""

    def __init__(self, uuid: str):
        with contextlib.ExitStack() as opened:
            self._pynvml = opened.enter_context(_library())
            self._handle = self._pynvml.nvmlDeviceGetHandleByUUID(uuid)
            self.close = opened.pop_all().close

    def read(self) -> GpuMemory:
        with _as_not_judged(self._pynvml):
            memory = _memory(self._pynvml, self._handle)
            return GpuMemory(memory.used, memory.total, _processes(self._pynvml, self._handle))


def library() -> str:
    """Path of this interpreter's pynvml, for a worker that has none; empty where it is missing here too."""
    spec = importlib.util.find_spec("pynvml")
    return spec.origin or "" if spec else ""


def lend(path: str) -> None:
    """Makes `import pynvml` work in this process, with the file at `path`, unless it is installed here."""
    if not path or "pynvml" in sys.modules or importlib.util.find_spec("pynvml"):
        return
    spec = importlib.util.spec_from_file_location("pynvml", path)
    if spec and spec.loader and Path(path).exists():
        sys.modules["pynvml"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def process_name(pid: int) -> str:
    """What a process of this machine is called; empty where that cannot be seen."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@contextlib.contextmanager
def _library() -> Iterator[Any]:
    """NVML, started; its errors become NotJudged."""
    try:
        import pynvml
    except ImportError as error:
        raise NotJudged("nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NotJudged(f"no NVIDIA driver: {error}") from error
    try:
        with _as_not_judged(pynvml):
            yield pynvml
    finally:
        pynvml.nvmlShutdown()


@contextlib.contextmanager
def _as_not_judged(pynvml: Any) -> Iterator[None]:
    try:
        yield
    except pynvml.NVMLError as error:
        raise NotJudged(f"the driver does not answer: {error}") from error


def _gpus(pynvml: Any, index: int, driver: str) -> Iterator[VisibleGpu]:
    """The GPU with this index, or the slices that it is cut into."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    slices = list(_slices(pynvml, handle))
    parent_uuid = _text(pynvml.nvmlDeviceGetUUID(handle)) if slices else ""
    for one in slices or [handle]:
        yield VisibleGpu(
            name=_text(pynvml.nvmlDeviceGetName(one)),
            memory_bytes=_memory(pynvml, one).total,
            driver=driver,
            uuid=_text(pynvml.nvmlDeviceGetUUID(one)),
            parent_uuid=parent_uuid,
            index=index,
        )


def _slices(pynvml: Any, handle: Any) -> Iterator[Any]:
    """Handles of the MIG devices of a GPU; none where MIG is off or unknown to it."""
    try:
        on, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:
        return
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) if on else 0):
        with contextlib.suppress(pynvml.NVMLError):  # of a place that holds no slice
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)


def _memory(pynvml: Any, handle: Any) -> Any:
    """Total and used bytes; version 2 leaves out what the driver reserves, and older drivers lack it."""
    with contextlib.suppress(pynvml.NVMLError):
        return pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    return pynvml.nvmlDeviceGetMemoryInfo(handle)


def _processes(pynvml: Any, handle: Any) -> dict[int, int | None]:
    found: dict[int, int | None] = {}
    for ask in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        with contextlib.suppress(pynvml.NVMLError):  # graphics are not supported on every GPU and slice
            found |= {process.pid: process.usedGpuMemory for process in ask(handle)}
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
