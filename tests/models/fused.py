"""The analytic model with its sums as a Triton kernel of its own, which keeps the pairs on the chip: they are never in memory.

`IMPLEMENTATION` chooses, as tokamax does for a shape that its kernel does not take: "base" leaves the operation to XLA, and the
pairs are back in memory. Both are named as tokamax names its operations.
"""

import json

from analytic import Analytic

from pytest_af3mem.models.model import Forward

IMPLEMENTATION = "pallas_triton"
ROWS = 16


class Fused(Analytic):
    name = "fused"
    packages = ("analytic", "fused")

    def forward(self, settings, compute_capability):
        import jax
        import jax.numpy as jnp
        from jax.experimental import pallas
        from jax.experimental.pallas import triton

        def kernel(rows, columns, sums):
            sums[...] = jnp.sum(rows[...][:, None] * columns[...][None, :], axis=1)

        def fused(positions):
            rows = pallas.BlockSpec((ROWS,), lambda index: (index,))
            all_columns = pallas.BlockSpec(positions.shape, lambda index: (0,))
            call = pallas.pallas_call(
                kernel,
                out_shape=jax.ShapeDtypeStruct(positions.shape, positions.dtype),
                grid=(positions.size // ROWS,),
                in_specs=(rows, all_columns),
                out_specs=rows,
                compiler_params=triton.CompilerParams(),
            )
            return call(positions, positions)

        def plain(positions):
            return jax.lax.optimization_barrier(positions[:, None] * positions[None, :]).sum(axis=1)

        def apply(parameters, key, features):
            operation = {"op": {"__type": f"tokamax._src.ops.pair_sums.{IMPLEMENTATION}.PairSums", "config": None}}
            with jax.named_scope("pair_stack"), jax.named_scope(f"tokamax:{json.dumps(operation, separators=(',', ':'))}"):
                sums = (plain if IMPLEMENTATION == "base" else fused)(features["positions"])
            return sums * parameters["weights"].sum()

        return Forward(lambda key, features: {"weights": jnp.zeros(32)}, apply, config={"width": 32})
