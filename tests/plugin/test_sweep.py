"""`af3mem sweep`, with the small models of tests/models."""

import contextlib
import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import happens

from pytest_af3mem import commands


@pytest.fixture
def sweep(af3mem):
    return functools.partial(af3mem, "sweep")


def test_the_curve_and_its_law(sweep):
    status, output, errors = sweep("--tokens", "1000,128,500,250")
    assert (status, errors) == (commands.OK, "")
    lines = output.splitlines()
    assert lines[0] == "analytic:Analytic for h100-80gb"
    assert [line.split()[:4] for line in lines[2:6]] == [
        ["128", "128", "65.12", "KiB"],
        ["250", "256", "258.12", "KiB"],
        ["500", "512", "1.00", "MiB"],
        ["1000", "1000", "3.82", "MiB"],
    ]
    assert lines[6] == "law: 128 B + 8.00 B x N + 4.00 B x N^2, within 0.00 % of every bucket"


def test_all_combinations(sweep, needed_bytes):
    status, output, errors = sweep("--targets", "l4-24gb,h100-80gb", "--over", "width=8,16", "--json", "-")
    assert (status, errors) == (commands.OK, "")
    report = json.loads(output)
    assert [(curve["changed"]["width"], curve["target"]) for curve in report["curves"]] == [
        (width, target) for width in ("8", "16") for target in ("l4-24gb", "h100-80gb")
    ]
    for curve in report["curves"]:
        width = int(curve["changed"]["width"])
        assert curve["points"] == [{"bucket": size, "total_bytes": needed_bytes(size, width)} for size in (128, 256, 512)]
        assert curve["law"] is None  # three points are met by any parabola
        assert 1.9 < curve["exponents"][0] < curve["exponents"][1] < 2
    assert len(report["measurements"]) == 4 * 3


def test_several_models_of_which_some_cannot_be_measured(sweep):
    models = "analytic:Analytic,misbehaving:NotInstalled,misbehaving:Unreadable"
    status, output, _ = sweep("--models", models, "--tokens", "100", "--markdown", "-")
    assert status == commands.NOT_JUDGED
    assert output.splitlines() == [
        "| model | target | 100 tokens |",
        "| --- | --- | --- |",
        "| analytic:Analytic | h100-80gb | 65.12 KiB |",
        "| misbehaving:Unreadable | h100-80gb | not judged |",
        "",
        "Not judged:",
        "",
        "- misbehaving:NotInstalled: analytic needs its weights: pip install analytic-weights",
        "- misbehaving:Unreadable for h100-80gb: unreadable does not featurise the job: ValueError: no MSA was given",
    ]


def test_reports_in_files(sweep, tmp_path):
    pytest.importorskip("plotly")
    files = [tmp_path / name for name in ("sweep.json", "sweep.md", "sweep.html")]
    status, output, _ = sweep(
        "--tokens", "100,200,500", *(f"--{file.suffix[1:].replace('md', 'markdown')}={file}" for file in files)
    )
    assert (status, output.splitlines()[0]) == (commands.OK, "analytic:Analytic for h100-80gb")
    report, table, page = (file.read_text() for file in files)
    assert len(json.loads(report)["measurements"]) == 3
    assert "| analytic:Analytic | h100-80gb | 65.12 KiB | 258.12 KiB | 1.00 MiB |" in table.splitlines()
    assert page.lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--over", "widht=1,2"], "'widht' cannot be varied; did you mean width?"),
        (["--over", "width"], "--over 'width' must be NAME=VALUE,VALUE,..., like msa_depth=0,1000,16384"),
        (["--models", "analytic:Analytic,alphafold2"], "unknown model 'alphafold2'; did you mean alphafold3"),
        (["--models", "misbehaving:NotInstalled"], "analytic needs its weights: pip install analytic-weights"),
        (["--tokens", "100,"], "--tokens '' must be a whole number of at least 1"),
        (["--targets", "v101"], "unknown target 'v101'"),
    ],
)
def test_bad_arguments(sweep, arguments, line):
    status, output, errors = sweep("--tokens", "100", *arguments)
    assert (status, output) == (commands.USAGE, "")
    assert errors.startswith(f"af3mem: {line}")


TOKENS = (10, 200, 500, 600, 700, 800)


@pytest.fixture
def running(project, tmp_path):
    """A sweep of six sizes that take a while, each of which is noted, of which two are done; and the number of notes."""
    where = project.where("misbehaving:Misbehaving", cache=tmp_path / "cache")
    sizes = ("--workers", "2", "--tokens", ",".join(map(str, TOKENS)))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_af3mem", "sweep", *where, "--set", "does=wait", *sizes],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    happens(lambda: len(measured(tmp_path)) >= 2)
    yield process
    process.kill()
    process.communicate()


def measured(folder):
    return sorted((folder / "cache" / "peaks").glob("*.json"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_goes_on_where_it_was_ended(running, sweep, tmp_path, monkeypatch, how):
    start = time.monotonic()
    running.send_signal(how)
    _, errors = running.communicate(timeout=30)
    assert time.monotonic() - start < 5
    if how is signal.SIGINT:
        assert (running.returncode, errors) == (130, "af3mem: interrupted\n")
    assert happens(lambda: not _workers_in(tmp_path), 10)
    before, noted = len(measured(tmp_path)), len((tmp_path / "traced").read_text().splitlines())
    assert 2 <= before < len(TOKENS)
    monkeypatch.chdir(tmp_path)
    arguments = ("--set", "does=wait", "--tokens", ",".join(map(str, TOKENS)), "--json", "-")
    status, output, _ = sweep(*arguments, cache=tmp_path / "cache", model="misbehaving:Misbehaving")
    assert status == commands.OK
    rows = json.loads(output)["measurements"]
    assert [row["tokens"] for row in rows] == list(TOKENS)
    assert sum(row["cached"] for row in rows) == before
    assert len((tmp_path / "traced").read_text().splitlines()) == noted + len(TOKENS) - before


def _workers_in(folder):
    """Processes whose current folder is this one."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # of those that have ended meanwhile
            found += [link] if link.readlink() == folder else []
    return found
