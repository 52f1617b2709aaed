import dataclasses
import re
import subprocess
import sys

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import Af3memError

CARDS = {
    "p100-16gb": (6, 0),
    "v100-16gb": (7, 0),
    "v100-32gb": (7, 0),
    "a100-40gb": (8, 0),
    "a100-80gb": (8, 0),
    "a100-64gb": (8, 0),
    "a100-pcie-40gb": (8, 0),
    "a100-pcie-80gb": (8, 0),
    "a30-24gb": (8, 0),
    "a6000-48gb": (8, 6),
    "a10-24gb": (8, 6),
    "a40-48gb": (8, 6),
    "rtx3090-24gb": (8, 6),
    "l4-24gb": (8, 9),
    "l40-48gb": (8, 9),
    "l40s-48gb": (8, 9),
    "rtx4090-24gb": (8, 9),
    "h100-80gb": (9, 0),
    "h100-pcie-80gb": (9, 0),
    "h100-nvl-94gb": (9, 0),
    "gh200-96gb": (9, 0),
    "h200-141gb": (9, 0),
    "h200-nvl-141gb": (9, 0),
    "b200-180gb": (10, 0),
    "gb200-186gb": (10, 0),
    "b300-288gb": (10, 3),
    "gb300-288gb": (10, 3),
    "rtx5080-16gb": (12, 0),
    "rtx4500pro-32gb": (12, 0),
    "rtx5090-32gb": (12, 0),
    "rtx6000pro-96gb": (12, 0),
    "gb10-128gb": (12, 1),
}
PROFILES = {
    "a100-40gb": ("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "a100-80gb": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "h100-80gb": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "a100-pcie-40gb": ("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "a100-pcie-80gb": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "a30-24gb": ("1g.6gb", "2g.12gb", "4g.24gb"),
    "h100-pcie-80gb": ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "h100-nvl-94gb": ("1g.12gb", "1g.24gb", "2g.24gb", "3g.47gb", "4g.47gb", "7g.94gb"),
    "gh200-96gb": ("1g.12gb", "1g.24gb", "2g.24gb", "3g.48gb", "4g.48gb", "7g.96gb"),
    "h200-nvl-141gb": ("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
    "h200-141gb": ("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
    "b200-180gb": ("1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb"),
    "gb200-186gb": ("1g.23gb", "1g.47gb", "2g.47gb"),
    "rtx6000pro-96gb": ("1g.24gb", "2g.48gb", "4g.96gb"),
}
ALL = [gpus.find(name) for name in gpus.names()]
SLICES = [gpu for gpu in ALL if gpu.is_slice]


def named(gpu):
    return gpu.name


every_target = pytest.mark.parametrize("gpu", ALL, ids=named)
every_slice = pytest.mark.parametrize("gpu", SLICES, ids=named)


def nominal_gb(gpu):
    """The memory that the name promises: 10 for `a100-80gb/1g.10gb`."""
    return int(re.fullmatch(r".*[-.](\d+)gb", gpu.name)[1])


@pytest.mark.parametrize(("name", "compute_capability"), CARDS.items())
def test_card(name, compute_capability):
    gpu = gpus.find(name)
    assert (gpu.name, gpu.whole, gpu.is_slice) == (name, name, False)
    assert gpu.compute_capability == compute_capability


@pytest.mark.parametrize(("card", "profiles"), PROFILES.items())
def test_profiles_of_a_card_small_to_large(card, profiles):
    assert tuple(gpu.name for gpu in SLICES if gpu.whole == card) == tuple(f"{card}/{profile}" for profile in profiles)


def test_cards_come_before_slices():
    assert [gpu.is_slice for gpu in ALL] == sorted(gpu.is_slice for gpu in ALL)
    assert len(set(gpus.names())) == len(ALL)


def test_default_is_a_card():
    assert not gpus.find("h100-80gb").is_slice


@every_target
def test_figures_are_plausible(gpu):
    assert 0.88 * 10**9 <= gpu.memory_bytes / nominal_gb(gpu) <= 1.08 * 10**9
    assert 0 < gpu.l2_cache_bytes < gpu.memory_bytes
    assert 1 < gpu.clock_rate_ghz < 3
    assert 10**10 < gpu.memory_bytes_per_second < 10**13
    assert gpu.core_count > 0
    assert gpu.source
    assert gpu.description.startswith(("NVIDIA ", "Tesla "))


@every_target
def test_figures_are_whole_numbers(gpu):
    for field in ("memory_bytes", "core_count", "memory_bytes_per_second", "l2_cache_bytes"):
        assert type(getattr(gpu, field)) is int


def test_more_memory_in_the_name_is_more_memory():
    by_promise = sorted((gpu for gpu in ALL if not gpu.is_slice), key=lambda gpu: (nominal_gb(gpu), gpu.memory_bytes))
    assert by_promise == sorted(by_promise, key=lambda gpu: gpu.memory_bytes)


@pytest.mark.parametrize("card", PROFILES)
def test_memory_grows_with_the_profile(card):
    slices = [gpu for gpu in SLICES if gpu.whole == card]
    assert slices == sorted(slices, key=lambda gpu: (gpu.memory_bytes, gpu.core_count))


@every_slice
def test_slice_is_part_of_its_card(gpu):
    card = gpus.find(gpu.whole)
    assert not card.is_slice
    assert gpu.compute_capability == card.compute_capability
    assert gpu.architecture is card.architecture
    whole_card = gpu.memory_slices == 8
    for field in ("memory_bytes", "core_count", "l2_cache_bytes", "memory_bytes_per_second"):
        part, whole = getattr(gpu, field), getattr(card, field)
        assert part <= whole if whole_card else part < whole


@every_slice
def test_slices_fit_side_by_side(gpu):
    card = gpus.find(gpu.whole)
    compute_slices = int(gpu.name.split("/")[1][0])
    instances = min(7 // compute_slices, card.memory_bytes // gpu.memory_bytes)
    assert instances * gpu.core_count <= card.core_count
    assert instances * gpu.l2_cache_bytes <= card.l2_cache_bytes


@pytest.mark.parametrize(
    ("name", "memory_mib", "core_count"),
    [
        ("a100-40gb/1g.5gb", 4864, 14),
        ("a100-80gb/1g.10gb", 9728, 14),
        ("h100-80gb/1g.10gb", 9984, 16),
        ("h200-141gb/3g.71gb", 71168, 60),
        ("b200-180gb/1g.23gb", 20992, 18),
    ],
)
def test_slices_that_were_seen(name, memory_mib, core_count):
    gpu = gpus.find(name)
    assert (gpu.memory_bytes, gpu.core_count) == (memory_mib * 2**20, core_count)


FIELDS = """
    threads_per_block_limit threads_per_warp shared_memory_per_block shared_memory_per_core threads_per_core_limit
    core_count fpus_per_core block_dim_limit_x block_dim_limit_y block_dim_limit_z memory_bandwidth l2_cache_size
    clock_rate_ghz device_memory_size shared_memory_per_block_optin registers_per_core_limit registers_per_block_limit
    platform_name device_description_str feature_extension
""".split()
MESSAGES = ("gpu_device_info", "cuda_compute_capability", "dnn_version_info", "runtime_version")


@every_target
def test_target_config_has_each_field_once(gpu):
    text = gpu.target_config()
    for field in FIELDS:
        assert len(re.findall(rf"\b{field}: \S", text)) == 1, field
    for message in MESSAGES:
        assert len(re.findall(rf"\b{message} \{{", text)) == 1, message
    known = {*FIELDS, *MESSAGES, "major", "minor", "patch"}
    assert set(re.findall(r"\b([a-z]\w*)(?=:| \{)", text)) == known
    assert text.count("{") == text.count("}") == len(MESSAGES)


@every_target
def test_target_config_says_what_the_record_says(gpu):
    text = gpu.target_config()
    major, minor = gpu.compute_capability
    assert f"cuda_compute_capability {{ major: {major} minor: {minor} " in text
    assert f"  device_memory_size: {gpu.memory_bytes}\n" in text
    assert f"  core_count: {gpu.core_count}\n" in text
    assert f"  l2_cache_size: {gpu.l2_cache_bytes}\n" in text
    assert f"  memory_bandwidth: {gpu.memory_bytes_per_second}\n" in text
    assert f'device_description_str: "{gpu.description}"\n' in text
    assert 'platform_name: "CUDA"\n' in text


def test_target_config_of_a_card_in_full():
    assert gpus.find("h100-80gb").target_config() == (
        "gpu_device_info {\n"
        "  threads_per_block_limit: 1024\n"
        "  threads_per_warp: 32\n"
        "  threads_per_core_limit: 2048\n"
        "  shared_memory_per_block: 49152\n"
        "  shared_memory_per_block_optin: 232448\n"
        "  shared_memory_per_core: 233472\n"
        "  registers_per_block_limit: 65536\n"
        "  registers_per_core_limit: 65536\n"
        "  block_dim_limit_x: 2147483647\n"
        "  block_dim_limit_y: 65535\n"
        "  block_dim_limit_z: 65535\n"
        "  core_count: 132\n"
        "  fpus_per_core: 128\n"
        "  clock_rate_ghz: 1.98\n"
        "  memory_bandwidth: 3352320000000\n"
        "  l2_cache_size: 52428800\n"
        "  device_memory_size: 84942979072\n"
        "  cuda_compute_capability { major: 9 minor: 0 feature_extension: ACCELERATED_FEATURES }\n"
        "}\n"
        'platform_name: "CUDA"\n'
        "dnn_version_info { major: 9 minor: 10 patch: 0 }\n"
        "runtime_version { major: 12 minor: 8 patch: 0 }\n"
        'device_description_str: "NVIDIA H100 80GB HBM3"\n'
    )


@every_target
def test_find_ignores_case(gpu):
    assert gpus.find(gpu.name.upper()) is gpu


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h100-80", "unknown target 'h100-80': did you mean h100-80gb? (all: af3mem doctor)"),
        ("h100", "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)"),
        ("A100", "unknown target 'A100': did you mean a100-40gb or a100-80gb or a100-64gb? (all: af3mem doctor)"),
        ("l4", "unknown target 'l4': did you mean l4-24gb? (all: af3mem doctor)"),
        ("h10-80gb", "unknown target 'h10-80gb': did you mean h100-80gb"),
        (" h100-80gb", "unknown target ' h100-80gb': did you mean h100-80gb"),
        ("h100-80gb/", "unknown target 'h100-80gb/': did you mean h100-80gb/1g.10gb or"),
        ("b200-180gb/1g.25gb", "unknown target 'b200-180gb/1g.25gb': did you mean b200-180gb/1g."),
        ("tpu-v5e", "unknown target 'tpu-v5e' (all: af3mem doctor)"),
        ("", "unknown target '' (all: af3mem doctor)"),
        (None, "unknown target None (all: af3mem doctor)"),
        ("a\nb", r"unknown target 'a\nb' (all: af3mem doctor)"),
    ],
)
def test_unknown_target(name, text):
    with pytest.raises(gpus.UnknownTarget) as caught:
        gpus.find(name)
    message = str(caught.value)
    assert message.startswith(text)
    assert message.endswith(" (all: af3mem doctor)")
    assert "\n" not in message
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, Af3memError)


def test_every_gpu_has_a_name_of_its_own_in_cuda():
    assert len({gpu.description for gpu in ALL}) == len(ALL)


def test_records_are_frozen():
    gpu = gpus.find("h100-80gb")
    for record, field in ((gpu, "memory_bytes"), (gpu.architecture, "threads_per_core")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, 0)


def test_import_loads_nothing_heavy():
    heavy = "{'jax', 'numpy', 'hypothesis', 'difflib'}"
    code = f"import sys; import pytest_af3mem.gpus.catalogue; sys.exit(str(sorted({heavy} & set(sys.modules))))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == "[]"
