import subprocess
from types import SimpleNamespace

from pytest_af3mem.records.peak import Kernels
from pytest_af3mem.worker.xla import compile as compiled
from pytest_af3mem.worker.xla.compile import kernels, toolchain

ATTENTION = r"tokamax:{\"op\":{\"__type\":\"tokamax._src.ops.attention.%s\",\"config\":{\"block_q\":64},\"vjp\":null}}"
GATED = r"tokamax:{\"op\":{\"__type\":\"tokamax._src.ops.gated_linear_unit.%s\",\"config\":null}}"
LOOP = "while/body/closed_call"


def triton(operation):
    return (
        '  %custom-call.7 = f32[6144,128]{1,0} custom-call(%bitcast.106.0), custom_call_target="__gpu$xla.gpu.triton", '
        f'metadata={{op_name="{operation}/pallas_call" scheduling_name="pallas_call.0" stack_frame_id=3361}}\n'
    )


def matmul(operation):
    return (
        '  %gemm.1 = (bf16[256,256]{1,0}, s8[4194304]{0}) custom-call(%p.0), custom_call_target="__cublas$lt$matmul", '
        f'metadata={{op_name="{operation}/dot_general" stack_frame_id=17}}\n'
    )


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
    """As tokamax 0.0.17 and jax 0.12 write it, shortened: one in a Mosaic kernel, and one in float32, which has none."""
    program = (
        "  %mpmd_map.1 = bf16[65536,512]{1,0} custom-call(%bitcast.2, %w.1), "
        'custom_call_target="mosaic_gpu_v2", api_version=API_VERSION_TYPED_FFI, metadata={op_name="jit(f)/outer/kernel/mpmd_map" '
        f'scheduling_name="mpmd_map.1" stack_frame_id=12 metadata_payload="{GATED % "pallas_mosaic_gpu.PallasMosaicGpu"}"}}\n'
        '  %exp.0.5 = f32[256,512]{1,0} exponential(%neg.0.3), metadata={op_name="jit(f)/outer/inner/jit(silu)/exp" '
        f'scheduling_name="exp.0.5" stack_frame_id=12 metadata_payload="{GATED % "base.GatedLinearUnit"}"}}\n'
        "  %mul.3.1 = f32[256,512]{1,0} multiply(%mul.0.3, %split.3.3), sharding={mesh[], [{}, {}]}, "
        f'metadata={{op_name="jit(f)/outer/inner/mul" stack_frame_id=11 metadata_payload="{GATED % "base.GatedLinearUnit"}"}}\n'
    )
    assert kernels(program) == Kernels(0, ("gated_linear_unit in outer/inner",), mosaic=1)


def test_a_failed_attribution_says_why_and_costs_nothing_else():
    def not_implemented():
        raise NotImplementedError("UNIMPLEMENTED: serialize\n  at xla/pjrt")

    measured = compiled.Compiled(1, 2, 3, 0, 6, Kernels(0))
    unreadable = SimpleNamespace(runtime_executable=lambda: SimpleNamespace(serialize=lambda: b"\5unknown"))
    for program, text in (
        (unreadable, "ValueError: the serialized executable has no form that is known here"),
        (SimpleNamespace(runtime_executable=not_implemented), "NotImplementedError: UNIMPLEMENTED: serialize"),
    ):
        found = compiled._attribution(program, measured, ("net",))
        assert (found.holders, found.high_water) == ((), {})
        assert found.reason == f"who holds the peak is not known: {text}"


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
