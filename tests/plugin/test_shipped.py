"""Shipped answers of a small model: made, found, held against what is measured, and used where no model is installed."""

import dataclasses
import functools
import importlib.util
import json
from pathlib import Path

import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.gpus import local
from pytest_af3mem.records import shipped
from pytest_af3mem.session import shipped as without_model

MODEL = "analytic:Analytic"
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "shipped_answers.py"


@pytest.fixture
def script(project, capsys):
    """`python benchmarks/shipped_answers.py`."""
    spec = importlib.util.spec_from_file_location("shipped_answers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(folder, *arguments):
        status = module.main(["--into", str(folder), *project.where(), *arguments])
        return status, capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def answers(script, tmp_path, monkeypatch):
    """The folder of the shipped answers, with a table for h100-80gb."""
    folder = tmp_path / "answers"
    assert script(folder)[0] == 0
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


@pytest.fixture
def af3mem(af3mem, tmp_path):
    """The command where the model is installed, with an empty cache."""
    return functools.partial(af3mem, cache=tmp_path / "cache")


@pytest.fixture
def stated(answers, tmp_path, capsys):
    """The command with no word of where the model is."""

    def run(command, *arguments):
        return cli.main([command, "--model", MODEL, "--cache-dir", str(tmp_path / "cache"), *arguments]), *capsys.readouterr()

    return run


@pytest.fixture
def without(stated, monkeypatch):
    """The command where no model is installed."""
    monkeypatch.setattr(without_model, "is_installed", lambda model: False)
    return stated


def test_tables_are_made_and_go_on_where_they_were(script, tmp_path, needed_bytes):
    status, lines = script(tmp_path, "--sizes", "128,256")
    assert (status, lines[:3]) == (
        0,
        [
            "h100-80gb: 0 of 2 sizes are there",
            "h100-80gb: GPU peak 65.12 KiB [128 tokens, bucket 128, h100-80gb, compiled]",
            "h100-80gb: GPU peak 258.12 KiB [256 tokens, bucket 256, h100-80gb, compiled]",
        ],
    )
    status, lines = script(tmp_path)
    assert (status, lines[0], len(lines)) == (0, "h100-80gb: 2 of 3 sizes are there", 3)
    found = shipped.table(tmp_path, "h100-80gb")
    assert {bucket: row.peak.total_bytes for bucket, row in found.by_bucket.items()} == {
        bucket: needed_bytes(bucket) for bucket in (128, 256, 512)
    }
    shipped.write(tmp_path, dataclasses.replace(found, installation=dataclasses.replace(found.installation, fingerprint="old")))
    assert script(tmp_path)[1][:2] == [
        "h100-80gb: begun anew, for its table is of other versions or sources",
        "h100-80gb: 0 of 3 sizes are there",
    ]
    assert script(tmp_path, "--sizes", "100")[0] == 1


def test_tables_are_checked(script, answers, a_table_of):
    assert script(answers, "--check") == (
        0,
        [
            "h100-80gb: GPU peak 65.12 KiB [128 tokens, bucket 128, h100-80gb, compiled]: the same",
            "h100-80gb: GPU peak 258.12 KiB [256 tokens, bucket 256, h100-80gb, compiled]: the same",
        ],
    )
    a_table_of(live_bytes=5)
    status, lines = script(answers, "--check", "--sizes", "128")
    assert (status, lines[0].rpartition(": ")[2]) == (1, "differs in live_bytes")
    a_table_of(fingerprint="old")
    assert script(answers, "--check", "--sizes", "128")[1][0] == (
        "h100-80gb: of other versions, sources or another description of it than are here"
    )


@pytest.fixture
def a_table_of(answers):
    """Changes what the table says: fields of its installation, or of each peak."""

    def change(**changes):
        found = shipped.table(answers, "h100-80gb")
        if "fingerprint" in changes:
            changed = dataclasses.replace(found, installation=dataclasses.replace(found.installation, **changes))
        else:
            rows = (dataclasses.replace(row, peak=dataclasses.replace(row.peak, **changes)) for row in found.rows)
            changed = dataclasses.replace(found, rows=tuple(rows))
        shipped.write(answers, changed)

    return change


def test_where_all_is_equal_nothing_is_compiled(answers, af3mem, a_table_of):
    a_table_of(live_bytes=5)  # by which it is known
    status, output, _ = af3mem("measure", "--tokens", "100", "--json", "-")
    (row,) = json.loads(output)["measurements"]
    assert (status, row["live_bytes"], row["shipped"], row["cached"]) == (commands.OK, 5, True, True)
    output = af3mem("measure", "--tokens", "100")[1].splitlines()
    assert output[0].startswith("shipped answer, measured with analytic 1.0, jax ")
    assert " shipped " in output[2]
    for other in (["--set", "width=32"], ["--no-cache"], ["--buckets", "100"], ["--target", "l4-24gb"]):
        (row,) = json.loads(af3mem("measure", "--tokens", "100", *other, "--json", "-")[1])["measurements"]
        assert (row["shipped"], row["live_bytes"] != 5) == (False, True)


def test_a_job_of_ones_own_is_featurised_and_then_found(answers, af3mem, a_table_of, tmp_path):
    a_table_of(live_bytes=5)
    status, output, _ = af3mem("tokens", a_job(tmp_path), "--target", "h100-80gb", "--json", "-")
    (job,) = json.loads(output)["jobs"]
    assert (status, job["tokens"], job["total_bytes"], job["shipped"]) == (commands.OK, 100, 66688, True)


def a_job(folder, **chain):
    chain = {"protein": {"id": "A", "sequence": "M" * 100}} | chain
    job = {"dialect": "alphafold3", "version": 1, "name": "mine", "modelSeeds": [1]}
    path = folder / "jobs" / "job.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**job, "sequences": [{kind: value} for kind, value in chain.items()]}))
    return str(path)


@pytest.fixture
def of_releases(answers, script):
    """Shipped answers of both releases: of the other, live bytes of 7."""
    assert script(answers / "upstream", "--sizes", "128")[0] == 0
    (row,) = (other := shipped.table(answers / "upstream", "h100-80gb")).rows
    row = dataclasses.replace(row, peak=dataclasses.replace(row.peak, live_bytes=7))
    shipped.write(answers / "upstream", dataclasses.replace(other, rows=(row,)))


def test_of_a_release_that_is_named_whatever_is_installed(of_releases, stated):
    status, output, _ = stated("measure", "--tokens", "100", "--shipped", "upstream", "--json", "-")
    (row,) = json.loads(output)["measurements"]
    assert (status, row["live_bytes"], row["shipped"]) == (commands.OK, 7, True)
    assert row["command"].endswith(" --shipped upstream")
    output = stated("measure", "--tokens", "100", "--shipped", "wheel")[1].splitlines()
    assert output[0].startswith("shipped answer, measured with analytic 1.0, jax ")
    assert "not installed" not in output[0]
    status, output, _ = stated("measure", "--tokens", "500", "--shipped", "upstream")
    assert (status, "no shipped answer for this target is of bucket 512; --shipped measures nothing" in output) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--shipped", "mine"], "--shipped 'mine' is not one of wheel, upstream"),
        (["--shipped", "wheel", "--path", "."], "--shipped wheel measures nothing: leave --path out"),
        (["--shipped", "upstream"], "no shipped answers are of analytic:Analytic (upstream): --shipped measures nothing"),
    ],
)
def test_a_release_that_cannot_be_answered_for(stated, arguments, text):
    status, _, errors = stated("measure", "--tokens", "100", *arguments)
    assert (status, text in errors) == (commands.USAGE, True)


def test_a_gate_uses_none_of_other_sources(cold_project, answers, a_table_of):
    a_table_of(live_bytes=5)
    a_table_of(fingerprint="old")
    cold_project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    assert cold_project.run().ret == 0
    (row,) = cold_project.measurements()
    assert (row["shipped"], row["cached"], row["live_bytes"] != 5) == (False, False, True)


def test_without_the_model_commands_answer_at_once(without, tmp_path):
    said = "shipped answer, measured with analytic 1.0, jax "
    status, output, _ = without("measure", "--tokens", "100")
    assert (status, output.startswith(said), "AlphaFold 3 is not installed here" in output) == (commands.OK, True, True)
    assert "75.15 GiB to spare" in without("fit", "--tokens", "100", "--over", "width=16")[1]
    status, output, _ = without("tokens", a_job(tmp_path), "--target", "h100-80gb")
    assert (status, output.splitlines()[:2]) == (
        commands.OK,
        ["tokens  bucket  padding  h100-80gb  job", f"   100     128       28  65.12 KiB  {tmp_path}/jobs/job.json 'mine'"],
    )
    assert output.splitlines()[2].startswith(said)
    status, output, _ = without("plan")
    assert (status, output.splitlines()[2].split()[:4]) == (commands.OK, ["h100-80gb", "79.11", "GiB", "512"])
    status, output, _ = without("plan", str(tmp_path / "jobs"), "--targets", "h100-80gb")
    assert (status, "65.12 KiB" in output) == (commands.OK, True)


def test_without_the_model_no_change_of_it_is_known(without):
    status, output, _ = without("fit", "--tokens", "400", "--fraction", "1 MiB", "--over", "width=16,8")
    assert (status, output.count("width=")) == (commands.NOT_JUDGED, 1)
    assert "not judged: shipped answers are of the settings that go without saying, and width is stated" in output


def test_targets_without_a_table_are_said_in_one_line(without):
    status, output, _ = without("plan", "--targets", "h100-80gb,l4-24gb,a10-24gb")
    (line,) = (line for line in output.splitlines() if "not judged further" in line)
    assert (status, line.startswith("a10-24gb, l4-24gb are not judged further: ")) == (commands.NOT_JUDGED, True)


def test_beside_a_gpu_that_is_visible_they_are_compiled_all_the_same(without, monkeypatch):
    monkeypatch.setattr(local, "targets", lambda environment: ["h100-80gb"])
    for release in ([], ["--shipped", "wheel"]):
        status, output, _ = without("measure", "--tokens", "100", *release)
        assert (status, "65.12 KiB" in output) == (commands.OK, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--tokens", "600"], "no shipped answer for this target is of bucket 600"),
        (["--tokens", "100", "--target", "l4-24gb"], "no shipped answers are for this target (af3mem doctor lists them)"),
        (
            ["--tokens", "100", "--set", "width=32"],
            "shipped answers are of the settings that go without saying, and width is stated",
        ),
        (
            ["--tokens", "100", "--flags", "default"],
            "shipped answers are of the settings that go without saying, and xla_flags is",
        ),
        (["--tokens", "100", "--launch"], "shipped answers do not say whether kernels run (--launch)"),
        (["--tokens", "100", "--method", "run"], "shipped answers are compiled, and run was asked for"),
    ],
)
def test_without_the_model_all_else_is_not_judged(without, arguments, reason):
    status, output, _ = without("measure", *arguments)
    assert (status, f"not judged: {reason}" in output) == (commands.NOT_JUDGED, True)
    assert "; AlphaFold 3 is not installed here: pip install" in output


def test_without_the_model_flags_of_the_environment_count(without, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    status, output, _ = without("measure", "--tokens", "100")
    assert (status, "not judged: a variable of the environment is set" in output) == (commands.NOT_JUDGED, True)
    monkeypatch.setenv("XLA_FLAGS", " ")
    assert without("measure", "--tokens", "100")[0] == commands.OK


def test_without_the_model_a_component_is_named(without, tmp_path):
    status, _, errors = without("tokens", a_job(tmp_path, ligand={"id": "B", "ccdCodes": ["ATP"]}), "--target", "h100-80gb")
    assert (status, "ATP: counted by the chemical component dictionary: AlphaFold 3 is not" in errors) == (commands.USAGE, True)
    status, output, _ = without("plan", str(tmp_path / "jobs"))
    assert (status, "ATP: counted by the chemical component dictionary" in output) == (commands.USAGE, True)


def test_who_states_an_installation_is_not_answered_for_another(without, project):
    status, _, errors = without("measure", "--tokens", "100", "--path", str(project.path))
    assert (status, "project" in errors or "analytic" in errors) == (commands.USAGE, True)
