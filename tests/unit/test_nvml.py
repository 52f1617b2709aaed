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
    """A stand-in for NVIDIA's module, with a driver and one GPU."""
    ended = []
    module = SimpleNamespace(
        NVMLError=NVMLError,
        ended=ended,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: ended.append(True),
        nvmlSystemGetDriverVersion=lambda: "570.124.06",
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=("NVIDIA H200", b"NVIDIA L4").__getitem__,
        nvmlDeviceGetMemoryInfo=(SimpleNamespace(total=5), SimpleNamespace(total=6)).__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_a_gpu(pynvml):
    assert visible_gpus() == ([VisibleGpu("NVIDIA H200", 5, "570.124.06")], "")
    assert pynvml.ended == [True]


def test_two_gpus_and_text_as_older_versions_give_it(pynvml):
    pynvml.nvmlDeviceGetCount = lambda: 2
    pynvml.nvmlSystemGetDriverVersion = lambda: b"470.82"
    assert visible_gpus() == ([VisibleGpu("NVIDIA H200", 5, "470.82"), VisibleGpu("NVIDIA L4", 6, "470.82")], "")


def test_a_driver_without_gpus(pynvml):
    pynvml.nvmlDeviceGetCount = lambda: 0
    assert visible_gpus() == ([], "the driver reports no GPU")
    assert pynvml.ended == [True]


def test_no_driver(pynvml):
    pynvml.nvmlInit = failing("NVML Shared Library Not Found")
    assert visible_gpus() == ([], "no NVIDIA driver: NVML Shared Library Not Found")
    assert pynvml.ended == []


@pytest.mark.parametrize("function", ["nvmlSystemGetDriverVersion", "nvmlDeviceGetCount", "nvmlDeviceGetMemoryInfo"])
def test_a_driver_that_does_not_answer(pynvml, function):
    setattr(pynvml, function, failing("GPU is lost"))
    assert visible_gpus() == ([], "the driver does not answer: GPU is lost")
    assert pynvml.ended == [True]


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert visible_gpus() == ([], "nvidia-ml-py is not installed")


def test_this_machine():
    gpus, reason = visible_gpus()
    assert bool(gpus) != bool(reason)
