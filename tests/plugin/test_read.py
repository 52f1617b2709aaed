"""`af3mem read`: what another process compiled, to the byte as that process says it; and as a side of `af3mem compare`."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli

TRAIN = Path(__file__).parents[1] / "stand_ins" / "train.py"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder in which a process that uses JAX kept its programs, and what `memory_analysis()` said of each there."""
    folder = tmp_path_factory.mktemp("kept")
    process = subprocess.run([sys.executable, TRAIN, folder], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return SimpleNamespace(folder=folder, said=json.loads(process.stdout))


@pytest.fixture
def bare(tmp_path):
    """An interpreter without any package: no JAX, no AlphaFold 3."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def af3mem(project, capsys):
    def run(*arguments):
        status = cli.main([*map(str, arguments), "--cache-dir", str(project.cache)])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("name", "size"), [("dump", "large"), ("small", "small"), ("jit_large-cache", "large")])
def test_the_bytes_are_those_that_jax_says(af3mem, kept, name, size):
    status, output, errors = af3mem("read", kept.folder / name, "--json", "-")
    assert (status, errors) == (commands.OK, "")
    (program,) = json.loads(output)["programs"]
    said = kept.said[size]
    assert {kind: program[f"{kind}_bytes"] for kind in said} == said
    asked = said["argument"] + said["output"] + said["temp"] - said["alias"]
    assert program["total_bytes"] - program["constant_bytes"] == asked  # memory_analysis() counts no constants
    assert program["constant_bytes"] == 4 * {"small": 100, "large": 300}[size]
    assert (program["module"], program["compute_capability"], program["others"]) == ("jit_fitted", "9.0", int(name == "dump"))


def test_neither_jax_nor_alphafold3_is_needed(af3mem, kept, bare):
    status, output, errors = af3mem("read", kept.folder / "small", "--python", bare)
    assert (status, errors) == (commands.OK, "")
    assert "  serialized executable, jit_fitted, compute capability 9.0\n" in output
    assert "pairs  temporary f32[100,100] train.py:" in output


@pytest.mark.parametrize("name", ["cpu", "jit_cpu-cache", "cpu_dump"])
def test_what_was_compiled_for_the_cpu_is_refused(af3mem, kept, name):
    status, output, errors = af3mem("read", kept.folder / name)
    assert (status, output) == (commands.USAGE, "")
    assert errors.startswith(f"af3mem: '{kept.folder / name}' ")
    assert "is a program for the CPU, and those for CUDA's GPUs are read here" in errors
    assert errors.count("\n") == 1


def test_a_dump_as_text_names_the_flag(af3mem, kept):
    status, output, errors = af3mem("read", kept.folder / "text")
    assert (status, output) == (commands.USAGE, "")
    assert "add --xla_dump_hlo_as_proto" in errors


def test_a_reader_that_dies_is_not_judged(af3mem, stand_in, kept):
    status, output, errors = af3mem("read", kept.folder / "small", "--python", stand_in("os._exit(7)"))
    assert (status, output) == (commands.NOT_JUDGED, "")
    assert errors == f"af3mem: '{kept.folder / 'small'}' is not judged: the worker died (exit status 7)\n"


def test_two_programs_are_compared(af3mem, kept):
    status, output, errors = af3mem("compare", kept.folder / "small", kept.folder / "jit_large-cache")
    assert (status, errors) == (commands.OVER, "")
    lines = output.splitlines()
    assert lines[:2] == [f"OLD  {kept.folder / 'small'}", f"NEW  {kept.folder / 'jit_large-cache'}"]
    assert [line.split() for line in lines[3:5]] == [
        ["old", "new", "difference", "verdict"],
        "40.86 KiB 356.45 KiB +315.59 KiB (+772.39 %) over".split(),
    ]
    assert lines[6] == "at the peak:"
    assert lines[7].split() == "+312.50 KiB pairs 39.06 KiB -> 351.56 KiB".split()
    assert lines[-1] == "what else differs is not known: a compiled program says neither settings nor versions"
    assert af3mem("compare", kept.folder / "small", kept.folder / "jit_small-cache")[0] == commands.OK


def test_json_of_two_programs_has_no_tokens(af3mem, kept):
    _, output, _ = af3mem("compare", kept.folder / "small", kept.folder / "large", "--json", "-")
    report = json.loads(output)
    assert [(row["side"], row["module"], "tokens" in row) for row in report["measurements"]] == [
        ("old", "jit_fitted", False),
        ("new", "jit_fitted", False),
    ]
    (comparison,) = report["comparisons"]
    assert comparison["tokens"] is None
    assert comparison["difference_bytes"] == report["measurements"][1]["total_bytes"] - report["measurements"][0]["total_bytes"]


def test_a_program_against_a_source_tree(af3mem, project, kept):
    usual = ("--model", "analytic:Analytic", kept.folder / "small", project.models)
    status, output, errors = af3mem("compare", *usual)
    assert (status, output) == (commands.USAGE, "")
    assert errors == (
        f"af3mem: OLD '{kept.folder / 'small'}' is one compiled program: state with --tokens N the size that it is of, for which "
        "NEW is measured\n"
    )
    status, output, errors = af3mem("compare", *usual, "--tokens", "100")
    assert (status, errors) == (commands.OVER, "")
    assert output.splitlines()[4].split()[:6] == ["100", "128", "h100-80gb", "40.86", "KiB", "65.12"]
    assert "what differs:" not in output  # both are for GPUs of compute capability 9.0
    status, output, _ = af3mem("compare", *usual, "--tokens", "100", "--target", "a100-40gb", "--json", "-")
    report = json.loads(output)
    assert report["differing"] == {"compute capability": {"old": "9.0", "new": "8.0"}}
    assert [row.get("tokens") for row in report["measurements"]] == [None, 100]


def test_a_side_that_cannot_be_read(af3mem, kept):
    status, output, errors = af3mem("compare", kept.folder / "small", kept.folder / "cpu")
    assert (status, output) == (commands.USAGE, "")
    assert errors.startswith(f"af3mem: NEW '{kept.folder / 'cpu'}' is a program for the CPU")


def test_tests_are_not_held_against_a_program(project, kept):
    project.write(test_any="def test_any(gpu_peak): ...")
    result = project.run(f"--af3-against={kept.folder / 'small'}")
    assert "is one compiled program: af3mem compare holds it against others" in result.stdout.str() + result.stderr.str()
