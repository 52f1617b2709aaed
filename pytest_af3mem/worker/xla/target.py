"""What XLA is told to compile for: a GPU that is not there, described in text, with a CUDA toolchain that is empty.

No GPU, no driver and no CUDA toolkit take part; no array is allocated.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged, first_line
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.storage.files import written_atomically

# Autotuning takes a GPU. Without it XLA keeps the largest workspace that a matrix product may ask for.
FLAGS: Mapping[str, bool | int | str] = {"xla_gpu_autotune_level": 0}


# XLA fixes the buffers before it generates code, so the assembler and the device library that it insists on may be empty: the
# bytes stay the same to the last one, and no CUDA toolkit is needed. The version is CUDA 12.9's; XLA picks its PTX dialect by
# it, so a fixed one also keeps the local toolkit out of the result.
_PTXAS = """#!/bin/sh
case "$*" in *--version*) echo "Cuda compilation tools, release 12.9, V12.9.86"; exit 0 ;; esac
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then echo none >"$2"; exit 0; fi
  shift
done
exit 1
"""
_LIBDEVICE = "; XLA reads textual LLVM IR here as well as bitcode\n"


def toolchain(folder: Path) -> Path:
    """The empty CUDA toolchain in `folder`, which nobody else may write, for XLA runs what it finds there."""
    for name, text, mode in (("bin/ptxas", _PTXAS, 0o755), ("nvvm/libdevice/libdevice.10.bc", _LIBDEVICE, 0o644)):
        file = folder / "toolchain" / name
        if file.exists() and file.read_bytes() == text.encode():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(file) as unfinished:
            unfinished.write_text(text)
            unfinished.chmod(mode)
    return folder / "toolchain"


@functools.cache
def device(gpu: Gpu) -> Any:
    """A compile-only JAX device for `gpu`. Raises NotJudged where the installed JAX cannot make one."""
    import jax
    from jax.experimental import topologies

    try:
        topology = topologies.get_topology_desc("", platform="cuda", target_config=gpu.target_config(), topology="1x1x1")
    except Exception as error:
        way_out = f"; its XLA may not know all fields of {gpu.source}: leave such out" if gpu.config else ""
        text = f"jax {jax.__version__} cannot compile for {gpu.name} without the GPU: {first_line(error)}{way_out}"
        raise NotJudged(text) from error
    return topology.devices[0]
