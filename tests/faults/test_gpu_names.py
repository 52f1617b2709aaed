"""What is said of a GPU that is not in the catalogue never leads to a larger one."""

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.gpus.unlisted import nominal_gb

FILE = "describe it in a file, --af3-target FILE.txtpb"


def told(name):
    with pytest.raises(gpus.UnknownTarget) as caught:
        gpus.find(name)
    return str(caught.value).removeprefix(f"unknown target {name!r}").removesuffix(" (all: af3mem doctor)")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h20", f": NVIDIA's H20 (96 GB) is not in the catalogue yet: {FILE}; the nearest with no more memory are "
                "gh200-96gb and rtx6000pro-96gb"),
        ("rtx-pro-5000", f": NVIDIA's RTX PRO 5000 (48 GB) is not in the catalogue yet: {FILE}; the nearest with no more "
                         "memory are a6000-48gb and a40-48gb and l40-48gb"),
        ("NVIDIA-GeForce-RTX-4080", f": NVIDIA's RTX 4080 (16 GB) is not in the catalogue yet: {FILE}; the nearest with no more "
                                    "memory are p100-16gb and v100-16gb and t4-16gb"),
        ("rtx3070", f": NVIDIA's RTX 3070 (8 GB) is not in the catalogue yet: {FILE}"),
        ("gh200-144gb", f": NVIDIA's GH200 (144 GB) is not in the catalogue yet: {FILE}; the nearest with no more memory are "
                        "h200-141gb and h200-nvl-141gb"),
    ],
)  # fmt: skip
def test_a_gpu_that_is_known_and_not_in_the_catalogue(name, text):
    assert told(name) == text


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("mi300x", "AMD"),
        ("MI250", "AMD"),
        ("amd-mi325x-256gb", "AMD"),
        ("radeon", "AMD"),
        ("m2-ultra", "Apple"),
        ("m3", "Apple"),
        ("apple-m1", "Apple"),
        ("gaudi3", "Intel"),
    ],
)
def test_other_makers_are_named(name, maker):
    way_out = ", for which XLA compiles only where ROCm is installed as well as jax-rocm7-plugin" if maker == "AMD" else ""
    assert told(name) == f": AlphaFold 3 runs on NVIDIA's GPUs alone, and this is {maker}'s{way_out}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gh200", ": did you mean gh200-96gb?"),
        ("gb200", ": did you mean gb200-186gb?"),
        ("h100-nvl", ": did you mean h100-nvl-94gb?"),
        ("a100-pcie", ": did you mean a100-pcie-40gb or a100-pcie-80gb?"),
        ("l4", ": did you mean l4-24gb?"),
        ("rtx-4090", ": did you mean rtx4090-24gb?"),
        ("rtx-pro-4500", ": did you mean rtx4500pro-32gb?"),
        ("NVIDIA-GeForce-RTX-5090", ": did you mean rtx5090-32gb?"),
        ("rtx-a6000", ": did you mean a6000-48gb?"),
        ("rtx4091", ": did you mean rtx4090-24gb?"),
    ],
)
def test_a_name_without_its_memory(name, text):
    assert told(name) == text


@pytest.mark.parametrize(
    "name", ["a100-24gb", "h100-40gb", "v100-24gb", "b200-140gb", "h200-80gb", "a100-80gb/1g.5gb", "l40s-24"]
)
def test_no_suggestion_has_more_memory_than_was_asked_for(name):
    suggested = [word.strip("?:") for word in told(name).split() if "gb" in word]
    assert all(nominal_gb(one) <= nominal_gb(name) for one in suggested), suggested


def test_every_name_states_its_memory():
    assert all(nominal_gb(name) for name in gpus.names())
