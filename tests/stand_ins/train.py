"""A program of a user's own, compiled for a GPU that is not there: all that a process may keep of it, and what JAX says of it."""

import json
import os
import sys
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.worker.environment import ENVIRONMENT
from pytest_af3mem.worker.xla import target

os.environ.update(ENVIRONMENT)

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import compilation_cache

out = Path(sys.argv[1])
device = target.device(gpus.find("h100-80gb"))
options = {**target.FLAGS, "xla_gpu_cuda_data_dir": str(target.toolchain(out / "toolchain"))}
table = np.arange(500, dtype=np.float32) ** 2


def fitted(params, state, x):
    with jax.named_scope("pairs"):
        pairs = jax.lax.optimization_barrier(x[:, None] * x[None, :])
    return state + pairs.sum(axis=1) * params["dense"]["weights"].sum() + table[: x.size]


def compiled(size, place, platforms, **more):
    def array(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place)

    arguments = {"dense": {"weights": array(32)}}, array(size), array(size)
    lowered = jax.jit(fitted, donate_argnums=1).trace(*arguments).lower(lowering_platforms=platforms)
    return lowered.compile(compiler_options=more)


def dumped(folder, as_proto):
    return {"xla_dump_to": str(out / folder), "xla_dump_hlo_as_proto": as_proto}


def keep(name, program):
    serialized = program.runtime_executable().serialize()
    (out / name).write_bytes(serialized)
    entry = compilation_cache.combine_executable_and_time(serialized, 3)
    (out / f"jit_{name}-cache").write_bytes(compilation_cache.compress_executable(entry))
    said = program.memory_analysis()
    return {kind: getattr(said, f"{kind}_size_in_bytes") for kind in ("argument", "output", "temp", "alias")}


there = jax.sharding.SingleDeviceSharding(device)
small = keep("small", compiled(100, there, ("cuda",), **options, **dumped("dump", True)))
large = keep("large", compiled(300, there, ("cuda",), **options, **dumped("dump", True)))
compiled(100, there, ("cuda",), **options, **dumped("text", False))
keep("cpu", compiled(100, jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0]), ("cpu",), **dumped("cpu_dump", True)))
print(json.dumps({"small": small, "large": large}))
