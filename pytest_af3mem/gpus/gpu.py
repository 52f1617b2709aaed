"""A target: a GPU's memory, and how XLA is told to compile for it. CUDA's limits of each compute capability."""

from __future__ import annotations

from dataclasses import dataclass

_KIB = 2**10


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
ARCHITECTURES = {
    (6, 0): Architecture(2048, 64, 64 * _KIB, 48 * _KIB),
    (7, 0): Architecture(2048, 64, 96 * _KIB, 96 * _KIB),
    (7, 5): Architecture(1024, 64, 64 * _KIB, 64 * _KIB),
    (8, 0): Architecture(2048, 64, 164 * _KIB, 163 * _KIB),
    (8, 6): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
    (8, 9): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
    (9, 0): Architecture(2048, 128, 228 * _KIB, 227 * _KIB, accelerated=True),
    (10, 0): Architecture(2048, 128, 228 * _KIB, 227 * _KIB, accelerated=True),
    (10, 3): Architecture(2048, 128, 228 * _KIB, 227 * _KIB, accelerated=True),
    (12, 0): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
    (12, 1): Architecture(1536, 128, 100 * _KIB, 99 * _KIB),
}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One target: a whole GPU, or a MIG slice of one, named `gpu/profile`.

    `memory_bytes` is what CUDA reports as total memory (`cudaDeviceProp.totalGlobalMem`), which is less than the marketing
    figure and than nvidia-smi's, and differs by up to about 1 % between drivers. `description` is the name that CUDA, and so
    JAX's `device_kind`, gives it. `core_count` counts SMs, `clock_rate_ghz` is the highest SM clock,
    `memory_bytes_per_second` the memory's theoretical bandwidth. `memory_slices` are those of 8 that a slice has. `source` is
    where the figures come from. `config` is the text that describes a target which is not in the catalogue.
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
    config: str = ""

    @property
    def whole(self) -> str:
        """The name of the whole GPU: this one's, or of the one that a slice is cut from."""
        return self.name.partition("/")[0]

    @property
    def is_slice(self) -> bool:
        return "/" in self.name

    @property
    def architecture(self) -> Architecture:
        """Raises KeyError for a described target of another compute capability than those of the catalogue."""
        return ARCHITECTURES[self.compute_capability]

    def target_config(self) -> str:
        """This target as a `stream_executor.GpuTargetConfigProto` in text format, for `topologies.get_topology_desc`.

        A described target's own text; else the fields that XLA's GPU compiler reads in jax 0.7 to 0.12. The limits written out
        here hold on every compute capability in the catalogue. The versions of cuDNN and CUDA are those of openxla's own specs.
        """
        if self.config:
            return self.config
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
