"""`af3mem plan`, with the small model of tests/models, whose memory can be worked out by hand."""

import csv
import functools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import happens

from pytest_af3mem import commands


@pytest.fixture
def plan(af3mem):
    return functools.partial(af3mem, "plan")


@pytest.mark.parametrize(
    ("fraction", "up_to", "fits", "beyond"),
    [
        ("1 MiB", 1024, 256, 512),  # between two buckets
        ("2 MiB", 1024, 704, 768),  # above the largest bucket, where it is exact to 64 tokens
        ("10 KiB", 1024, None, 128),  # below the smallest
        ("95 %", 640, 640, None),  # all of them
    ],
)
def test_the_edge_is_measured_on_both_sides(plan, needed_bytes, fraction, up_to, fits, beyond):
    status, output, errors = plan("--fraction", fraction, "--up-to", up_to, "--json", "-")
    assert (status, errors) == (commands.OK, "")
    (found,) = json.loads(output)["capacities"]
    assert (found["fits"] and found["fits"]["bucket"], found["beyond"] and found["beyond"]["bucket"]) == (fits, beyond)
    if fits:
        assert found["fits"]["total_bytes"] == needed_bytes(fits)
        assert found["headroom_bytes"] == found["limit_bytes"] - needed_bytes(fits) >= 0
    if beyond:
        assert found["excess_bytes"] == needed_bytes(beyond) - found["limit_bytes"] > 0


def test_the_table(plan):
    status, output, errors = plan("--targets", "l4-24gb,a100-80gb/1g*", "--fraction", "1 MiB", "--up-to", 512)
    assert (status, errors) == (commands.OK, "")
    assert [line.split() for line in output.splitlines()[1:4]] == [
        [name, *memory.split(), *"256 258.12 KiB 765.88 KiB 257-512 1.00 MiB 4.12 KiB".split()]
        for name, memory in (
            ("l4-24gb", "21.99 GiB"),
            ("a100-80gb/1g.10gb", "9.50 GiB"),
            ("a100-80gb/1g.20gb", "19.50 GiB"),
        )
    ]
    output = plan("--markdown", "-", "--target", "l4-24gb", "--fraction", "1 MiB", "--up-to", 512)[1]
    assert "| l4-24gb | 21.99 GiB | 256 | 258.12 KiB | 765.88 KiB | 257-512 | 1.00 MiB | 4.12 KiB |" in output.splitlines()
    made = r"Measured by `af3mem plan` on \d{4}-\d\d-\d\d, compiled: analytic, of analytic 1.0 with jax "
    assert re.match(made, output.splitlines()[2])


def test_a_measurement_that_fails_leaves_the_edge_open(plan):
    status, output, _ = plan("--set", "does=raise", model="misbehaving:Misbehaving")
    assert status == commands.NOT_JUDGED
    assert output.splitlines()[1].split()[:5] == ["h100-80gb", "79.11", "GiB", "not", "judged"]
    assert output.splitlines()[-1].startswith(
        "h100-80gb is not judged further: 2048 tokens: the model does not trace: ValueError"
    )


def _job(tokens, name="mine"):
    protein = {"id": "A", "sequence": "M" * tokens, "unpairedMsa": "", "pairedMsa": "", "templates": []}
    return {"dialect": "alphafold3", "version": 1, "name": name, "modelSeeds": [1], "sequences": [{"protein": protein}]}


@pytest.fixture
def folder(tmp_path):
    """Jobs of three sizes, and one that is broken."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    for name, tokens in (("a", 100), ("b", 120), ("c", 500), ("d", 700)):
        (folder / f"{name}.json").write_text(json.dumps(_job(tokens, name)))
    (folder / "notes.txt").write_text("not a job")
    return folder


def test_jobs_of_a_folder(plan, folder):
    status, output, errors = plan(folder, "--targets", "a100-40gb,l4-24gb", "--fraction", "1.5 MiB", "--gres", "l4-24gb=l4")
    assert (status, errors) == (commands.OVER, "")  # as one fits nowhere
    assert output.splitlines() == [
        "tokens  bucket      needs  smallest that fits  job",
        f"   100     128  65.12 KiB  l4-24gb             {folder}/a.json 'a'",
        f"   120     128  65.12 KiB  l4-24gb             {folder}/b.json 'b'",
        f"   500     512   1.00 MiB  l4-24gb             {folder}/c.json 'c'",
        f"   700     700   1.87 MiB  none                {folder}/d.json 'd'",
        f"fits nowhere: {folder}/d.json (with unified memory, host memory would hold "
        "383.66 KiB on l4-24gb, 383.66 KiB on a100-40gb)",
        "",
        f"sbatch --gres=gpu:l4:1 run_alphafold.sbatch {folder}/a.json",
        f"sbatch --gres=gpu:l4:1 run_alphafold.sbatch {folder}/b.json",
        f"sbatch --gres=gpu:l4:1 run_alphafold.sbatch {folder}/c.json",
    ]


def test_a_broken_file_is_told_and_the_rest_is_planned(plan, folder):
    (folder / "broken.json").write_text("{")
    status, output, _ = plan(folder, "--json", "-")
    assert status == commands.USAGE
    report = json.loads(output)
    (broken,) = report["broken"]
    assert broken["job"] == f"{folder}/broken.json"
    assert [(job["name"], job["fits"], job["gres"]) for job in report["jobs"]] == [
        (name, ["h100-80gb"], "gpu:nvidia_h100_80gb_hbm3:1") for name in "abcd"
    ]
    assert f"left out: {folder}/broken.json: {broken['reason']}" in plan(folder)[1].splitlines()


def test_a_plan_as_csv_and_what_is_not_in_it(plan, folder):
    (folder / "broken.json").write_text("{")
    (folder / "c.json").write_text(json.dumps(_job(500) | {"modelSeeds": [1, 2, 3]}))
    asked = ("--targets", "a100-40gb,l4-24gb", "--fraction", "1.5 MiB", "--partition", "l4-24gb=small", "--fallback")
    status, output, errors = plan(folder, *asked, "--format", "csv", "--json", folder / "report.txt")
    assert status == commands.USAGE  # as one is broken
    rows = {Path(row["file"]).name: row for row in csv.DictReader(output.splitlines())}
    assert [*rows] == ["a.json", "b.json", "c.json", "d.json"]
    assert [rows[name]["seeds"] for name in rows] == ["1", "1", "3", "1"]
    assert {(row["target"], row["partition"], row["samples"]) for row in rows.values()} == {("l4-24gb", "small", "")}
    assert (rows["a.json"]["fallback"], rows["d.json"]["unified"]) == ("a100-40gb", "1")
    first, second = errors.splitlines()
    assert first.startswith(f"af3mem: fits nowhere: {folder}/d.json (with unified memory")
    assert second.startswith(f"af3mem: left out: {folder}/broken.json: ")
    assert [job["seeds"] for job in json.loads((folder / "report.txt").read_text())["jobs"]] == [1, 1, 3, 1]


def test_a_card_is_split_for_the_jobs(plan, folder):
    (folder / "d.json").unlink()
    status, output, _ = plan(folder, "--targets", "a100-40gb/1g.5gb,a100-40gb/3g.20gb", "--fraction", "0.02 %")
    assert status == commands.OK
    assert (
        "split a100-40gb into 4 x 1g.5gb + 1 x 3g.20gb: the 3 jobs that fit a slice of it run all at once" in output.splitlines()
    )
    assert f"sbatch --gres=gpu:nvidia_a100-sxm4-40gb_1g.5gb:1 run_alphafold.sbatch {folder}/a.json" in output.splitlines()


def test_jobs_that_are_not_judged(plan, folder):
    status, output, _ = plan(folder / "a.json", "--set", "does=raise", model="misbehaving:Misbehaving")
    assert status == commands.NOT_JUDGED
    assert f"   100     128      -  not judged          {folder}/a.json 'a'" in output.splitlines()
    assert f"not judged: {folder}/a.json on any target: the model does not trace: ValueError" in output


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--targets", "h101*"], "no target is like 'h101*' (all: af3mem doctor)"),
        (["--targets", "h100"], "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)"),
        (["--fraction", "120 %"], "--fraction '120 %' is more than the whole GPU: a percentage is at most 100 %"),
        (["--up-to", "0x"], "--up-to '0x' must be a whole number of at least 1"),
        (["--up-to", "100"], "--up-to 100 is less than the smallest bucket, 128"),
        (["--gres", "a100"], "--gres 'a100' must be TARGET=TYPE, like a100-40gb=a100"),
        (["--partition", "a100-40gb"], "--partition 'a100-40gb' must be TARGET=NAME, like a100-40gb=gpu"),
        (
            ["--partition", "h100=gpu"],
            "--partition 'h100=gpu': unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)",
        ),
        (
            ["--partition", "l4-24gb=a b"],
            "--partition 'l4-24gb=a b': 'a b' is no name of a partition: letters, digits and any of . _ @ + : , -",
        ),
        (
            ["--format", "snakmake"],
            "--format 'snakmake' is not a format; did you mean snakemake? "
            "(there are sbatch, snakemake, nextflow, htcondor, lsf, csv, json)",
        ),
        (["--fallback"], "--fallback is for jobs: name AlphaFold 3 JSON files or folders of them, or leave it out"),
        (
            ["a.json", "--format", "csv", "--json", "-"],
            "--json - and --format csv both write to standard output: give --json a file",
        ),
        (["--set", "widht=3"], "analytic has no setting 'widht'; did you mean width? (or use a dotted path)"),
    ],
)
def test_bad_arguments(plan, arguments, line):
    assert plan(*arguments) == (commands.USAGE, "", f"af3mem: {line}\n")


def test_ctrl_c_while_jobs_are_featurised(project, folder, tmp_path):
    where = project.where("misbehaving:Endless", cache=tmp_path / "cache")
    command = [sys.executable, "-m", "pytest_af3mem", "plan", *where, "--workers", "2", str(folder)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        happens((tmp_path / "endless").exists)
        worker = Path("/proc", (tmp_path / "endless").read_text().split()[0])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (130, "af3mem: interrupted\n")
        assert happens(lambda: not worker.exists())
    finally:
        process.kill()
        process.wait()


def test_a_folder_without_jobs(plan, tmp_path):
    assert plan(tmp_path) == (commands.USAGE, "", f"af3mem: folder {str(tmp_path)!r} holds no *.json\n")
