"""What can be known of another process's GPU memory, and what it says where that is not known."""

import os

import pytest

from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.gpus import nvml, occupancy
from pytest_af3mem.gpus.occupancy import Occupancy
from pytest_af3mem.reports import occupancy as occupancy_report

GIB = 2**30
INSIDE = "not known from outside; in that process: jax.local_devices()[0].memory_stats(), and for the need: af3mem measure"
ALPHAFOLD3 = {"XLA_PYTHON_CLIENT_PREALLOCATE": "true", "XLA_CLIENT_MEM_FRACTION": "0.95"}  # of its docker/Dockerfile


def seen(environment, held_bytes=77 * GIB, has_jax=True):
    return Occupancy(12, "python3", "NVIDIA H100 80GB HBM3", "GPU-1", 80 * GIB, held_bytes, environment, has_jax)


def rows(*of):
    return {line[2:20].strip(): line[20:] for line in occupancy_report.render(seen(*of))[1:]}


def test_alphafold3_in_its_container():
    assert (
        occupancy_report.render(seen(ALPHAFOLD3))[0] == "python3 12 holds 77.00 GiB of 80.00 GiB of NVIDIA H100 80GB HBM3 (GPU-1)"
    )
    assert rows(ALPHAFOLD3) == {
        "pool, reserved": "76.00 GiB: 95% of the GPU at once, whatever the need (as it was started)",
        "pool, in use": INSIDE,
        "outside the pool": "1.00 GiB: CUDA context, libraries, kernels",
    }


@pytest.mark.parametrize(
    ("of", "reserved", "outside"),
    [
        (
            ({}, 61 * GIB),
            "60.00 GiB: 75% of the GPU at once, whatever the need (JAX's default)",
            "1.00 GiB: CUDA context, libraries, kernels",
        ),
        (
            ({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}, 5 * GIB),
            "at most 5.00 GiB: it grows by need and gives nothing back, so it shows the most so far",
            "not known: CUDA context, libraries and kernels, some hundred MiB",
        ),
        (
            (ALPHAFOLD3, GIB),
            "not known: it was started to take 95% of the GPU at once, and holds less",
            "not known: CUDA context, libraries and kernels, some hundred MiB",
        ),
        (
            (None, GIB),
            "not known: the environment of that process cannot be read",
            "not known: CUDA context, libraries and kernels, some hundred MiB",
        ),
    ],
)
def test_what_is_known(of, reserved, outside):
    assert rows(*of) == {"pool, reserved": reserved, "pool, in use": INSIDE, "outside the pool": outside}


def test_another_program():
    assert rows({}, GIB, False) == {"what for": "not known: it has not loaded JAX's CUDA plugin"}
    assert occupancy_report.render(seen(None, None, None))[0].startswith("python3 12 holds an unknown part of 80.00 GiB of ")


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, 0.75),
        (ALPHAFOLD3, 0.95),
        ({"XLA_PYTHON_CLIENT_MEM_FRACTION": ".5"}, 0.5),
        ({"XLA_PYTHON_CLIENT_PREALLOCATE": "False"}, None),
        ({"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}, None),
        ({"XLA_CLIENT_MEM_FRACTION": "most"}, None),
    ],
)
def test_preallocated(environment, share):
    assert occupancy.preallocated(environment) == share


class Gauge:
    def __init__(self, uuid):
        self.uuid = uuid

    def read(self):
        return nvml.GpuMemory(9 * GIB, 80 * GIB, {os.getpid(): 8 * GIB} if self.uuid == "GPU-1" else {})

    def close(self):
        pass


def test_look(monkeypatch):
    gpus = [nvml.VisibleGpu("NVIDIA L4", 80 * GIB, "570", f"GPU-{index}", index=index) for index in range(2)]
    monkeypatch.setattr(nvml, "visible_gpus", lambda: (gpus, ""))
    monkeypatch.setattr(nvml, "Gauge", Gauge)
    (found,) = occupancy.look(os.getpid())
    assert (found.uuid, found.held_bytes, found.has_jax) == ("GPU-1", 8 * GIB, False)
    assert found.environment["PATH"] == os.environ["PATH"]
    with pytest.raises(NotJudged, match=r"^NVML names process 1 on no GPU: it holds no memory there, or "):
        occupancy.look(1)
    with pytest.raises(UsageError, match=r"^there is no process 4194305 here$"):
        occupancy.look(2**22 + 1)


def test_look_without_a_gpu(monkeypatch):
    monkeypatch.setattr(nvml, "visible_gpus", lambda: ([], "no NVIDIA driver: Not Found"))
    with pytest.raises(NotJudged, match=r"^no GPU is visible \(no NVIDIA driver: Not Found\)$"):
        occupancy.look(os.getpid())
