"""What is said of a GPU that is not in the catalogue never leads to a larger one."""

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.gpus.unlisted import nominal_gb


def told(name):
    with pytest.raises(gpus.UnknownTarget) as caught:
        gpus.find(name)
    return str(caught.value).removeprefix(f"unknown target {name!r}").removesuffix(" (all: af3mem doctor)")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gb200", ": NVIDIA's GB200 (186 GB) is not in the catalogue yet: the nearest with no more memory is b200-180gb"),
        ("h100-nvl", ": NVIDIA's H100 NVL (94 GB) is not in the catalogue yet: the nearest with no more memory are "
                     "a100-80gb and h100-80gb"),
        ("H100-NVL-94GB", ": NVIDIA's H100 NVL (94 GB) is not in the catalogue yet: the nearest with no more memory are "
                          "a100-80gb and h100-80gb"),
        ("a30-24gb", ": NVIDIA's A30 (24 GB) is not in the catalogue yet: the nearest with no more memory are "
                     "l4-24gb and rtx4090-24gb"),
        ("gh200-144gb", ": NVIDIA's GH200 (144 GB) is not in the catalogue yet: the nearest with no more memory is h200-141gb"),
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
    assert told(name) == f": AlphaFold 3 runs on NVIDIA's GPUs alone, and this is {maker}'s"


@pytest.mark.parametrize(
    "name", ["a100-24gb", "h100-40gb", "v100-24gb", "b200-140gb", "h200-80gb", "a100-80gb/1g.5gb", "l40s-24"]
)
def test_no_suggestion_has_more_memory_than_was_asked_for(name):
    suggested = [word.strip("?:") for word in told(name).split() if "gb" in word]
    assert all(nominal_gb(one) <= nominal_gb(name) for one in suggested), suggested


def test_every_name_states_its_memory():
    assert all(nominal_gb(name) for name in gpus.names())
