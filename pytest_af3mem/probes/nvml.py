"""NVIDIA's management library: which GPUs are visible here. The only module that touches NVML."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VisibleGpu:
    """A GPU that the driver of this machine reports."""

    name: str
    memory_bytes: int
    driver: str


def visible_gpus() -> tuple[list[VisibleGpu], str]:
    """The GPUs of this machine, and, where there are none, why."""
    try:
        import pynvml
    except ImportError:
        return [], "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return [], f"no NVIDIA driver: {error}"
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        gpus = [
            VisibleGpu(_text(pynvml.nvmlDeviceGetName(handle)), pynvml.nvmlDeviceGetMemoryInfo(handle).total, driver)
            for handle in handles
        ]
        return gpus, "" if gpus else "the driver reports no GPU"
    except pynvml.NVMLError as error:
        return [], f"the driver does not answer: {error}"
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
