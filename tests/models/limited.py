"""Models that run into limits beside memory: XLA's own, 32-bit indexing, and the shared memory of a GPU."""

from analytic import Analytic

from pytest_af3mem.models.model import Forward

BLOCK, DEPTH = 128, 64
SMALL_BYTES = 2**16  # a larger program is compiled in a process of its own


class Crowded(Analytic):
    """Holds `arrays` squares of `side` at once, of which XLA can compute none anew, and a table that makes the program large."""

    name = "crowded"
    packages = ("analytic", "limited")
    settings = ("arrays", "side")

    def forward(self, settings, compute_capability):
        import jax
        import jax.numpy as jnp
        import numpy as np

        table = np.random.default_rng(0).random(SMALL_BYTES, np.float32)

        def apply(parameters, key, features):
            row = jnp.resize(features["positions"], settings["side"])
            with jax.named_scope("squares"):
                squares = [jax.lax.optimization_barrier(row[:, None] * (row + n)) for n in range(settings["arrays"])]
            squares = jax.lax.optimization_barrier(squares)
            return sum(square.sum() for square in squares) + jnp.asarray(table)[features["positions"].astype(int)]

        return Forward(lambda key, features: {}, apply, config=dict(settings))


class Shared(Analytic):
    """A product of matrices in a Triton kernel, which loads `stages` blocks of each in advance into shared memory."""

    name = "shared"
    packages = ("analytic", "limited")
    settings = ("stages",)

    def forward(self, settings, compute_capability):
        import jax
        import jax.numpy as jnp
        from jax.experimental import pallas
        from jax.experimental.pallas import triton

        def product(left, right, out):
            def step(at, total):
                part = pallas.ds(at * DEPTH, DEPTH)
                return total + jnp.dot(left[:, part], right[part, :])

            out[...] = jax.lax.fori_loop(0, BLOCK // DEPTH, step, jnp.zeros((BLOCK, BLOCK), jnp.float32))

        def apply(parameters, key, features):
            square = features["positions"][:BLOCK, None] * features["positions"][:BLOCK]
            call = pallas.pallas_call(
                product,
                out_shape=jax.ShapeDtypeStruct((BLOCK, BLOCK), jnp.float32),
                compiler_params=triton.CompilerParams(num_warps=8, num_stages=settings["stages"]),
                name="product",
            )
            return jax.lax.fori_loop(0, 3, lambda _, square: call(square, square), square)

        return Forward(lambda key, features: {}, apply, config=dict(settings))


class Refused(Analytic):
    """Has an operation that is refused, by a function of the module `by`."""

    name = "refused"
    packages = ("analytic", "limited")
    settings = ("by",)

    def forward(self, settings, compute_capability):
        operation = {"__name__": settings["by"]}
        exec("def refuse(): raise ValueError('no block size fits 99 KiB')", operation)
        return Forward(lambda key, features: {}, lambda *_: operation["refuse"]())
