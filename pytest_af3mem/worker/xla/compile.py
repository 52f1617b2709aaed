"""Peak memory by compiling for a GPU that is not there. The only module that touches XLA.

JAX compiles ahead of time for a device described in text (`jax.experimental.topologies`), and XLA's buffer assignment then
says what the program will ask the allocator for. No GPU, no driver and no CUDA toolkit take part; no array is allocated.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged, first_line
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.models import fingerprint
from pytest_af3mem.models.model import Forward
from pytest_af3mem.records.holders import UNNAMED
from pytest_af3mem.records.peak import Kernels
from pytest_af3mem.storage.files import written_atomically
from pytest_af3mem.worker.xla import executable
from pytest_af3mem.worker.xla.attribution import Attribution, attribute
from pytest_af3mem.worker.xla.scopes import component

# Autotuning takes a GPU. Without it XLA keeps the largest workspace that a matrix product may ask for.
FLAGS: Mapping[str, bool | int | str] = {"xla_gpu_autotune_level": 0}


# XLA fixes the buffers before it generates code, so the assembler and the device library that it insists on may be empty:
# the bytes stay the same to the last one, a third of the compile is saved, and no CUDA toolkit is needed. The version is
# CUDA 12.9's; XLA picks its PTX dialect by it, so a fixed one also keeps the local toolkit out of the result.
_PTXAS = """#!/bin/sh
case "$*" in *--version*) echo "Cuda compilation tools, release 12.9, V12.9.86"; exit 0 ;; esac
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then echo none >"$2"; exit 0; fi
  shift
done
exit 1
"""
_LIBDEVICE = "; XLA reads textual LLVM IR here as well as bitcode\n"


_TRITON_CALL, _MOSAIC_CALL = 'custom_call_target="__gpu$xla.gpu.triton"', 'custom_call_target="mosaic_gpu'


# What tokamax says of each operation: in its name (0.0.12), or beside it (0.0.17).
_KIND = r'tokamax:\{\\"op\\":\{\\"__type\\":\\"tokamax\._src\.ops\.(?P<operation>\w+)\.(?P<kind>\w+)\.'
_IN_NAME = re.compile(rf'op_name="(?P<scope>[^"]*?)/?{_KIND}')
_BESIDE_NAME = re.compile(rf'op_name="(?P<scope>[^"]*)/[^"/]*"(?: \w+=(?:"[^"]*"|\d+))* metadata_payload="{_KIND}')


@dataclass(frozen=True)
class Compiled:
    """What XLA's buffer assignment says of one program, in bytes."""

    argument_bytes: int
    output_bytes: int
    temp_bytes: int
    alias_bytes: int
    live_bytes: int | None
    kernels: Kernels
    attribution: Attribution = field(default_factory=Attribution)

    @property
    def total_bytes(self) -> int:
        return self.argument_bytes + self.output_bytes + self.temp_bytes - self.alias_bytes


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
        raise NotJudged(f"jax {jax.__version__} cannot compile for {gpu.name} without the card: {first_line(error)}") from error
    return topology.devices[0]


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

    with pretending(device(gpu)), _translated("the model does not initialise"):
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


def compile(
    forward: Forward, parameters: Any, features: Mapping[str, Any], gpu: Gpu, toolchain: Path, packages: Sequence[str] = ()
) -> Compiled:
    """Traces, lowers and compiles `forward.apply` for `gpu`, and reads what it will ask of the allocator and who holds it.

    Source lines of holders are those of `packages`, the model's own first.
    Raises NotJudged, with the model's or XLA's own words, when it does not trace or compile.
    """
    import jax

    target = device(gpu)
    place = functools.partial(_placed, sharding=jax.sharding.SingleDeviceSharding(target))
    with pretending(target), _translated("the model does not trace"):
        traced = jax.jit(program(forward)).trace(place(parameters), place(_key()), place(shapes(features)))
        lowered = traced.lower(lowering_platforms=("cuda",))
    options = {**forward.compiler_options, **FLAGS, "xla_gpu_cuda_data_dir": str(toolchain)}
    with _translated(f"XLA cannot compile the model for {gpu.name}"):
        compiled = lowered.compile(compiler_options=options)
    return read(compiled, forward, packages)


def program(forward: Forward) -> Callable[..., Any]:
    """`forward.apply`, with the names of arguments that `scopes.ARGUMENTS` states."""

    def program(parameters: Any, key: Any, features: Mapping[str, Any]) -> Any:
        return forward.apply(parameters, key, features)

    return program


def read(compiled: Any, forward: Forward, packages: Sequence[str]) -> Compiled:
    """What XLA says of a program that JAX compiled, for a device that is there or not."""
    memory = compiled.memory_analysis()
    measured = Compiled(
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        alias_bytes=memory.alias_size_in_bytes,
        live_bytes=_live_bytes(memory),
        kernels=kernels(compiled.as_text(), forward.left_to_xla),
    )
    return replace(measured, attribution=_attribution(compiled, measured, packages))


def _attribution(compiled: Any, measured: Compiled, packages: Sequence[str]) -> Attribution:
    """Who holds the peak. The form of what is read here changes with jaxlib's version, and the number is good without it."""
    try:
        program = executable.read(compiled.runtime_executable().serialize())
        return attribute(program, fingerprint.places(packages), measured.total_bytes, measured.live_bytes)
    except MemoryError:
        raise
    except Exception as error:
        return Attribution(reason=f"who holds the peak is not known: {first_line(error)}")


def trial(gpu: Gpu, toolchain: Path) -> str:
    """Why a small program does not compile for `gpu` here; empty where it does."""
    import jax.numpy as jnp
    import numpy as np

    forward = Forward(init=lambda *_: {}, apply=lambda parameters, key, features: jnp.tanh(features["x"] @ features["x"]))
    try:
        compile(forward, {}, {"x": np.zeros((64, 64), np.float32)}, gpu, toolchain)
    except NotJudged as error:
        return str(error)
    return ""


def kernels(program: str, left_to_xla: Collection[str] = ()) -> Kernels:
    """Counts kernels in the text of a compiled program, and names tokamax operations that fell back to XLA.

    tokamax notes with each operation which implementation it is; `base` is plain XLA.
    """
    fallbacks = {
        f"{match['operation']} in {component(match['scope']) or UNNAMED}"
        for match in itertools.chain(_IN_NAME.finditer(program), _BESIDE_NAME.finditer(program))
        if match["kind"] == "base" and match["operation"] not in left_to_xla
    }
    return Kernels(program.count(_TRITON_CALL), tuple(sorted(fallbacks)), program.count(_MOSAIC_CALL))


def _live_bytes(memory: Any) -> int | None:
    """XLA's peak of live buffers; None before JAX 0.10, where it leaves out the temporaries when there is no device."""
    import jax

    return memory.peak_memory_in_bytes if jax.__version_info__ >= (0, 10) else None


def _key() -> Any:
    import jax

    return jax.eval_shape(jax.random.PRNGKey, 0)


def _placed(tree: Any, sharding: Any) -> Any:
    import jax

    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding), tree)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise NotJudged(f"{what}: {first_line(error)}") from error
