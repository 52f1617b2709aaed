"""A model of one's own, small enough that its memory can be worked out by hand: `--af3-model analytic:Analytic`.

Its peak is 4 bytes times: `width` weights and a `bucket` by `width` array in, `bucket` sums out, and in between one
`bucket` by `bucket` array that the barrier keeps XLA from fusing away.
"""

import json

from pytest_af3mem.models.model import Batch, Forward


class Analytic:
    name = "analytic"
    packages = ("analytic",)
    settings = ("width",)

    def distribution(self):
        return "analytic 1.0"

    def buckets(self):
        return 128, 256, 512

    def components(self, folder, progress):
        return None

    def prepare(self, folder, progress):
        pass

    def featurise(self, job, buckets):
        import numpy as np

        chains = [sequence["protein"] for sequence in json.loads(job)["sequences"]]
        tokens = sum(len(chain["id"]) * len(chain["sequence"]) for chain in chains)
        bucket = min((size for size in buckets if size >= tokens), default=tokens)
        return Batch({"positions": np.zeros(bucket, np.float32)}, tokens, bucket)

    def forward(self, settings, compute_capability):
        import jax
        import jax.numpy as jnp

        width = settings.get("width", 32)

        def init(key, features):
            return {"weights": jnp.zeros(width)}

        def apply(parameters, key, features):
            positions = features["positions"]
            with jax.named_scope("outer_product"):
                pairs = jax.lax.optimization_barrier(positions[:, None] * positions[None, :])
            return pairs.sum(axis=1) * parameters["weights"].sum()

        return Forward(init, apply, config={"width": width})
