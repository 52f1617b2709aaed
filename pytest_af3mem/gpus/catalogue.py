"""The GPUs to size for, whole and as MIG slices, each with the source of its figures."""

from __future__ import annotations

from dataclasses import replace

from pytest_af3mem.gpus.gpu import Gpu

_MIB, _GIB = 2**20, 2**30


def _spec(file: str, commit: str = "4336d12e0706168f6a382ddb231f3a83853b0657") -> str:
    return f"https://github.com/openxla/xla/blob/{commit}/xla/backends/gpu/target_config/specs/{file}.txtpb"


# From old to new: name, CUDA's name, compute capability, memory in bytes, SMs, highest clock in GHz, bytes per second, bytes
# of L2 cache; source. Where XLA has no spec, or a nominal one, the figures are cudaDeviceProp's, as deviceQuery or PyTorch
# print them on Linux; of several drivers' memory it is the least. The bandwidth then is 2 x memory clock x bus width.
_WHOLE = (
    Gpu("p100-16gb", "Tesla P100-SXM2-16GB", (6, 0), 17_066_885_120, 56, 1.4805, 732_160_000_000, 4 * _MIB, _spec("p100")),
    Gpu("v100-16gb", "Tesla V100-SXM2-16GB", (7, 0), 16_935_682_048, 80, 1.53, 898_048_000_000, 6 * _MIB, _spec("v100")),
    Gpu("v100-32gb", "Tesla V100-SXM2-32GB", (7, 0), 34_072_559_616, 80, 1.53, 898_048_000_000, 6 * _MIB,
        "https://github.com/openxla/xla, kTargetConfigString in xla/pjrt/c/pjrt_c_api_gpu_test.cc"),
    Gpu("t4-16gb", "Tesla T4", (7, 5), 15_828_320_256, 40, 1.59, 320_064_000_000, 4 * _MIB, "deviceQuery, driver for CUDA 12.4"),
    Gpu("a100-40gb", "NVIDIA A100-SXM4-40GB", (8, 0), 42_331_013_120, 108, 1.41, 1_555_200_000_000, 40 * _MIB,
        _spec("a100_sxm_40")),
    Gpu("a100-80gb", "NVIDIA A100-SXM4-80GB", (8, 0), 85_100_068_864, 108, 1.41, 2_039_040_000_000, 40 * _MIB,
        _spec("a100_sxm_80")),
    # The L2 cache is that of four memory stacks of the A100's five; the clock is the A100's.
    Gpu("a100-64gb", "NVIDIA A100-SXM-64GB", (8, 0), 68_099_571_712, 124, 1.41, 1_640_000_000_000, 32 * _MIB,
        "torch.cuda.get_device_properties, CUDA 12.9, on Leonardo; SMs and bandwidth: https://arxiv.org/abs/2307.16885"),
    Gpu("a100-pcie-40gb", "NVIDIA A100-PCIE-40GB", (8, 0), 42_297_786_368, 108, 1.41, 1_555_200_000_000, 40 * _MIB,
        "deviceQuery, driver for CUDA 12.3"),
    # XLA's spec a100_pcie_80 has less memory and clock than the driver reports.
    Gpu("a100-pcie-80gb", "NVIDIA A100 80GB PCIe", (8, 0), 84_974_239_744, 108, 1.41, 1_935_000_000_000, 40 * _MIB,
        "deviceQuery, driver for CUDA 12.4; bandwidth: NVIDIA A100 datasheet"),
    Gpu("a30-24gb", "NVIDIA A30", (8, 0), 24_164 * _MIB, 56, 1.44, 933_120_000_000, 24 * _MIB,
        "torch.cuda.get_device_properties, CUDA 12.8; NVIDIA A30 datasheet"),
    Gpu("a6000-48gb", "NVIDIA RTX A6000", (8, 6), 51_041_271_808, 84, 1.8, 768_096_000_000, 6 * _MIB, _spec("a6000")),
    Gpu("a10-24gb", "NVIDIA A10", (8, 6), 23_609_475_072, 72, 1.695, 600_096_000_000, 6 * _MIB,
        "deviceQuery, driver for CUDA 12.2"),
    Gpu("a40-48gb", "NVIDIA A40", (8, 6), 47_608_692_736, 84, 1.74, 696_096_000_000, 6 * _MIB,
        "deviceQuery, driver for CUDA 12.4"),
    Gpu("rtx3090-24gb", "NVIDIA GeForce RTX 3090", (8, 6), 25_414_860_800, 82, 1.74, 936_096_000_000, 6 * _MIB,
        "deviceQuery, driver for CUDA 12.1"),
    Gpu("l4-24gb", "NVIDIA L4", (8, 9), 23_612_293_120, 58, 2.04, 300_048_000_000, 48 * _MIB,
        "deviceQuery, driver 525.105: https://github.com/Alawaji214/GPU-Median-Blurring"),
    # PyTorch prints 44.4 GiB: this is the least that is rounded to that.
    Gpu("l40-48gb", "NVIDIA L40", (8, 9), 45_415 * _MIB, 142, 2.49, 864_000_000_000, 96 * _MIB,
        "torch.cuda.get_device_properties; NVIDIA L40 datasheet"),
    Gpu("l40s-48gb", "NVIDIA L40S", (8, 9), 47_576_711_168, 142, 2.52, 864_096_000_000, 96 * _MIB,
        "deviceQuery, driver for CUDA 12.4: https://github.com/alvarobartt/cuda-device-query"),
    Gpu("rtx4090-24gb", "NVIDIA GeForce RTX 4090", (8, 9), 25_250_627_584, 128, 2.52, 1_008_096_000_000, 72 * _MIB,
        "deviceQuery, driver 580.126"),
    # PyTorch prints whole MiB; clock and bandwidth are of the datasheet (91.1 TFLOPS in float32, 960 GB/s).
    Gpu("rtx6000ada-48gb", "NVIDIA RTX 6000 Ada Generation", (8, 9), 48_622 * _MIB, 142, 2.505, 960_000_000_000, 96 * _MIB,
        "torch.cuda.get_device_properties, CUDA 12.1; NVIDIA RTX 6000 Ada datasheet"),
    Gpu("h100-80gb", "NVIDIA H100 80GB HBM3", (9, 0), 84_942_979_072, 132, 1.98, 3_352_320_000_000, 50 * _MIB,
        _spec("h100_sxm", "0774019d97e77dc433ce97604295f6fc0f5b3b65")),
    Gpu("h100-pcie-80gb", "NVIDIA H100 PCIe", (9, 0), 84_942_979_072, 114, 1.755, 2_039_040_000_000, 50 * _MIB,
        _spec("h100_pcie")),
    Gpu("h100-nvl-94gb", "NVIDIA H100 NVL", (9, 0), 99_456_909_312, 132, 1.785, 3_900_000_000_000, 50 * _MIB,
        "torch.cuda.get_device_properties, CUDA 12.4; NVIDIA H100 NVL datasheet"),
    # "GH200 120GB" and "480GB" say how much memory its CPU has.
    Gpu("gh200-96gb", "NVIDIA GH200 480GB", (9, 0), 101_468_602_368, 132, 1.98, 4_022_784_000_000, 60 * _MIB,
        "deviceQuery, driver for CUDA 12.9, of a GH200 120GB; of a GH200 480GB with CUDA 12.4: the same but 0.5 % more memory"),
    # The spec's memory is a nominal 141 GiB and its L2 cache the H100's: those two are cudaDeviceProp's.
    Gpu("h200-141gb", "NVIDIA H200", (9, 0), 150_121_545_728, 132, 1.98, 4_800_000_000_000, 60 * _MIB,
        f"{_spec('h200')}; torch.cuda.get_device_properties, driver 570.124"),
    # nvidia-smi reports the H200's memory, 143,771 MiB, of this one too: so does CUDA, by that.
    Gpu("h200-nvl-141gb", "NVIDIA H200 NVL", (9, 0), 150_121_545_728, 132, 1.785, 4_800_000_000_000, 60 * _MIB,
        "nvidia-smi, driver 570.195; NVIDIA H200 datasheet; memory and L2 cache: those of the h200-141gb"),
    Gpu("b200-180gb", "NVIDIA B200", (10, 0), 191_514_411_008, 148, 1.965, 7_672_320_000_000, 132_644_864,
        _spec("b200", "300ec95ab85fa9f40af388054f7d43707407cb52")),
    Gpu("gb200-186gb", "NVIDIA GB200", (10, 0), 197_897_748_480, 152, 2.062, 7_928_064_000_000, 135_528_448,
        _spec("gb200", "300ec95ab85fa9f40af388054f7d43707407cb52")),
    # XLA's spec b300 has the memory of the GB300. PyTorch, out of memory, names 267.69 GiB.
    Gpu("b300-288gb", "NVIDIA B300 SXM6 AC", (10, 3), 274_104 * _MIB, 148, 2.032, 7_672_320_000_000, 126 * _MIB,
        "PyTorch's torch.OutOfMemoryError, CUDA 13.0; SMs, clock and L2 cache as CUDA reports them, driver 580.126"),
    Gpu("gb300-288gb", "NVIDIA GB300", (10, 3), 297_021_079_552, 152, 2.07, 7_928_064_000_000, 135_528_448, _spec("gb300")),
    Gpu("rtx5080-16gb", "NVIDIA GeForce RTX 5080", (12, 0), 16_609_378_304, 84, 2.617, 960_000_000_000, 64 * _MIB,
        "torch.cuda.get_device_properties, CUDA 12.8; NVIDIA RTX Blackwell GPU architecture whitepaper"),
    # nvidia-smi reports 32,623 MiB; CUDA less. PyTorch prints 33.7 GB: this is the least that is rounded to that.
    Gpu("rtx4500pro-32gb", "NVIDIA RTX PRO 4500 Blackwell", (12, 0), 32_092 * _MIB, 82, 2.617, 896_000_000_000, 64 * _MIB,
        "torch.cuda.get_device_properties, CUDA 12.8; SMs, clock, bandwidth and L2 cache: NVIDIA RTX PRO 4500 datasheet"),
    Gpu("rtx5090-32gb", "NVIDIA GeForce RTX 5090", (12, 0), 33_660_534_784, 170, 2.407, 1_792_128_000_000, 96 * _MIB,
        "deviceQuery, driver for CUDA 13.0"),
    # The spec's memory is a nominal 96 GiB: this is cudaDeviceProp's.
    Gpu("rtx6000pro-96gb", "NVIDIA RTX PRO 6000 Blackwell Server Edition", (12, 0), 101_974_081_536, 188, 2.6,
        1_792_000_000_000, 128 * _MIB, f"{_spec('rtx6000pro')}; torch.cuda.get_device_properties, driver 580.95"),
    # The memory is the host's, too: what the CPU holds of it is missing to the GPU.
    Gpu("gb10-128gb", "NVIDIA GB10", (12, 1), 128_518_373_376, 48, 2.418, 273_056_000_000, 24 * _MIB,
        "cudaGetDeviceProperties and deviceQuery, driver for CUDA 13.0"),
)  # fmt: skip


# One row a profile: name, memory in GiB, SMs, memory slices (of 8), as `nvidia-smi mig -lgip` lists them. Its GiB, in
# steps of 1/16, are what CUDA reports inside the slice: seen for 1g.10gb of the a100-80gb and h100-80gb, 3g.71gb of the
# h200-141gb, 1g.23gb and 2g.45gb of the b200-180gb. Drivers differ by up to 1.5 GiB; of two listings this is the one
# that claims less. Profiles with media engines (`+me`) have the same memory and SMs.
_MIG_GUIDE = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html"
_A100_40 = (("1g.5gb", 4.75, 14, 1), ("1g.10gb", 9.625, 14, 2), ("2g.10gb", 9.625, 28, 2), ("3g.20gb", 19.5, 42, 4),
            ("4g.20gb", 19.5, 56, 4), ("7g.40gb", 39.25, 98, 8))  # fmt: skip
_A100_80 = (("1g.10gb", 9.5, 14, 1), ("1g.20gb", 19.5, 14, 2), ("2g.20gb", 19.5, 28, 2), ("3g.40gb", 39.25, 42, 4),
            ("4g.40gb", 39.25, 56, 4), ("7g.80gb", 79.0, 98, 8))  # fmt: skip
_H200 = (("1g.18gb", 16.0, 16, 1), ("1g.35gb", 32.25, 26, 2), ("2g.35gb", 32.25, 32, 2), ("3g.71gb", 69.5, 60, 4),
         ("4g.71gb", 69.5, 64, 4), ("7g.141gb", 139.75, 132, 8))  # fmt: skip
_OF_SXM = "of the SXM GPU, which has the same memory and SMs"
_OF_H200 = "nvidia-smi mig -lgip: https://github.com/NVIDIA/mig-parted/issues/120"
_SLICES = {
    "a100-40gb": (f"nvidia-smi mig -lgip; {_MIG_GUIDE}", _A100_40),
    "a100-80gb": (f"nvidia-smi mig -lgip; {_MIG_GUIDE}", _A100_80),
    "a100-pcie-40gb": (f"nvidia-smi mig -lgip {_OF_SXM}; {_MIG_GUIDE}", _A100_40),
    "a100-pcie-80gb": (f"nvidia-smi mig -lgip {_OF_SXM}; {_MIG_GUIDE}", _A100_80),
    "a30-24gb": (f"nvidia-smi mig -lgip; {_MIG_GUIDE}", (
        ("1g.6gb", 5.8125, 14, 2), ("2g.12gb", 11.6875, 28, 4), ("4g.24gb", 23.4375, 56, 8),
    )),
    "h100-80gb": (f"nvidia-smi mig -lgip; {_spec('h100_sxm_mig', 'e66fe7896105577a23c210542acf3aca4521eef5')}", (
        ("1g.10gb", 9.75, 16, 1), ("1g.20gb", 19.625, 26, 2), ("2g.20gb", 19.625, 32, 2), ("3g.40gb", 39.5, 60, 4),
        ("4g.40gb", 39.5, 64, 4), ("7g.80gb", 79.25, 132, 8),
    )),
    "h100-pcie-80gb": (f"nvidia-smi mig -lgip, driver 570.169; {_MIG_GUIDE}", (
        ("1g.10gb", 9.75, 14, 1), ("1g.20gb", 19.625, 14, 2), ("2g.20gb", 19.625, 30, 2), ("3g.40gb", 39.5, 46, 4),
        ("4g.40gb", 39.5, 62, 4), ("7g.80gb", 79.25, 114, 8),
    )),
    "h100-nvl-94gb": (f"nvidia-smi mig -lgip: https://github.com/NVIDIA/gpu-operator/pull/900; {_MIG_GUIDE}", (
        ("1g.12gb", 10.625, 16, 1), ("1g.24gb", 21.5, 26, 2), ("2g.24gb", 21.5, 32, 2), ("3g.47gb", 46.125, 60, 4),
        ("4g.47gb", 46.125, 64, 4), ("7g.94gb", 92.625, 132, 8),
    )),
    "gh200-96gb": (
        f"nvidia-smi mig -lgip: https://github.com/kf-cuanschutz/NVIDIA_Grace_Hopper_benchmarking_logs_; {_MIG_GUIDE}", (
        ("1g.12gb", 11.0, 16, 1), ("1g.24gb", 23.0, 26, 2), ("2g.24gb", 23.0, 32, 2), ("3g.48gb", 46.5, 60, 4),
        ("4g.48gb", 46.5, 64, 4), ("7g.96gb", 93.0, 132, 8),
    )),
    "h200-141gb": (_OF_H200, _H200),
    "h200-nvl-141gb": (f"{_OF_H200} {_OF_SXM}; {_MIG_GUIDE}", _H200),
    "b200-180gb": ("nvidia-smi mig -lgip: https://github.com/NVIDIA/mig-parted/pull/187", (
        ("1g.23gb", 20.5, 18, 1), ("1g.45gb", 44.25, 30, 2), ("2g.45gb", 44.25, 36, 2), ("3g.90gb", 89.0, 70, 4),
        ("4g.90gb", 89.0, 72, 4), ("7g.180gb", 178.5, 148, 8),
    )),
    # Of the larger profiles, 3g.93gb and up, no listing was found. An earlier board had 1g.24gb, of 20 GiB.
    "gb200-186gb": ("nvidia-smi mig -lgip: https://github.com/NVIDIA/mig-parted/issues/227", (
        ("1g.23gb", 22.0, 18, 1), ("1g.47gb", 45.5, 32, 2), ("2g.47gb", 45.5, 38, 2),
    )),
    "rtx6000pro-96gb": ("nvidia-smi mig -lgip: https://github.com/bigstack-oss/cubecos/issues/312", (
        ("1g.24gb", 23.125, 46, 2), ("2g.48gb", 46.5, 94, 4), ("4g.96gb", 93.375, 188, 8),
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


TARGETS = {gpu.name: gpu for gpu in _WHOLE}
TARGETS |= {
    target.name: target
    for name, (source, profiles) in _SLICES.items()
    for target in (_slice(TARGETS[name], *profile, source) for profile in profiles)
}
