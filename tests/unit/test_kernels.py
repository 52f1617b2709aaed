import re
import subprocess
from types import SimpleNamespace

import pytest
from protobuf import message

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.models.model import Forward
from pytest_af3mem.records.peak import Kernels
from pytest_af3mem.worker.xla import executable
from pytest_af3mem.worker.xla import program as programs
from pytest_af3mem.worker.xla.program import kernels
from pytest_af3mem.worker.xla.target import toolchain

ATTENTION = 'tokamax:{"op":{"__type":"tokamax._src.ops.attention.%s","config":{"block_q":64},"vjp":null}}'
GATED = 'tokamax:{"op":{"__type":"tokamax._src.ops.gated_linear_unit.%s","config":null}}'
LOOP = "while/body/closed_call"


def operation(op_name, target="", beside=""):
    """A module of one instruction; `beside` is the metadata_payload of newer versions of XLA."""
    metadata = message((2, op_name), *([(21, beside)] if beside else []))
    module = message((3, message((2, message((7, metadata), (28, target))))))
    return [*executable.instructions(module).values()]


def triton(name):
    return operation(f"{name}/pallas_call", "__gpu$xla.gpu.triton")


def matmul(name):
    return operation(f"{name}/dot_general", "__cublas$lt$matmul")


def test_triton_calls_are_counted():
    program = (
        triton(f"jit(apply_fn)/diffuser/evoformer/{ATTENTION % 'pallas_triton.PallasTritonFlashAttention'}")
        + triton(f"jit(apply_fn)/diffuser/{GATED % 'pallas_triton.PallasTritonGatedLinearUnit'}") * 2
        + matmul("jit(apply_fn)/diffuser/evoformer/single_activations")
    )
    assert kernels(program) == Kernels(triton=3)


def test_a_silent_fallback_is_named_once_unless_the_settings_ask_for_it():
    attention = matmul(f"jit(apply)/diffuser/{LOOP}/evoformer/pair_attention1/{ATTENTION % 'base.DotProductAttention'}")
    under_vmap = f"jit(apply)/diffuser/vmap(confidence_head)/{LOOP}/pair_transition/vmap({GATED % 'base.GatedLinearUnit'})"
    program = attention * 3 + matmul(under_vmap)
    gated = "gated_linear_unit in diffuser/confidence_head/pair_transition"
    assert kernels(program) == Kernels(0, ("attention in diffuser/evoformer/pair_attention1", gated))
    assert kernels(program, {"attention"}) == Kernels(0, (gated,))


def test_newer_tokamax_says_beside_the_name_what_it_is():
    """As tokamax 0.0.17 and jax 0.12 do: one in a Mosaic kernel, and one in float32, which has none."""
    program = (
        operation("jit(f)/outer/kernel/mpmd_map", "mosaic_gpu_v2", GATED % "pallas_mosaic_gpu.PallasMosaicGpu")
        + operation("jit(f)/outer/inner/jit(silu)/exp", beside=GATED % "base.GatedLinearUnit")
        + operation("jit(f)/outer/inner/mul", beside=GATED % "base.GatedLinearUnit")
    )
    assert kernels(program) == Kernels(0, ("gated_linear_unit in outer/inner",), mosaic=1)


def not_implemented():
    raise NotImplementedError("UNIMPLEMENTED: serialize\n  at xla/pjrt")


def no_modules():
    raise RuntimeError("no modules")


def compiled_whole(serialize, hlo_modules=list):
    """A program of 6 bytes, as JAX gives it back when it has compiled it."""
    sizes = {"argument": 1, "output": 2, "temp": 3, "alias": 0}
    memory = SimpleNamespace(peak_memory_in_bytes=6, **{f"{name}_size_in_bytes": size for name, size in sizes.items()})
    runtime = SimpleNamespace(hlo_modules=hlo_modules, serialize=serialize)
    return SimpleNamespace(memory_analysis=lambda: memory, runtime_executable=lambda: runtime)


@pytest.mark.parametrize(
    ("serialize", "text"),
    [
        (lambda: b"\5unknown", "ValueError: the serialized executable has no form that is known here"),
        (not_implemented, "NotImplementedError: UNIMPLEMENTED: serialize"),
    ],
)
def test_a_failed_attribution_says_why_and_costs_nothing_else(serialize, text):
    import jax

    found = programs.of_executable(compiled_whole(serialize), Forward(init=None, apply=None), ("net",))
    live_bytes = 6 if jax.__version_info__ >= (0, 10) else None  # JAX says it wrongly before 0.10, so that it is not known
    assert (found.total_bytes, found.live_bytes, found.kernels) == (6, live_bytes, Kernels(0))
    assert (found.attribution.holders, found.attribution.high_water) == ((), {})
    assert found.attribution.reason == f"who holds the peak is not known: {text}"


def test_where_nothing_that_was_compiled_can_be_read_nothing_is_judged():
    """As with jax 0.7, were its executables of a form that is not known: whether XLA fell back would not be known either."""
    line = "what XLA compiled cannot be read (NotImplementedError: UNIMPLEMENTED: serialize): RuntimeError: no modules"
    with pytest.raises(NotJudged, match=f"^{re.escape(line)}$"):
        programs.of_executable(compiled_whole(not_implemented, no_modules), Forward(init=None, apply=None), ("net",))


def test_toolchain(tmp_path):
    path = toolchain(tmp_path)
    ptxas = path / "bin" / "ptxas"
    made = ptxas.stat().st_mtime_ns
    assert toolchain(tmp_path) == path
    assert ptxas.stat().st_mtime_ns == made
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == {ptxas, path / "nvvm" / "libdevice" / "libdevice.10.bc"}
    version = subprocess.run([ptxas, "--version"], capture_output=True, text=True, check=True).stdout
    assert version == "Cuda compilation tools, release 12.9, V12.9.86\n"
    subprocess.run([ptxas, "in.ptx", "-o", tmp_path / "out.cubin", "-arch=sm_90a"], check=True)
    assert (tmp_path / "out.cubin").exists()
    assert subprocess.run([ptxas, "in.ptx"], check=False).returncode == 1
