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
from pytest_af3mem.records.peak import Run
from pytest_af3mem.session.gpu_runs import GpuRuns

pytestmark = pytest.mark.skipif(bool(visible_gpus()[0]), reason="shows what happens without a GPU")
NO_GPU = "no GPU is visible (no NVIDIA driver: NVML Shared Library Not Found)"


@pytest.fixture
def af3mem(project, capsys):
    def run(command, *arguments, model="analytic:Analytic"):
        usual = ("--model", model, "--path", str(project.models), "--cache-dir", str(project.cache))
        status = cli.main([command, *usual, *arguments])
        return status, *capsys.readouterr()

    return run


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
