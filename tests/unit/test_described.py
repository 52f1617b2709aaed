"""Targets that a file describes in XLA's words, and those that are made of what NVML says of a GPU."""

import json
from types import SimpleNamespace

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.gpus import described, local, nvml, targets
from pytest_af3mem.gpus.nvml import Facts, VisibleGpu
from pytest_af3mem.records.identity import peak_identity
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.session.reproduce import command
from pytest_af3mem.session.settings import Settings

GIB = 2**30
TEXT = gpus.find("h100-80gb").target_config()
INSTALLATION = Installation("m", "m", "m 1", "f", (256,), (), {})


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch):
    monkeypatch.setattr(targets, "_learnt", {})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "My GPU.txtpb"
    path.write_text(TEXT)
    return path


def request(target):
    return Request(job="{}", tokens=200, buckets=(256,), target=gpus.find(str(target)).name)


def test_comments_before_what_is_no_text_form_are_refused_at_once():
    with pytest.raises(UsageError, match=r"is not in protobuf's text form"):
        described.parse(f"{'#' * 10_000}\n@", "mine", "mine.txtpb")


def test_a_file_is_a_target(file):
    gpu = gpus.find(str(file))
    assert gpu.name.startswith("my-gpu-")
    assert (gpu.memory_bytes, gpu.compute_capability, gpu.core_count) == (84_942_979_072, (9, 0), 132)
    assert gpu.description == "NVIDIA H100 80GB HBM3"
    assert gpu.target_config() == TEXT
    assert gpu.source == str(file)
    assert gpus.find(gpu.name) == gpu
    assert (gpu.whole, gpu.is_slice) == (gpu.name, False)


def test_what_protobufs_text_form_allows(file):
    other = TEXT.replace("gpu_device_info {", "# a comment\ngpu_device_info: <").replace("NONE }\n}", "NONE }\n>")
    other = other.replace("ACCELERATED_FEATURES }\n}", "ACCELERATED_FEATURES }\n>").replace('"CUDA"', "'CUDA'")
    file.write_text(other.replace("  core_count: 132\n", "core_count: 132; rates: [1, 2],\n"))
    assert gpus.find(str(file)).core_count == 132


def test_two_files_of_one_name_are_two_targets(file):
    """A file that changes is measured anew, whatever changes in it."""
    before = request(file)
    file.write_text(TEXT.replace("l2_cache_size: 52428800", "l2_cache_size: 52428801"))
    after = request(file)
    assert before.target != after.target
    assert peak_identity(INSTALLATION, before, "s") != peak_identity(INSTALLATION, after, "s")
    assert peak_identity(INSTALLATION, after, "s")["target"][1] == file.read_text()


def test_a_request_brings_its_target_along(file, monkeypatch):
    sent = json.loads(json.dumps(request(file).to_json()))
    file.unlink()
    monkeypatch.setattr(targets, "_learnt", {})
    with pytest.raises(gpus.UnknownTarget):
        gpus.find(sent["target"])
    assert json.loads(json.dumps(Request.from_json(sent).to_json())) == sent
    assert gpus.find(sent["target"]).target_config() == TEXT


def test_a_target_of_the_catalogue_travels_by_its_name():
    assert "target_config" not in request("h100-80gb").to_json()


def test_the_command_that_measures_again_names_the_file(file):
    assert f"--target '{file}'" in command(Settings(), request(file), tokens=200)


def test_files_and_names_are_selected_together(file):
    assert [gpu.name for gpu in gpus.select(f"{file},l4-24gb")] == ["l4-24gb", gpus.find(str(file)).name]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('platform_name: "CUDA"', 'platform_name: "ROCM"', 'has platform_name "ROCM" and must have "CUDA": AlphaFold 3 runs on'),
        ('platform_name: "CUDA"', "", 'lacks platform_name: "CUDA"; openxla/xla has examples in xla/backends/gpu/target_config'),
        ("device_memory_size: 84942979072", "", "lacks device_memory_size: a whole number; openxla/xla has examples"),
        ("device_memory_size: 84942979072", "device_memory_size: 0", "has device_memory_size 0, and must have a whole number"),
        ("core_count: 132", "core_count: many", "has core_count many, and must have a whole number from 1 to 2**63 - 1"),
        ("clock_rate_ghz: 1.98", "clock_rate_ghz: inf", "has clock_rate_ghz inf, and must have a number greater than 0"),
        ("threads_per_warp: 32", "", "lacks threads_per_warp: a whole number"),
        ("cuda_compute_capability", "rocm_compute_capability", "lacks cuda_compute_capability: {major: ...}"),
        ("major: 9", "", "lacks major: a whole number"),
        ("device_description_str", "name", "lacks device_description_str: the name that CUDA gives the GPU"),
        ("NVIDIA H100", "\x1b[31m", 'has device_description_str "\\x1b[31m 80GB HBM3", and must have a name that prints'),
        (TEXT, "", "lacks gpu_device_info: {...}"),
        (TEXT, "{" * 9999, "is not in protobuf's text form"),
        (TEXT, "a {" * 9999, "is not in protobuf's text form"),
        ("}\nplatform", "platform", "is not in protobuf's text form"),
        ("core_count: 132", "core_count: \x00", "is not in protobuf's text form (line 13)"),
    ],
)  # fmt: skip
def test_what_is_no_such_text(file, old, new, text):
    assert old in TEXT
    file.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        gpus.find(str(file))
    assert str(caught.value).startswith(f"target '{file}' {text}")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"^target 'no.txtpb' cannot be read \(No such file or directory\): give the path of"):
        gpus.find("no.txtpb")
    with pytest.raises(UsageError, match=r"cannot be read \(embedded null byte\)"):
        gpus.find("\0.txtpb")
    (tmp_path / "folder.txtpb").mkdir()
    with pytest.raises(UsageError, match=r"folder.txtpb' is not a file of at most 1,048,576 bytes: openxla/xla has examples"):
        gpus.find(str(tmp_path / "folder.txtpb"))
    (tmp_path / "binary.txtpb").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"binary.txtpb' is not a text: openxla/xla has examples"):
        gpus.find(str(tmp_path / "binary.txtpb"))


ADA = VisibleGpu("NVIDIA GeForce RTX 4070", 12 * GIB, "570", "GPU-ada")
ORIN = VisibleGpu("Orin", 60 * GIB, "540", "GPU-orin", index=1)
FACTS = {"GPU-ada": Facts((8, 9), 12 * GIB - 2**29, 0, 46 * 128), "GPU-orin": Facts((8, 7), 60 * GIB, 0, 2048)}


@pytest.fixture
def here(monkeypatch):
    found = []
    monkeypatch.setattr(local, "visible_gpus", lambda: (found, ""))
    monkeypatch.setattr(nvml, "facts", lambda gpu: FACTS[gpu.uuid])
    return found


def test_a_gpu_of_this_machine_that_is_not_in_the_catalogue(here):
    here += [ADA]
    assert local.targets({}) == ["geforce-rtx-4070-12gb"]
    made = gpus.find("geforce-rtx-4070-12gb")
    assert (made.description, made.memory_bytes, made.core_count) == (ADA.name, 12 * GIB - 2**29, 46)
    assert made.compute_capability == (8, 9)
    assert local.candidates(made.name, {}) == [ADA]
    assert Request.from_json(request(made.name).to_json()).target == made.name


def test_it_is_found_by_its_name_alone(here):
    here += [ADA]
    assert gpus.find("GeForce-RTX-4070-12GB").description == ADA.name


def test_a_gpu_whose_limits_are_not_known_needs_a_file(here, file):
    here += [ORIN]
    assert local.targets({}) == []
    with pytest.raises(NotJudged) as caught:
        local.candidates("h100-80gb", {})
    reason = "the catalogue has no limits of compute capability 8.7: describe it in a file, --af3-target FILE.txtpb"
    assert f"the GPUs here are Orin ({reason}): name one" in str(caught.value)
    assert local.why_unnamed(ORIN) == reason
    file.write_text(TEXT.replace("NVIDIA H100 80GB HBM3", "Orin").replace("major: 9 minor: 0", "major: 8 minor: 7"))
    target = gpus.find(str(file)).name
    assert local.targets({}) == [target]
    assert local.candidates(target, {}) == [ORIN]


def test_facts_of_the_driver(monkeypatch):
    module = SimpleNamespace(
        NVMLError=ValueError,
        nvmlMemory_v2=2,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetCudaComputeCapability=lambda handle: {"GPU-a": [8, 0]}[handle],
        nvmlDeviceGetMemoryInfo=lambda handle, version: SimpleNamespace(total=100, reserved=7, used=1),
        nvmlDeviceGetNumGpuCores=lambda handle: 6912,
        nvmlDeviceGetAttributes=lambda handle: SimpleNamespace(multiprocessorCount=28),
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", module)
    assert nvml.facts(VisibleGpu("A", 100, "570", "GPU-a")) == Facts((8, 0), 93, 0, 6912)
    assert nvml.facts(VisibleGpu("A MIG", 100, "570", "MIG-a", "GPU-a")) == Facts((8, 0), 93, 28, 0)
