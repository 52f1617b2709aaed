"""The GPUs to size for, whole and as MIG slices: their memory, and how XLA is told to compile for them.

`find("h100-80gb").target_config()` is what `jax.experimental.topologies.get_topology_desc` takes to compile for a GPU
that this machine lacks. `memory_bytes` is what CUDA reports as total memory (`cudaDeviceProp.totalGlobalMem`), which is
less than the marketing figure and than nvidia-smi's, and differs by up to about 1 % between drivers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_af3mem.errors import UsageError

_KIB, _MIB, _GIB = 2**10, 2**20, 2**30


class UnknownTarget(UsageError):
    """What is not a name in the catalogue; the text names near ones."""


@dataclass(frozen=True)
class Architecture:
    """Limits of one multiprocessor (SM, XLA's "core"), the same on every GPU of a compute capability.

    `accelerated` is XLA's ACCELERATED_FEATURES: code for sm_90a and sm_100a rather than sm_90 and sm_100.
    """

    threads_per_core: int
    fpus_per_core: int
    shared_memory_per_core_bytes: int
    shared_memory_per_block_optin_bytes: int
    accelerated: bool = False


# CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; openxla's specs say the same, except
# for 12.0, where rtx6000pro.txtpb gives the 128 KiB that L1 cache and shared memory have together.
_ARCHITECTURES = {
    (6, 0): Architecture(2048, 64, 64 * _KIB, 48 * _KIB),
    (7, 0): Architecture(2048, 64, 96 * _KIB, 96 * _KIB),
    (7, 5): Architecture(1024, 64, 64 * _KIB, 64 * _KIB),
    (8, 0): Architecture(2048, 64, 164 * _KIB, 163 * _KIB),
    (8, 6): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
    (8, 9): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
    (9, 0): Architecture(2048, 128, 228 * _KIB, 227 * _KIB, accelerated=True),
    (10, 0): Architecture(2048, 128, 228 * _KIB, 227 * _KIB, accelerated=True),
    (12, 0): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One target: a whole GPU, or a MIG slice of one, named `gpu/profile`.

    `description` is the name that CUDA, and so JAX's `device_kind`, gives it. `core_count` counts SMs,
    `clock_rate_ghz` is the highest SM clock, `memory_bytes_per_second` the memory's theoretical bandwidth.
    `memory_slices` are those of 8 that a slice has. `source` is where the figures come from.
    """

    name: str
    description: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    core_count: int
    clock_rate_ghz: float
    memory_bytes_per_second: int
    l2_cache_bytes: int
    source: str
    memory_slices: int = 8

    @property
    def whole(self) -> str:
        """The name of the whole GPU: this one's, or of the one that a slice is cut from."""
        return self.name.partition("/")[0]

    @property
    def is_slice(self) -> bool:
        return "/" in self.name

    @property
    def architecture(self) -> Architecture:
        return _ARCHITECTURES[self.compute_capability]

    def target_config(self) -> str:
        """This target as a `stream_executor.GpuTargetConfigProto` in text format.

        The fields are those that XLA's GPU compiler reads in jax 0.7 to 0.12; the limits written out here hold on every
        compute capability in the catalogue. The versions of cuDNN and CUDA are those of openxla's own specs.
        """
        major, minor = self.compute_capability
        limits = self.architecture
        extension = "ACCELERATED_FEATURES" if limits.accelerated else "NONE"
        return f"""\
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: {limits.threads_per_core}
  shared_memory_per_block: {48 * _KIB}
  shared_memory_per_block_optin: {limits.shared_memory_per_block_optin_bytes}
  shared_memory_per_core: {limits.shared_memory_per_core_bytes}
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  core_count: {self.core_count}
  fpus_per_core: {limits.fpus_per_core}
  clock_rate_ghz: {self.clock_rate_ghz}
  memory_bandwidth: {self.memory_bytes_per_second}
  l2_cache_size: {self.l2_cache_bytes}
  device_memory_size: {self.memory_bytes}
  cuda_compute_capability {{ major: {major} minor: {minor} feature_extension: {extension} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
runtime_version {{ major: 12 minor: 8 patch: 0 }}
device_description_str: "{self.description}"
"""


def names() -> tuple[str, ...]:
    """Every target: whole GPUs from old to new, then the slices of each, small to large."""
    return tuple(_TARGETS)


def find(name: str) -> Gpu:
    """The target called `name`, in any case; raises UnknownTarget for any other, a GPU without its memory included."""
    is_text = isinstance(name, str)
    if is_text and name.lower() in _TARGETS:
        return _TARGETS[name.lower()]
    from pytest_af3mem.gpus import unlisted

    told = unlisted.hint(name.lower(), names()) if is_text else ""
    raise UnknownTarget(f"unknown target {name!r}{told} (all: af3mem doctor)")


def select(text: str) -> tuple[Gpu, ...]:
    """The targets that `text` names: `l4-24gb,a100*`, `all`, or `cards` for those that are not slices; in catalogue order.

    Raises UnknownTarget for a name, and for a pattern (`*`, `?`), that fits none.
    """
    from fnmatch import fnmatchcase

    wanted: set[str] = set()
    for word in (part.strip().lower() for part in text.split(",")):
        if word in ("all", "cards"):
            found = {name for name in _TARGETS if word == "all" or "/" not in name}
        elif any(letter in word for letter in "*?["):
            found = {name for name in _TARGETS if fnmatchcase(name, word)}
        else:
            found = {find(word).name}
        if not found:
            raise UnknownTarget(f"no target is like {word!r} (all: af3mem doctor)")
        wanted |= found
    return tuple(target for name, target in _TARGETS.items() if name in wanted)


def _spec(file: str, commit: str = "4336d12e0706168f6a382ddb231f3a83853b0657") -> str:
    return f"https://github.com/openxla/xla/blob/{commit}/xla/backends/gpu/target_config/specs/{file}.txtpb"


# Where XLA has no spec, or a nominal one, the figures are cudaDeviceProp's, as deviceQuery or PyTorch print them on
# Linux; the bandwidth then is 2 x memory clock x bus width.
_WHOLE = (
    Gpu("p100-16gb", "Tesla P100-SXM2-16GB", (6, 0), memory_bytes=17_066_885_120, core_count=56, clock_rate_ghz=1.4805,
        memory_bytes_per_second=732_160_000_000, l2_cache_bytes=4 * _MIB, source=_spec("p100")),
    Gpu("v100-16gb", "Tesla V100-SXM2-16GB", (7, 0), memory_bytes=16_935_682_048, core_count=80, clock_rate_ghz=1.53,
        memory_bytes_per_second=898_048_000_000, l2_cache_bytes=6 * _MIB, source=_spec("v100")),
    Gpu("v100-32gb", "Tesla V100-SXM2-32GB", (7, 0), memory_bytes=34_072_559_616, core_count=80, clock_rate_ghz=1.53,
        memory_bytes_per_second=898_048_000_000, l2_cache_bytes=6 * _MIB,
        source="https://github.com/openxla/xla, kTargetConfigString in xla/pjrt/c/pjrt_c_api_gpu_test.cc"),
    Gpu("t4-16gb", "Tesla T4", (7, 5), memory_bytes=15_828_320_256, core_count=40, clock_rate_ghz=1.59,
        memory_bytes_per_second=320_064_000_000, l2_cache_bytes=4 * _MIB, source="deviceQuery, driver for CUDA 12.4"),
    Gpu("a100-40gb", "NVIDIA A100-SXM4-40GB", (8, 0), memory_bytes=42_331_013_120, core_count=108, clock_rate_ghz=1.41,
        memory_bytes_per_second=1_555_200_000_000, l2_cache_bytes=40 * _MIB, source=_spec("a100_sxm_40")),
    Gpu("a100-80gb", "NVIDIA A100-SXM4-80GB", (8, 0), memory_bytes=85_100_068_864, core_count=108, clock_rate_ghz=1.41,
        memory_bytes_per_second=2_039_040_000_000, l2_cache_bytes=40 * _MIB, source=_spec("a100_sxm_80")),
    Gpu("a6000-48gb", "NVIDIA RTX A6000", (8, 6), memory_bytes=51_041_271_808, core_count=84, clock_rate_ghz=1.8,
        memory_bytes_per_second=768_096_000_000, l2_cache_bytes=6 * _MIB, source=_spec("a6000")),
    Gpu("l4-24gb", "NVIDIA L4", (8, 9), memory_bytes=23_612_293_120, core_count=58, clock_rate_ghz=2.04,
        memory_bytes_per_second=300_048_000_000, l2_cache_bytes=48 * _MIB,
        source="deviceQuery, driver 525.105: https://github.com/Alawaji214/GPU-Median-Blurring"),
    Gpu("l40s-48gb", "NVIDIA L40S", (8, 9), memory_bytes=47_576_711_168, core_count=142, clock_rate_ghz=2.52,
        memory_bytes_per_second=864_096_000_000, l2_cache_bytes=96 * _MIB,
        source="deviceQuery, driver for CUDA 12.4: https://github.com/alvarobartt/cuda-device-query"),
    Gpu("rtx4090-24gb", "NVIDIA GeForce RTX 4090", (8, 9), memory_bytes=25_250_627_584, core_count=128,
        clock_rate_ghz=2.52, memory_bytes_per_second=1_008_096_000_000, l2_cache_bytes=72 * _MIB,
        source="deviceQuery, driver 580.126"),
    # PyTorch prints whole MiB; clock and bandwidth are of the datasheet (91.1 TFLOPS in float32, 960 GB/s).
    Gpu("rtx6000ada-48gb", "NVIDIA RTX 6000 Ada Generation", (8, 9), memory_bytes=48_622 * _MIB, core_count=142,
        clock_rate_ghz=2.505, memory_bytes_per_second=960_000_000_000, l2_cache_bytes=96 * _MIB,
        source="torch.cuda.get_device_properties, CUDA 12.1; NVIDIA RTX 6000 Ada datasheet"),
    Gpu("h100-80gb", "NVIDIA H100 80GB HBM3", (9, 0), memory_bytes=84_942_979_072, core_count=132, clock_rate_ghz=1.98,
        memory_bytes_per_second=3_352_320_000_000, l2_cache_bytes=50 * _MIB,
        source=_spec("h100_sxm", "0774019d97e77dc433ce97604295f6fc0f5b3b65")),
    # The spec's memory is a nominal 141 GiB and its L2 cache the H100's: those two are cudaDeviceProp's.
    Gpu("h200-141gb", "NVIDIA H200", (9, 0), memory_bytes=150_121_545_728, core_count=132, clock_rate_ghz=1.98,
        memory_bytes_per_second=4_800_000_000_000, l2_cache_bytes=60 * _MIB,
        source=f"{_spec('h200')}; torch.cuda.get_device_properties, driver 570.124"),
    Gpu("b200-180gb", "NVIDIA B200", (10, 0), memory_bytes=191_514_411_008, core_count=148, clock_rate_ghz=1.965,
        memory_bytes_per_second=7_672_320_000_000, l2_cache_bytes=132_644_864,
        source=_spec("b200", "300ec95ab85fa9f40af388054f7d43707407cb52")),
    # The spec's memory is a nominal 96 GiB: this is cudaDeviceProp's.
    Gpu("rtx6000pro-96gb", "NVIDIA RTX PRO 6000 Blackwell Server Edition", (12, 0), memory_bytes=101_974_081_536,
        core_count=188, clock_rate_ghz=2.6, memory_bytes_per_second=1_792_000_000_000, l2_cache_bytes=128 * _MIB,
        source=f"{_spec('rtx6000pro')}; torch.cuda.get_device_properties, driver 580.95"),
)  # fmt: skip


# One row a profile: name, memory in GiB, SMs, memory slices (of 8), as `nvidia-smi mig -lgip` lists them. Its GiB, in
# steps of 1/8, are what CUDA reports inside the slice: seen for 1g.10gb of the a100-80gb and h100-80gb, 3g.71gb of the
# h200-141gb, 1g.23gb and 2g.45gb of the b200-180gb. Drivers differ by up to 1.5 GiB; of two listings this is the one
# that claims less. Profiles with media engines (`+me`) have the same memory and SMs.
_MIG_GUIDE = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html"
_SLICES = {
    "a100-40gb": (f"nvidia-smi mig -lgip; {_MIG_GUIDE}", (
        ("1g.5gb", 4.75, 14, 1), ("1g.10gb", 9.625, 14, 2), ("2g.10gb", 9.625, 28, 2), ("3g.20gb", 19.5, 42, 4),
        ("4g.20gb", 19.5, 56, 4), ("7g.40gb", 39.25, 98, 8),
    )),
    "a100-80gb": (f"nvidia-smi mig -lgip; {_MIG_GUIDE}", (
        ("1g.10gb", 9.5, 14, 1), ("1g.20gb", 19.5, 14, 2), ("2g.20gb", 19.5, 28, 2), ("3g.40gb", 39.25, 42, 4),
        ("4g.40gb", 39.25, 56, 4), ("7g.80gb", 79.0, 98, 8),
    )),
    "h100-80gb": (f"nvidia-smi mig -lgip; {_spec('h100_sxm_mig', 'e66fe7896105577a23c210542acf3aca4521eef5')}", (
        ("1g.10gb", 9.75, 16, 1), ("1g.20gb", 19.625, 26, 2), ("2g.20gb", 19.625, 32, 2), ("3g.40gb", 39.5, 60, 4),
        ("4g.40gb", 39.5, 64, 4), ("7g.80gb", 79.25, 132, 8),
    )),
    "h200-141gb": ("nvidia-smi mig -lgip: https://github.com/NVIDIA/mig-parted/issues/120", (
        ("1g.18gb", 16.0, 16, 1), ("1g.35gb", 32.25, 26, 2), ("2g.35gb", 32.25, 32, 2), ("3g.71gb", 69.5, 60, 4),
        ("4g.71gb", 69.5, 64, 4), ("7g.141gb", 139.75, 132, 8),
    )),
    "b200-180gb": ("nvidia-smi mig -lgip: https://github.com/NVIDIA/mig-parted/pull/187", (
        ("1g.23gb", 20.5, 18, 1), ("1g.45gb", 44.25, 30, 2), ("2g.45gb", 44.25, 36, 2), ("3g.90gb", 89.0, 70, 4),
        ("4g.90gb", 89.0, 72, 4), ("7g.180gb", 178.5, 148, 8),
    )),
}  # fmt: skip


def _slice(whole: Gpu, profile: str, memory_gib: float, core_count: int, memory_slices: int, source: str) -> Gpu:
    """A slice of `whole`: L2 cache and bandwidth are derived from its memory slices, the clock is the same.

    A listing made under another driver can give the 7g profile more memory than the GPU has: that is cut off.
    """
    return replace(
        whole,
        name=f"{whole.name}/{profile}",
        description=f"{whole.description} MIG {profile}",
        memory_bytes=min(int(memory_gib * _GIB), whole.memory_bytes),
        core_count=core_count,
        memory_bytes_per_second=whole.memory_bytes_per_second * memory_slices // 8,
        l2_cache_bytes=whole.l2_cache_bytes * memory_slices // 8,
        source=source,
        memory_slices=memory_slices,
    )


_TARGETS = {gpu.name: gpu for gpu in _WHOLE}
_TARGETS |= {
    target.name: target
    for name, (source, profiles) in _SLICES.items()
    for target in (_slice(_TARGETS[name], *profile, source) for profile in profiles)
}
