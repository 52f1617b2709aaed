import sys
from types import SimpleNamespace

import pytest

from pytest_af3mem.probes.nvml import VisibleGpu, visible_gpus


class NVMLError(Exception):
    pass


def failing(text):
    def fail(*_):
        raise NVMLError(text)

    return fail


@pytest.fixture
def pynvml(monkeypatch):
    """A stand-in for NVIDIA's module, with a driver and two GPUs, one of them named as older versions do."""
    ended = []
    module = SimpleNamespace(
        NVMLError=NVMLError,
        ended=ended,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: ended.append(True),
        nvmlSystemGetDriverVersion=lambda: "570.124.06",
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=("NVIDIA H200", b"NVIDIA L4").__getitem__,
        nvmlDeviceGetMemoryInfo=(SimpleNamespace(total=5), SimpleNamespace(total=6)).__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_gpus(pynvml):
    assert visible_gpus() == ([VisibleGpu("NVIDIA H200", 5, "570.124.06"), VisibleGpu("NVIDIA L4", 6, "570.124.06")], "")
    assert pynvml.ended == [True]


@pytest.mark.parametrize(
    ("function", "stand_in", "reason", "ended"),
    [
        ("nvmlInit", failing("Library Not Found"), "no NVIDIA driver: Library Not Found", []),
        ("nvmlSystemGetDriverVersion", failing("GPU is lost"), "the driver does not answer: GPU is lost", [True]),
        ("nvmlDeviceGetMemoryInfo", failing("GPU is lost"), "the driver does not answer: GPU is lost", [True]),
        ("nvmlDeviceGetCount", lambda: 0, "the driver reports no GPU", [True]),
    ],
)
def test_no_gpu(pynvml, function, stand_in, reason, ended):
    setattr(pynvml, function, stand_in)
    assert visible_gpus() == ([], reason)
    assert pynvml.ended == ended


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert visible_gpus() == ([], "nvidia-ml-py is not installed")


def test_this_machine():
    gpus, reason = visible_gpus()
    assert bool(gpus) != bool(reason)
