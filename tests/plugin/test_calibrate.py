"""`af3mem calibrate` and `af3mem watch` on a machine without a GPU."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path

import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus.nvml import visible_gpus
from pytest_af3mem.models.fingerprint import installed
from pytest_af3mem.records import calibration
from pytest_af3mem.records.peak import Run
from pytest_af3mem.session.gpu_runs import GpuRuns

pytestmark = pytest.mark.skipif(bool(visible_gpus()[0]), reason="shows what happens without a GPU")
NO_GPU = "no GPU is visible (no NVIDIA driver: NVML Shared Library Not Found)"


@pytest.fixture
def a_run_of():
    """A peak as it would come of a GPU, with the bytes of what was compiled."""

    def run(peak):
        read = Run("NVIDIA H100 80GB HBM3", "GPU-1", "570", *[peak.total_bytes] * 9)
        return dataclasses.replace(peak, method="run", run=read, allocator_bytes=peak.total_bytes)

    return run


def test_dry_run(af3mem, project):
    status, output, errors = af3mem("calibrate", "--dry-run", "--sizes", "100,200")
    assert (status, errors) == (commands.OK, "")
    lines = output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "100 tokens: GPU peak 65.12 KiB [100 tokens, bucket 128, h100-80gb, compiled]",
        "200 tokens: GPU peak 258.12 KiB [200 tokens, bucket 256, h100-80gb, compiled]",
        "dry run for h100-80gb (NVIDIA H100 80GB HBM3): no record is written, for JAX's CPU device counts no bytes",
    ]
    assert [line.rsplit(maxsplit=2)[0].strip() for line in lines if line.endswith(" s")][-4:] == [
        "compiling",
        "running",
        "running again",
        "all",
    ]
    assert sum(line.startswith("  not judged: JAX ran on cpu (cpu) and not on a GPU, ") for line in lines) == 2
    assert not (project.cache / "calibration").exists()
    assert lines.count("  the second process loaded the program from JAX's compilation cache") == 2
    looks = "start, parameters, features, compile, first run, second run, end"
    assert lines.count(f"  no bytes were read in either, after {looks}: the device has no memory counters") == 2


@pytest.mark.parametrize("first", [(), ("--dry-run",)], ids=["a compiled one first", "a dry run first"])
def test_a_dry_run_and_a_compiled_measurement_have_parameters_of_their_own(af3mem, cold_project, first):
    """Types of parameters may follow the device, and a dry run's is a CPU."""
    where = {"model": "misbehaving:Narrower", "cache": cold_project.cache}
    measure, dry_run = ("measure", "--tokens", "100"), ("calibrate", "--dry-run", "--sizes", "100")
    for command in (dry_run, measure) if first else (measure, dry_run):
        status, output, _ = af3mem(*command, **where)
        assert status == commands.OK, output


def test_a_dry_run_whose_second_process_dies(af3mem, monkeypatch):
    """What the first did stands there, and that there is no answer."""
    rehearse = GpuRuns.rehearse

    def once(self, request, stored=None):
        if any(Path(stored).iterdir()):
            raise NotJudged("the worker died (SIGKILL)")
        return rehearse(self, request, stored)

    monkeypatch.setattr(GpuRuns, "rehearse", once)
    status, output, _ = af3mem("calibrate", "--dry-run", "--sizes", "100")
    assert status == commands.NOT_JUDGED
    assert sum(line.startswith("  running again ") for line in output.splitlines()) == 1
    assert "GPU peak not judged: the worker died (SIGKILL) [100 tokens, bucket 128, h100-80gb, run]" in output.splitlines()
    assert "second process" not in output


def test_a_record_is_written_after_each_size(af3mem, project, monkeypatch, a_run_of):
    """What the time did not allow does not take what was measured before with it."""
    sizes = []

    def run(self, request):
        sizes.append(request.tokens)
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return a_run_of(self._pool.compile(dataclasses.replace(request, method="compiled")))

    monkeypatch.setattr(GpuRuns, "run", run)
    with contextlib.suppress(KeyboardInterrupt):
        af3mem("calibrate", "--sizes", "100,200", "--into", str(project.path))
    assert sizes == [100, 200]
    (point,) = json.loads((project.path / "h100-80gb.json").read_text())["sizes"]
    assert point["tokens"] == 100


def test_without_a_gpu_there_is_no_record(af3mem, project):
    status, output, _ = af3mem("calibrate", "--sizes", "100", "--into", str(project.path))
    assert status == commands.NOT_JUDGED
    line = f"GPU peak not judged: {NO_GPU}; --af3-method compiled needs no GPU [100 tokens, bucket 128, h100-80gb, run]"
    assert line in output.splitlines()
    assert "record:" not in output
    assert not list(project.path.glob("*.json"))


@pytest.fixture
def folds(project, needed_bytes):
    """Writes the file of folds of a runner whose model is the small one of these tests: changes of each line by keyword."""
    versions = {name: version for name in ("jax", "jaxlib", "tokamax") if (version := installed(name))}
    usual = {
        "schema": 1,
        "time": "2026-11-25T10:00:00+00:00",
        "process": 7,
        "tokens": 100,
        "bucket": 128,
        "peak_bytes": needed_bytes(128) + 64,
        "before_bytes": None,
        "rose": True,
        "limit_bytes": None,
        "device": "NVIDIA H100 80GB HBM3",
        "target": "h100-80gb",
        "distribution": "analytic 1.0",
        "software": versions,
        "xla_flags": "--xla_gpu_enable_triton_gemm=false",
        "environment": {"XLA_PYTHON_CLIENT_PREALLOCATE": "true"},
        "settings": {"width": 32},
    }

    def write(*changes):
        lines = (json.dumps({**usual, "process": at, **one}) for at, one in enumerate(changes, start=1))
        path = project.path / "peaks.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return write


def test_folds_of_production(af3mem, project, folds, needed_bytes):
    of_256 = {"tokens": 200, "bucket": 256, "peak_bytes": needed_bytes(256)}
    path = folds({}, {"peak_bytes": needed_bytes(128) + 640}, of_256, {"settings": {"width": 64}})
    status, output, errors = af3mem("calibrate", "--from", path, "--into", str(project.path / "records"))
    assert (status, errors) == (commands.OK, "")
    assert output.splitlines() == [
        "bucket  target     folds    compiled  lowest peak  highest peak      gap  settings",
        "   128  h100-80gb      2   65.12 KiB    65.19 KiB     65.75 KiB  +0.96 %  -",
        "   128  h100-80gb      1   65.25 KiB    65.19 KiB     65.19 KiB  -0.10 %  width=64",
        "   256  h100-80gb      1  258.12 KiB   258.12 KiB    258.12 KiB  +0.00 %  -",
        "h100-80gb: in production the GPU took +0.00 to +0.96 % of what was compiled "
        f"(128 to 256 tokens, analytic 1.0, jax {installed('jax')}, 3 folds, 2026-11-25)",
        f"record: {project.path}/records/h100-80gb-production.json",
    ]
    (record,), problems = calibration.read([project.path / "records"])
    assert (record.origin, [point.folds for point in record.points], problems) == ("production", [2, 1], [])


def test_what_a_measurement_says_of_production(af3mem, project, folds, tmp_path):
    cache = ("--cache-dir", str(tmp_path))
    af3mem("calibrate", *cache, "--from", folds({}))
    assert "h100-80gb: in production the GPU took +0.10 to +0.10 %" in af3mem("measure", "--tokens", "100", *cache)[1]


def test_folds_that_are_not_used_are_said(af3mem, project, folds):
    path = folds(
        {"before_bytes": 1 << 20, "rose": False, "peak_bytes": 1 << 20},
        {"environment": {"TF_FORCE_UNIFIED_MEMORY": "true"}},
        {"environment": {"XLA_PYTHON_CLIENT_ALLOCATOR": "platform"}},
        {"device": "NVIDIA L4"},
        {"device": "GeForce 256", "target": ""},
        {"target": "h1000"},
        {"distribution": "analytic 2.0"},
        {"software": {}},
        {"xla_flags": "--xla_dump_to=..."},
        {"xla_flags": "-O2"},
        {"settings": {"widht": 7}},
    )
    status, output, _ = af3mem("calibrate", "--from", path, "--into", str(project.path / "records"))
    assert status == commands.NOT_JUDGED
    reasons = dict(line.removeprefix("not used: ").split(": ", 1) for line in output.splitlines() if line.startswith("not used"))
    assert reasons["line 1"] == "the peak is that of an earlier fold of the same process: this one's own is lower, and not known"
    assert reasons["line 2"].startswith("unified memory is on (TF_FORCE_UNIFIED_MEMORY=true)")
    assert reasons["line 3"].startswith("XLA_PYTHON_CLIENT_ALLOCATOR=platform replaces JAX's allocator")
    assert reasons["line 4"] == "NVIDIA L4 is not h100-80gb"
    assert reasons["line 5"] == "GeForce 256 is no target of the catalogue"
    assert reasons["line 6"].startswith("unknown target 'h1000'")
    assert reasons["line 7"] == "made with analytic 2.0, and analytic 1.0 is here"
    assert f"jax not installed, and jax {installed('jax')} is here" in reasons["line 8"]
    assert reasons["line 9"].startswith("a flag of XLA had the path of a file as its value, which is not recorded")
    assert reasons["line 10"].startswith("what it ran cannot be asked for: xla_flags: '-O2' is neither container")
    assert reasons["line 11"].startswith("what it ran cannot be asked for: analytic has no setting 'widht'")
    assert "no line can be held against what is compiled" in output


def test_folds_as_json(af3mem, project, folds, needed_bytes):
    into = ("--into", str(project.path / "records"))
    report = json.loads(af3mem("calibrate", "--from", folds({}, {"rose": False}), *into, "--json", "-")[1])
    (row,) = report["measurements"]
    assert (row["folds"], row["highest_peak_bytes"], row["total_bytes"]) == (1, needed_bytes(128) + 64, needed_bytes(128))
    assert report["unused"] == [{"lines": [2], "reason": "absurd: whether the peak rose contradicts the peaks"}]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--from", "none.jsonl"], "--from 'none.jsonl' is no file that is here"),
        (["--from", "x", "--dry-run"], "--from reads what a GPU folded: leave --dry-run out"),
        (["--from", "x", "--sizes", "5"], "--from reads what a GPU folded: leave --sizes out"),
    ],
)
def test_a_file_of_folds_that_cannot_be_read(af3mem, arguments, problem):
    status, _, errors = af3mem("calibrate", *arguments)
    assert (status, errors) == (commands.USAGE, f"af3mem: {problem}\n")


@pytest.mark.parametrize(("sizes", "bad"), [("", ""), ("256,", ""), ("256,x", "x"), ("0", "0"), ("1.5", "1.5")])
def test_bad_sizes(af3mem, sizes, bad):
    status, _, errors = af3mem("calibrate", "--sizes", sizes)
    assert status == commands.USAGE
    assert errors == f"af3mem: --sizes {bad!r} must be a whole number of at least 1\n"


def test_a_compiled_number_says_that_no_card_was_asked(af3mem):
    output = af3mem("measure", "--tokens", "100")[1]
    line = "h100-80gb: no GPU of it was read yet (af3mem calibrate, on one); docs/truth.md has what published peaks support"
    assert line in [one.strip() for one in output.splitlines()]


def test_watch(capsys):
    def watch(pid):
        return cli.main(["watch", pid]), *capsys.readouterr()

    assert watch(str(os.getpid())) == (commands.NOT_JUDGED, "", f"af3mem: {NO_GPU}\n")
    assert watch("4194305") == (commands.USAGE, "", "af3mem: there is no process 4194305 here\n")
    assert watch("me")[2] == "af3mem: PID 'me' must be the number of a process, as nvidia-smi shows it\n"
