"""From a model to the program that XLA is given: shapes, traced and lowered as on the GPU that is the target."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from pytest_af3mem.errors import Af3memError, NotJudged, first_line
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.models.model import Forward
from pytest_af3mem.worker.xla.target import device


@contextlib.contextmanager
def pretending(device: Any) -> Iterator[None]:
    """Makes `device` the one that a model sees while it is traced.

    tokamax and AlphaFold 3 choose kernels and precision by `jax.devices()[0]`, `jax.local_devices()` and the default device;
    left alone they would see a CPU and choose XLA's fallbacks.
    """
    import jax

    answers: dict[str, Callable[..., Any]] = {
        "devices": lambda *_, **__: [device],
        "local_devices": lambda *_, **__: [device],
        "default_backend": lambda: device.platform,
    }
    originals = {name: getattr(jax, name) for name in answers}
    for name, answer in answers.items():
        setattr(jax, name, answer)
    try:
        with jax.default_device(device):
            yield
    finally:
        for name, original in originals.items():
            setattr(jax, name, original)


def shapes(features: Mapping[str, Any]) -> dict[str, Any]:
    """Features as abstract arrays, with the types that `jnp.asarray` gives them on their way to a device."""
    import jax

    canonical = jax.dtypes.canonicalize_dtype
    return {name: jax.ShapeDtypeStruct(array.shape, canonical(array.dtype)) for name, array in features.items()}


def signature(features: Mapping[str, Any]) -> str:
    """Digest of names, shapes and types: batches with the same signature are the same program."""
    described = sorted((name, str(array.dtype), *array.shape) for name, array in shapes(features).items())
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def parameters(forward: Forward, features: Mapping[str, Any], gpu: Gpu) -> Any:
    """Shapes of the network's parameters, as its own `init` makes them; the same for every bucket."""
    import jax

    with pretending(device(gpu)), translated("the model does not initialise"):
        return jax.eval_shape(forward.init, _key(), shapes(features))


def described(tree: Any) -> list[Any] | None:
    """Abstract parameters as JSON: path, shape and type of each array; None unless they are nested dictionaries, as Haiku's."""
    import jax

    description = [
        [[getattr(key, "key", None) for key in path], list(array.shape), str(array.dtype)]
        for path, array in jax.tree_util.tree_flatten_with_path(tree)[0]
    ]
    rebuilt: Any = jax.tree.structure(from_description(description))
    return description if rebuilt == jax.tree.structure(tree) else None


def from_description(description: list[Any]) -> Any:
    """The inverse of `described`."""
    import jax

    tree: dict[str | None, Any] = {}
    for path, shape, type_name in description:
        branch = functools.reduce(lambda branch, name: branch.setdefault(name, {}), path[:-1], tree)
        branch[path[-1] if path else None] = jax.ShapeDtypeStruct(tuple(shape), jax.numpy.dtype(type_name))
    return tree


def lowered(forward: Forward, parameters: Any, features: Mapping[str, Any], gpu: Gpu) -> Any:
    """`forward.apply` as JAX hands it to XLA for `gpu`. Raises NotJudged, with the model's own words, when it does not trace."""
    import jax

    target = device(gpu)
    place = functools.partial(_placed, sharding=jax.sharding.SingleDeviceSharding(target))
    with pretending(target), translated("the model does not trace"), _kernels_translated(f"does not compile for {gpu.name}"):
        traced = jax.jit(program(forward)).trace(place(parameters), place(_key()), place(shapes(features)))
        return traced.lower(lowering_platforms=("cuda",))


def program(forward: Forward) -> Callable[..., Any]:
    """`forward.apply`, with the names of arguments that `scopes.ARGUMENTS` states."""

    def program(parameters: Any, key: Any, features: Mapping[str, Any]) -> Any:
        return forward.apply(parameters, key, features)

    return program


def _key() -> Any:
    import jax

    return jax.eval_shape(jax.random.PRNGKey, 0)


def _placed(tree: Any, sharding: Any) -> Any:
    import jax

    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding), tree)


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Says of an error, in one line, what could not be done."""
    try:
        yield
    except (MemoryError, Af3memError):
        raise
    except Exception as error:
        raise NotJudged(f"{what}: {first_line(error)}") from error


@contextlib.contextmanager
def _kernels_translated(what: str) -> Iterator[None]:
    """Says of an error of tokamax's, which chooses kernels by the GPU, what could not be done."""
    try:
        yield
    except Exception as error:
        if any(_of_tokamax(frame) for frame, _ in traceback.walk_tb(error.__traceback__)):
            with translated(what):
                raise
        raise


def _of_tokamax(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "tokamax"
