"""CUDA_VISIBLE_DEVICES as CUDA reads it, and the GPUs that a target means."""

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus import local
from pytest_af3mem.gpus.nvml import VisibleGpu

GIB = 2**30
H100 = [
    VisibleGpu("NVIDIA H100 80GB HBM3", 80 * GIB, "570", f"GPU-{letter}{index}", index=index)
    for index, letter in enumerate("abc")
]
SLICES = [
    VisibleGpu("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10 * GIB, "570", f"MIG-{letter}", parent_uuid="GPU-card", index=0)
    for letter in "xy"
]
MIXED = [H100[0], VisibleGpu("NVIDIA L4", 22 * GIB, "570", "GPU-l4", index=1)]


@pytest.mark.parametrize(
    ("stated", "left"),
    [
        (None, [0, 1, 2]),
        ("1", [1]),
        ("2,0", [2, 0]),
        ("0,0", [0]),
        (" GPU-b1 , GPU-c", [1, 2]),
        ("0,9,1", [0]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_seen(stated, left):
    environment = {} if stated is None else {"CUDA_VISIBLE_DEVICES": stated}
    assert local.visible_among(H100, environment) == [H100[index] for index in left]


def test_seen_slices():
    assert local.visible_among(SLICES, {}) == SLICES
    assert local.visible_among(SLICES, {"CUDA_VISIBLE_DEVICES": "MIG-y"}) == [SLICES[1]]
    assert local.visible_among(SLICES, {"CUDA_VISIBLE_DEVICES": "0"}) == [SLICES[0]]  # of a card CUDA takes the first
    assert local.visible_among(SLICES, {"CUDA_VISIBLE_DEVICES": "GPU-card"}) == [SLICES[0]]


def test_an_index_that_may_mean_either_of_two():
    with pytest.raises(NotJudged) as caught:
        local.visible_among(MIXED, {"CUDA_VISIBLE_DEVICES": "0"})
    assert str(caught.value) == (
        "CUDA_VISIBLE_DEVICES=0 may mean any of NVIDIA H100 80GB HBM3, NVIDIA L4: set CUDA_DEVICE_ORDER=PCI_BUS_ID as well, "
        "or name the GPU by its UUID (nvidia-smi -L)"
    )
    by_slot = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert local.visible_among(MIXED, by_slot) == local.visible_among(MIXED, {"CUDA_VISIBLE_DEVICES": "GPU-l4"}) == [MIXED[1]]


@pytest.fixture
def gpus(monkeypatch):
    found = []
    monkeypatch.setattr(local, "visible_gpus", lambda: (found, "" if found else "no NVIDIA driver: Not Found"))
    return found


def test_targets(gpus):
    assert local.targets({}) == []
    gpus += [VisibleGpu("NVIDIA Quadro of old", GIB, "570", "GPU-q", index=9), *SLICES, *H100]
    assert local.targets({}) == ["a100-80gb/1g.10gb", "h100-80gb"]
    assert local.targets({"CUDA_VISIBLE_DEVICES": "GPU-q"}) == []
    assert local.candidates("h100-80gb", {}) == H100


@pytest.mark.parametrize(
    ("found", "environment", "reason"),
    [
        ([], {}, "no GPU is visible (no NVIDIA driver: Not Found); --af3-method compiled needs no GPU"),
        (H100, {"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES= leaves no GPU to see; --af3-method compiled needs no GPU"),
        (
            [MIXED[1], VisibleGpu("NVIDIA Quadro of old", GIB, "570", "GPU-q", index=2)],
            {},
            "h100-80gb was asked for, and the GPUs here are NVIDIA L4 (l4-24gb), NVIDIA Quadro of old (not in the catalogue): "
            "name one with --af3-target; --af3-method compiled needs no GPU",
        ),
    ],
)
def test_none_to_measure_on(gpus, found, environment, reason):
    gpus += found
    with pytest.raises(NotJudged) as caught:
        local.candidates("h100-80gb", environment)
    assert str(caught.value) == reason
