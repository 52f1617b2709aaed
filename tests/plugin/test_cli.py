"""The command `af3mem`, in this process; workers are processes of their own as ever."""

import json
import subprocess
import sys

import pytest

from pytest_af3mem import commands, gpus
from pytest_af3mem.commands import cli


def test_measure(af3mem):
    status, output, errors = af3mem("measure", "--tokens", "500", "--target", "h100-80gb")
    assert (status, errors) == (commands.OK, "")
    table, section = output.strip().splitlines()[:2], output.strip().splitlines()[2:]
    assert table[0].split() == ["tokens", "bucket", "target", "total", "kernels", "time", "test"]
    assert table[1].startswith("   500     512  h100-80gb  1.00 MiB  triton 0 ")
    *numbers, again, calibration = section
    assert again.startswith("  measure it again: ")
    words = "arguments outputs temporaries live kernels model who 1.00 2.12 2.00".split()
    assert [line.split()[0] for line in numbers] == words
    assert calibration.strip().startswith("h100-80gb: no GPU of it was read yet")


def test_measure_with_all_holders(af3mem, needed_bytes):
    _, output, _ = af3mem("measure", "--tokens", "100", "--all-holders", "--json", "-")
    (row,) = json.loads(output)["measurements"]
    assert sum(holder["bytes"] for holder in row["holders"]) == row["total_bytes"] == needed_bytes(128)


def test_measure_as_json(af3mem, needed_bytes):
    status, output, errors = af3mem("measure", "--tokens", "100", "--set", "width=1000", "--json", "-")
    assert (status, errors) == (commands.OK, "")
    report = json.loads(output)
    assert report["schema"] == 1
    (row,) = report["measurements"]
    assert (row["test"], row["tokens"], row["bucket"]) == ("af3mem measure", 100, 128)
    assert (row["total_bytes"], row["verdict"]) == (needed_bytes(128, 1000), None)
    assert row["model"]["config"] == {"width": 1000}


def test_measure_into_a_file(af3mem, project):
    status, output, _ = af3mem("measure", "--tokens", "100", "--json", str(project.path / "new" / "report.json"))
    assert status == commands.OK
    assert output.startswith("tokens")
    assert len(project.measurements("new/report.json")) == 1


@pytest.mark.parametrize("options", [(), ("--json", "-")])
def test_what_is_not_judged_has_a_status_of_its_own(af3mem, options):
    status, output, _ = af3mem("measure", "--tokens", "100", "--set", "does=exit", *options, model="misbehaving:Misbehaving")
    assert status == commands.NOT_JUDGED == 3
    if options:
        (row,) = json.loads(output)["measurements"]
        assert (row["verdict"], row["reason"]) == ("not judged", "the worker died (exit status 7)")
    else:
        line = "GPU peak not judged: the worker died (exit status 7) [100 tokens, bucket 128, h100-80gb, compiled]"
        assert line in output.splitlines()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--tokens", "0"], "--tokens '0' must be a whole number of at least 1"),
        (["--tokens", "-5"], "--tokens '-5' must be a whole number of at least 1"),
        (["--tokens", "many"], "--tokens 'many' must be a whole number of at least 1"),
        (["--tokens", "2", "--chains", "3"], "tokens=2 is too few for 3 chains: at least 3"),
        (["--tokens", "512", "--target", "h100"], "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)"),
        (["--tokens", "512", "--set", "width"], "--set 'width' must be NAME=VALUE, like num_samples=1"),
        (["--tokens", "512", "--set", "widht=3"], "analytic has no setting 'widht'; did you mean width? (or use a dotted path)"),
        (
            ["--tokens", "512", "--ligands", "ATP"],
            "ligand 'ATP' cannot be counted: this model has no chemical component dictionary",
        ),
        (["--tokens", "512", "--method", "guess"], "--method 'guess' is not one of auto, compiled, run"),
        (["--tokens", "512", "--workers", "0"], "--workers '0' must be a whole number of at least 1"),
    ],
)
def test_bad_arguments_are_said_in_one_line(af3mem, arguments, line):
    assert af3mem("measure", *arguments) == (commands.USAGE, "", f"af3mem: {line}\n")


def test_settings_are_read_as_python_values(af3mem):
    status, output, _ = af3mem("measure", "--tokens", "100", "--set", "width=7", "--json", "-")
    assert status == commands.OK
    assert json.loads(output)["measurements"][0]["argument_bytes"] == 4 * (7 + 128)


def test_the_environment_counts_here_too(af3mem, monkeypatch):
    monkeypatch.setenv("AF3MEM_BUCKETS", "110,220")
    _, output, _ = af3mem("measure", "--tokens", "100", "--json", "-")
    assert json.loads(output)["measurements"][0]["bucket"] == 110


def test_doctor_lists_every_target(af3mem, project):
    status, output, errors = af3mem("doctor")
    assert (status, errors) == (commands.OK, "")
    lines = output.splitlines()
    assert "model             analytic: analytic 1.0" in lines
    assert "buckets           128 256 512" in lines
    assert "dictionary        not used by this model" in lines
    assert f"cache             {project.cache}" in lines
    compiles = {line.split()[0]: line.split(maxsplit=3)[3] for line in lines[lines.index("") + 2 :]}
    assert list(compiles) == list(gpus.names())
    assert compiles["h100-80gb"] == "compiles"


def test_doctor_says_what_is_missing(af3mem):
    status, output, _ = af3mem("doctor", model="misbehaving:NotInstalled")
    assert status == commands.USAGE
    assert output.splitlines()[-1] == "to mend: analytic needs its weights: pip install analytic-weights"
    assert "  h100-80gb                  79.11 GiB  not tried" in output.splitlines()


def test_the_command_is_installed_and_tells_its_version():
    from pytest_af3mem import __version__

    program = [sys.executable, "-m", "pytest_af3mem.commands.cli", "--version"]
    assert subprocess.run(program, capture_output=True, text=True).stdout == f"pytest-af3mem {__version__}\n"


def test_help_names_both_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    output = capsys.readouterr().out
    assert "measure one input" in output
    assert "what is installed, what is missing, which targets compile" in output


def test_tokens(af3mem, tmp_path):
    files = [tmp_path / name for name in ("job.json", "broken.json", "jobs.json", "none.json")]
    protein = {"id": ["A", "B"], "sequence": "MKTAYIA"}
    job = {"dialect": "alphafold3", "version": 1, "name": "mine", "modelSeeds": [1], "sequences": [{"protein": protein}]}
    files[0].write_text(json.dumps(job))
    files[1].write_text(json.dumps({**job, "modelSeeds": []}))
    chain = {"proteinChain": {"sequence": "M" * 300, "count": 2}}
    files[2].write_text(json.dumps([{"name": name, "sequences": [chain]} for name in ("one", "é2")]))

    status, output, errors = af3mem("tokens", *map(str, files))

    assert status == commands.USAGE
    assert output.splitlines() == [
        "tokens  bucket  padding  job",
        f"    14     128      114  {files[0]} 'mine'",
        f"   600     600        0  {files[2]}[0] 'one'",
        f"   600     600        0  {files[2]}[1] '\\xe92'",
    ]
    assert errors.splitlines() == [
        f"af3mem: '{files[1]}': modelSeeds: [] must not be empty",
        f"af3mem: '{files[3]}': cannot be read: No such file or directory",
    ]
    assert af3mem("tokens", str(files[0]))[0] == commands.OK
    files[0].write_text(json.dumps(job).replace("MKTAYIA", "XX"))
    assert af3mem("tokens", str(files[0]))[2].endswith(
        "no chain has a residue that is known: AlphaFold 3 leaves such chains out\n"
    )
    files[0].write_text(json.dumps(job))
    assert af3mem("tokens", str(files[0]), "--buckets", "10,20")[1].splitlines()[1].split()[:3] == ["14", "20", "6"]


def test_tokens_of_a_ligand_of_a_model_without_dictionary(af3mem, tmp_path):
    ligand = {"ligand": {"id": "A", "ccdCodes": ["ATP"]}}
    job = {"dialect": "alphafold3", "version": 1, "name": "mine", "modelSeeds": [1], "sequences": [ligand]}
    (tmp_path / "job.json").write_text(json.dumps(job))
    status, _, errors = af3mem("tokens", str(tmp_path / "job.json"))
    assert status == commands.USAGE
    assert "ligand 'ATP' cannot be counted: this model has no chemical component dictionary" in errors
