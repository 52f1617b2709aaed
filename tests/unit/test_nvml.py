import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus import nvml
from pytest_af3mem.gpus.nvml import Gauge, GpuMemory, VisibleGpu, visible_gpus

DRIVER = "570.124.06"


class NVMLError(Exception):
    pass


def failing(text):
    def fail(*_):
        raise NVMLError(text)

    return fail


class Memory(SimpleNamespace):
    pass


class Pynvml:
    """A stand-in for NVIDIA's module: a driver and three GPUs, one named as older versions do, one cut into two slices."""

    NVMLError = NVMLError
    nvmlMemory_v2 = 2
    processes = ()

    def __init__(self):
        self.ended = []
        self.names = {0: "NVIDIA H200", 1: b"NVIDIA L4", 2: "NVIDIA A100"}
        self.names |= {"2/0": "NVIDIA A100 MIG 1g.5gb", "2/5": "NVIDIA A100 MIG 2g.10gb"}

    def nvmlInit(self):
        pass

    def nvmlShutdown(self):
        self.ended.append(True)

    def nvmlSystemGetDriverVersion(self):
        return DRIVER

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        found = [handle for handle in self.names if self.nvmlDeviceGetUUID(handle) == uuid]
        return found[0] if found else failing("Not Found")()

    def nvmlDeviceGetName(self, handle):
        return self.names[handle]

    def nvmlDeviceGetUUID(self, handle):
        return f"{'MIG' if isinstance(handle, str) else 'GPU'}-{handle}"

    def nvmlDeviceGetMigMode(self, handle):
        return [handle == 2, 0] if handle else failing("Not Supported")()

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):
        return f"{handle}/{index}" if index in (0, 5) else failing("Not Found")()

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        return Memory(total=80, used=7 if version else 9)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self.processes

    nvmlDeviceGetGraphicsRunningProcesses = staticmethod(failing("Not Supported"))


@pytest.fixture
def pynvml(monkeypatch):
    module = Pynvml()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_gpus(pynvml):
    gpus, reason = visible_gpus()
    assert gpus == [
        VisibleGpu("NVIDIA H200", 80, DRIVER, "GPU-0", index=0),
        VisibleGpu("NVIDIA L4", 80, DRIVER, "GPU-1", index=1),
        VisibleGpu("NVIDIA A100 MIG 1g.5gb", 80, DRIVER, "MIG-2/0", parent_uuid="GPU-2", index=2),
        VisibleGpu("NVIDIA A100 MIG 2g.10gb", 80, DRIVER, "MIG-2/5", parent_uuid="GPU-2", index=2),
    ]
    assert [gpu.is_slice for gpu in gpus] == [False, False, True, True]
    assert (reason, pynvml.ended) == ("", [True])


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
    with pytest.raises(NotJudged, match=r"^nvidia-ml-py is not installed$"):
        Gauge("GPU-0")


def test_this_machine():
    gpus, reason = visible_gpus()
    assert bool(gpus) != bool(reason)


def test_gauge(pynvml):
    gauge = Gauge("MIG-2/5")
    assert pynvml.ended == []
    pynvml.processes = [SimpleNamespace(pid=12, usedGpuMemory=5), SimpleNamespace(pid=13, usedGpuMemory=None)]
    assert gauge.read() == GpuMemory(7, 80, {12: 5, 13: None})
    gauge.close()
    assert pynvml.ended == [True]


def test_gauge_with_a_driver_that_lacks_the_second_version(pynvml):
    original = pynvml.nvmlDeviceGetMemoryInfo
    pynvml.nvmlDeviceGetMemoryInfo = lambda handle, version=None: failing("Not Found")() if version else original(handle)
    gauge = Gauge("GPU-0")
    assert gauge.read() == GpuMemory(9, 80)
    gauge.close()


def test_gauge_of_a_gpu_that_is_gone(pynvml):
    with pytest.raises(NotJudged, match=r"^the driver does not answer: Not Found$"):
        Gauge("GPU-9")
    assert pynvml.ended == [True]
    gauge = Gauge("GPU-0")
    pynvml.nvmlDeviceGetMemoryInfo = failing("GPU is lost")
    with pytest.raises(NotJudged, match=r"^the driver does not answer: GPU is lost$"):
        gauge.read()


def test_a_worker_without_it_is_lent_ours(start, tmp_path):
    (tmp_path / "pytest_af3mem").symlink_to(Path(nvml.__file__).parents[1])
    code = "import sys\nsys.path = [p for p in sys.path if 'site-packages' not in p]\nsys.path.insert(0, sys.argv[1])"
    code += "\nfrom pytest_af3mem.gpus import nvml\nnvml.lend(sys.argv[2])\nprint(nvml.visible_gpus()[1])"
    for path, reason in (("", "nvidia-ml-py is not installed"), (nvml.library(), visible_gpus()[1])):
        process = start(code, tmp_path, path)
        assert process.communicate(timeout=30)[0].strip() == reason


def test_process_names():
    assert nvml.process_name(os.getpid()).startswith("py")
    assert nvml.process_name(2**22 + 1) == ""
