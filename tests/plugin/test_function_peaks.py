"""`gpu_peak.of`: peaks of functions, whose memory is known by hand."""

import json

import pytest

BLOCKS = """
    def pairs(x, *, copies=1):
        import jax

        with jax.named_scope("outer_product"):
            square = jax.lax.optimization_barrier(x[:, None] * x[None, :])
        return square.sum(axis=1) * copies

    def scaled(tree, x):
        return {"y": tree["scale"][0] * x + tree["shift"]["by"], "none": None}

    def makes():
        import jax.numpy as jnp

        return jnp.zeros((64, 64))

    def chooses(x):
        return x if x > 0 else -x
"""
TABLES = """
    import jax
    import jax.numpy as jnp

    TABLE = jnp.arange(4096.0) ** 2

    def closes(at):
        return jax.lax.optimization_barrier(TABLE)[at]
"""
GATE = """
    import pytest
    from blocks import pairs

    @pytest.mark.af3_budget({budget!r})
    def test_pairs(gpu_peak):
        gpu_peak.of(pairs, "float32[512]")
"""
CALL = "blocks:pairs('float32[512]')"


def pairs_bytes(size):
    """A row in, sums out, and the square in between."""
    return 4 * (size + size + size**2)


@pytest.fixture
def functions(project):
    """A project whose tests measure functions alone."""

    class Functions:
        path = project.path

        @staticmethod
        def run(*arguments, **files):
            if files:
                project.write(**files)
            return project.run("--junitxml=junit.xml", *arguments, model="functions")

        measurements = project.measurements
        junit = project.junit
        junit_properties = project.junit_properties

    return Functions


def test_a_function_within_its_budget(functions):
    result = functions.run(blocks=BLOCKS, test_blocks=GATE.format(budget="2 MiB"))
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["function  *target *total*", "blocks:pairs('float32?512?')  h100-80gb  1.00 MiB  2.00 MiB *within*::test_pairs"]
    )
    (row,) = functions.measurements()
    assert row["total_bytes"] == row["live_bytes"] == pairs_bytes(512)
    assert (row["tokens"], row["bucket"], row["command"], row["input"]) == (None, None, None, None)
    assert row["settings"] == row["model"]["config"] == {"function": CALL}
    assert (row["model"]["name"], row["model"]["distribution"]) == ("functions", "blocks, a source tree")
    held = [(one["component"], one["kind"], one["bytes"]) for one in row["holders"]]
    assert held[:2] == [("outer_product", "temporary", 4 * 512**2), ("batch/x", "input", 4 * 512)]
    assert row["holders"][0]["source"].startswith("blocks.py:")
    assert ("af3_conditions", f"{CALL}, h100-80gb, compiled") in functions.junit_properties()["test_pairs"]


def test_a_function_over_its_budget_is_red_in_one_line(functions):
    result = functions.run(blocks=BLOCKS, test_blocks=GATE.format(budget="1000 KiB"))
    line = f"GPU peak 1.00 MiB is over the budget of 1000.00 KiB by 28.00 KiB (2.8 %) [{CALL}, h100-80gb, compiled]"
    assert result.ret == 1
    assert functions.junit() == {"test_pairs": f"Failed: {line}"}
    assert not (functions.path / "failing").exists()  # there is no input of AlphaFold 3


def test_shapes_are_text_or_what_has_them(functions):
    tests = """
        import sys

        import numpy as np
        import pytest

        BEFORE = set(sys.modules)  # tests that ran in this process may have imported jax

        class Shape:
            shape, dtype = (512,), np.dtype("float32")

        def test_alike(gpu_peak):
            peak = gpu_peak.of("blocks:pairs", "float32[512]")
            assert peak == gpu_peak.of("blocks:pairs", np.zeros(512, np.float32)) == gpu_peak.of("blocks:pairs", Shape)
            assert (peak.tokens, peak.bucket, peak.function) == (None, None, "blocks:pairs('float32[512]')")
            assert peak < gpu_peak.of("blocks:pairs", "float32[513]", copies=2)
            assert peak.bytes_of(peak) == 4 * (512 + 512 + 512**2)
            assert "jax" not in set(sys.modules) - BEFORE

        def test_nested(gpu_peak):
            peak = gpu_peak.of("blocks:scaled", {"scale": ["float32[]"], "shift": {"by": "float32[256]"}}, "bfloat16[256]")
            assert (peak.argument_bytes, peak.output_bytes) == (4 + 4 * 256 + 2 * 256, 4 * 256)
            assert {one.component for one in peak.holders} >= {"batch/tree/shift", "batch/x"}

        def test_no_argument(gpu_peak):
            assert gpu_peak.of("blocks:makes") == 4 * 64 * 64

        def test_an_array_that_it_closes_over_is_a_constant(gpu_peak):
            peak = gpu_peak.of("tables:closes", "int32[8]")
            assert peak.constant_bytes == 4 * 4096

        @pytest.mark.af3_budget("1 MiB")
        @pytest.mark.af3_budget("1 KiB", target="a100-40gb")
        def test_targets(gpu_peak):
            gpu_peak.of("blocks:pairs", "float32[64]", target="h100-80gb")
    """
    functions.run(blocks=BLOCKS, tables=TABLES, test_shapes=tests)
    (over,) = {name: why for name, why in functions.junit().items() if why}.items()
    assert over[0] == "test_targets"
    assert "over the budget of 1.00 KiB" in over[1]
    assert "[blocks:pairs('float32[64]'), a100-40gb, compiled]" in over[1]


def test_a_function_of_the_test_file_and_an_edit_of_what_it_imports(functions):
    helper = "import jax\n\ndef square(x):\n    return jax.lax.optimization_barrier((x[:, None] * x){less})\n"
    test = """
        def sums(x):
            import own_helper
            return own_helper.square(x).sum(axis=0)

        def test_sums(gpu_peak):
            peak = gpu_peak.of(sums, "float32[256]")
            assert peak.total_bytes == 4 * (256 + 256 + 256 * {rows})
    """
    functions.run(own_helper=helper.format(less=""), test_sums=test.format(rows=256)).assert_outcomes(passed=1)
    functions.run(own_helper=helper.format(less="[:128]"), test_sums=test.format(rows=128)).assert_outcomes(passed=1)


BAD = {
    "float64": ('gpu_peak.of(blocks.pairs, "float64[4]")', "argument 'x' is float64[4], and JAX makes float32 of it unless"),
    "dtype": (
        'gpu_peak.of(blocks.pairs, "f32[4]")',
        "gpu_peak.of: argument 1 'f32[4]': unknown type 'f32'; did you mean float32",
    ),
    "shape": ('gpu_peak.of(blocks.pairs, "4x4")', "gpu_peak.of: argument 1 '4x4' is no shape: write 'bfloat16[1024,128]'"),
    "value": (
        'gpu_peak.of(blocks.pairs, "int8[4]", copies=object)',
        "gpu_peak.of: copies=<class 'object'> must be a finite number",
    ),
    "lambda": ("gpu_peak.of(lambda: 1)", "is a lambda, so the worker cannot import it: define it with `def`"),
    "target": ('gpu_peak.of(blocks.makes, target="h10")', "unknown target 'h10': did you mean h100-80gb"),
    "method": ('gpu_peak.of(blocks.makes, method="try")', "method 'try' is not one of auto, compiled, run"),
    "more": ('gpu_peak.of(blocks.makes, "int8[4]")', "gpu_peak.of: too many positional arguments of makes()"),
    "unnamed": ("gpu_peak.of(blocks.makes, n=3)", "gpu_peak.of: got an unexpected keyword argument 'n' of makes()"),
    "untraced": ('gpu_peak.of(blocks.chooses, "int8[]")', "blocks:chooses does not trace: TracerBoolConversionError"),
    "absent": ('gpu_peak.of("blocks:absent")', "module 'blocks' has no attribute 'absent'"),
    "nowhere": (
        'gpu_peak.of("nowhere:absent")',
        "finds no module 'nowhere', which the function is in: install its package there",
    ),
    "broken": (
        'gpu_peak.of("broken:f")',
        "module 'broken' does not import: ModuleNotFoundError: No module named 'not_there'; install",
    ),
    "tokens": (
        "gpu_peak(tokens=8)",
        "--af3-model functions measures no network: call gpu_peak.of(function, ...), or name a model",
    ),
}


def test_each_mistake_is_one_line_with_the_way_out(functions):
    lines = ["import blocks"]
    for name, (call, _) in BAD.items():
        lines += [f"def test_{name}(gpu_peak):", f"    {call}"]
    functions.run(blocks=BLOCKS, broken="import not_there\n", test_bad="\n".join(lines))
    said = functions.junit()
    for name, (_, words) in BAD.items():
        assert words in (said[f"test_{name}"] or ""), name
        assert "\n" not in said[f"test_{name}"]


def test_a_baseline_is_written_and_read_again(functions):
    test = """
        import pytest
        from blocks import pairs

        @pytest.mark.af3_baseline
        def test_pairs(gpu_peak):
            gpu_peak.of(pairs, "float32[256]", copies=2)
            gpu_peak.of(pairs, "float32[{size}]")
    """
    accepted = "--af3-baseline=memory.json"
    assert functions.run(accepted, "--af3-update-baseline", blocks=BLOCKS, test_blocks=test.format(size=128)).ret == 0
    entries = json.loads((functions.path / "memory.json").read_text())["measurements"]
    assert [(one["tokens"], one["bucket"], one["settings"]["function"], one["total_bytes"]) for one in entries] == [
        (None, None, "blocks:pairs('float32[128]')", pairs_bytes(128)),
        (None, None, "blocks:pairs('float32[256]', copies=2)", pairs_bytes(256)),
    ]
    assert functions.run(accepted).ret == 0
    more = BLOCKS.replace("x[:, None] * x[None, :]", "(x[:, None] * x[None, :])[:, None].repeat(2, axis=1)")
    assert functions.run(accepted, blocks=more).ret == 1
    assert "is over the baseline of 258.00 KiB by" in functions.junit()["test_pairs"]
    assert functions.run(accepted, blocks=BLOCKS, test_blocks=test.format(size=64)).ret == 1
    assert "the baseline is of another setting function" in functions.junit()["test_pairs"]


def test_beside_a_network(project, needed_bytes):
    project.write(
        test_both="""
        import pytest

        def double(x):
            return x + x

        def test_both(gpu_peak):
            assert gpu_peak.of(double, "float32[1024]") == 2 * 4 * 1024
            assert gpu_peak(tokens=100) != gpu_peak.of(double, "float32[1024]")

        @pytest.mark.af3_model(width=16)
        def test_settings(gpu_peak):
            gpu_peak.of(double, "float32[1024]")
        """
    )
    project.run("--af3-markdown=report.md", "--junitxml=junit.xml").assert_outcomes(passed=1, failed=1)
    rule = "af3_model(width=16) is of the network: a test of a function takes xla_flags alone"
    assert project.junit() == {"test_both": None, "test_settings": f"Failed: {rule}"}
    functions, network = sorted(project.measurements(), key=lambda row: row["total_bytes"])
    assert (functions["tokens"], network["tokens"], network["total_bytes"]) == (None, 100, needed_bytes(128))
    assert "test\\_both:double" in (project.path / "report.md").read_text()
