"""The two lines of `run_alphafold.py`, on a device that is not there, and the file that they write. Numbers are invented."""

import dataclasses
import datetime
import fcntl
import json
import os
import sys
from types import SimpleNamespace

import pytest

from pytest_af3mem import production
from pytest_af3mem.records import production as records
from pytest_af3mem.records.production import Fold, parsed

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
FOLD = Fold(
    schema=1,
    time="2026-11-25T10:00:00.000001+00:00",
    process=7,
    tokens=1000,
    bucket=1024,
    peak_bytes=4_000_000_000,
    before_bytes=None,
    rose=True,
    limit_bytes=80_000_000_000,
    device="NVIDIA H100 80GB HBM3",
    target="h100-80gb",
    distribution="alphafold3-colabfold 3.1.18",
    software={"jax": "0.10.2", "jaxlib": "0.10.2", "tokamax": "0.0.12"},
    xla_flags="--xla_gpu_enable_triton_gemm=false",
    environment={"XLA_PYTHON_CLIENT_PREALLOCATE": "true"},
    settings={"num_samples": 5},
)


class Gpu:
    """A JAX device whose allocator peaked at what a test says."""

    id = 0
    device_kind = "NVIDIA H100 80GB HBM3"

    def __init__(self, peak_bytes=0):
        self.peak_bytes = peak_bytes

    def memory_stats(self):
        return {"peak_bytes_in_use": self.peak_bytes, "bytes_limit": 80_000_000_000}


class Mask(list):
    """As `seq_mask` of a featurised example: a NumPy array of truths, as far as the hook asks."""

    def __init__(self, tokens, bucket):
        super().__init__([True] * tokens + [False] * (bucket - tokens))
        self.shape = (bucket,)

    def sum(self):
        return sum(self)


@pytest.fixture
def gpu(monkeypatch):
    """The GPU of a process that has not folded anything."""
    found = Gpu()
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_devices=lambda: [found]))
    monkeypatch.delitem(sys.modules, "absl.flags", raising=False)
    monkeypatch.setattr(production, "_peaks", {})
    for name in ("XLA_FLAGS", "TF_FORCE_UNIFIED_MEMORY", "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new" / "peaks.jsonl"


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_fold_is_a_line(gpu, file, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=false --xla_dump_to=/home/me")
    monkeypatch.setenv("TF_FORCE_UNIFIED_MEMORY", "true")
    gpu.peak_bytes = 4_000_000_000
    production.record(file, {"seq_mask": Mask(1000, 1024)})
    (line,) = lines(file)
    assert (line["tokens"], line["bucket"], line["peak_bytes"], line["before_bytes"], line["rose"]) == (
        1000,
        1024,
        4_000_000_000,
        None,
        True,
    )
    assert (line["target"], line["device"], line["limit_bytes"]) == ("h100-80gb", "NVIDIA H100 80GB HBM3", 80_000_000_000)
    assert line["xla_flags"] == "--xla_gpu_enable_triton_gemm=false --xla_dump_to=..."
    assert (line["environment"], line["process"]) == ({"TF_FORCE_UNIFIED_MEMORY": "true"}, os.getpid())
    folds = records.read(file, datetime.datetime.now(datetime.UTC))
    assert (folds.used[1].line(), folds.unused) == (file.read_bytes(), {})


def test_a_smaller_fold_does_not_have_the_peak_of_an_earlier_one(gpu, file):
    for peak_bytes, tokens in ((9000, 2048), (9000, 256), (9500, 3072)):
        gpu.peak_bytes = peak_bytes
        production.record(file, tokens=tokens, bucket=tokens)
    assert [(line["before_bytes"], line["rose"]) for line in lines(file)] == [(None, True), (9000, False), (9000, True)]


def test_a_fold_that_was_not_recorded_leaves_its_peak_to_no_other(gpu, file, caplog):
    gpu.peak_bytes = 9000
    production.record(file)
    production.record(file, tokens=256, bucket=256)
    assert [line["rose"] for line in lines(file)] == [False]
    assert "give the featurised example, or tokens= and bucket=" in caplog.text


def test_settings_are_those_of_the_runners_options(gpu, file, monkeypatch):
    class Flags(dict):
        def is_parsed(self):
            return True

    flags = Flags(num_diffusion_samples=SimpleNamespace(value=1), flash_attention_implementation=SimpleNamespace(value="xla"))
    monkeypatch.setitem(sys.modules, "absl.flags", SimpleNamespace(FLAGS=flags))
    gpu.peak_bytes = 1
    production.record(file, tokens=1, bucket=128)
    assert lines(file)[0]["settings"] == {"num_samples": 1, "attention": "xla"}


def test_a_failure_never_breaks_a_fold(gpu, file, monkeypatch, caplog, tmp_path):
    def said(*arguments, **how):
        caplog.clear()
        assert production.record(*arguments, **how) is None
        (one,) = caplog.messages
        return one.removeprefix("pytest-af3mem did not record the peak of this fold: ")

    size = {"tokens": 1, "bucket": 128}
    assert said(file, **size) == "NVIDIA H100 80GB HBM3 has no counters of memory"
    gpu.peak_bytes = 1
    assert "Is a directory" in said(tmp_path, **size)
    assert said(None, **size).startswith("TypeError: ")
    assert said(file, {"no": "mask"}) == "KeyError: 'seq_mask'"
    os.mkfifo(tmp_path / "pipe")
    assert said(tmp_path / "pipe", **size) == f"{tmp_path / 'pipe'} is not a file"
    monkeypatch.setattr(os, "write", lambda file, line: len(line) - 1)
    assert "No space left on device" in said(file, **size)
    both = [gpu, Gpu(2)]
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_devices=lambda: both))
    assert said(file, **size) == "the process used several GPUs: name the one of this fold with device="
    monkeypatch.delitem(sys.modules, "jax")
    assert said(file, **size) == "JAX was not imported in this process, so nothing was folded in it"


def test_a_line_that_was_cut_off_takes_no_other_with_it(gpu, file):
    file.parent.mkdir()
    file.write_bytes(FOLD.line()[:-9])
    gpu.peak_bytes = 1
    production.record(file, tokens=1, bucket=128)
    folds = records.read(file, datetime.datetime.now(datetime.UTC))
    assert [fold.tokens for fold in folds.used.values()] == [1]
    assert folds.unused == {"no valid JSON: cut off, or of another program": (1,)}


def test_processes_write_one_file_at_the_same_time(at_once, file):
    preparation = """
from types import SimpleNamespace
from pytest_af3mem import production
class Gpu:
    id, device_kind, peak = 0, "NVIDIA L4", 0
    def memory_stats(self):
        self.peak += 1
        return {"peak_bytes_in_use": self.peak}
gpu = Gpu()
sys.modules["jax"] = SimpleNamespace(local_devices=lambda: [gpu])
"""
    at_once(preparation, "for _ in range(50): production.record(sys.argv[1], tokens=9, bucket=128)", file)
    folds = records.read(file, datetime.datetime.now(datetime.UTC))
    assert (len(folds.used), folds.unused) == (100, {})
    by_process = {one: [fold.peak_bytes for fold in folds.used.values() if fold.process == one] for one in _processes(folds)}
    assert list(by_process.values()) == [[*range(1, 51)]] * 2


def _processes(folds):
    return {fold.process for fold in folds.used.values()}


def test_a_lock_that_is_held_for_long_stops_no_fold(gpu, file, monkeypatch):
    monkeypatch.setattr(production, "_LOCK_SECONDS", 0.05)
    file.parent.mkdir()
    gpu.peak_bytes = 1
    with file.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        production.record(file, tokens=1, bucket=128)
    assert len(lines(file)) == 1


def changed(**changes):
    return json.dumps({**json.loads(FOLD.line()), **changes}).encode()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (FOLD.line()[:-5], "no valid JSON: cut off, or of another program"),
        (b"\xff\xfe", "no valid JSON: cut off, or of another program"),
        (b"[" * 10_000, "no valid JSON: cut off, or of another program"),
        (b"7", "no record of a fold"),
        (b'{"schema": 1, "loss": 0.5}', "no record of a fold"),
        (changed(schema=2, more=1), "of schema 2, which a newer pytest-af3mem wrote: this one reads 1"),
        (changed(schema=True), "schema: True must be a whole number"),
        (changed(tokens="1000"), "tokens: '1000' must be a whole number"),
        (changed(peak_bytes=0), "peak_bytes: 0 must be from 1 to 9,223,372,036,854,775,807"),
        (changed(peak_bytes=10**40), "peak_bytes: 1000000000"),
        (changed(tokens=1025), "absurd: 1025 tokens in a bucket of 1024"),
        (changed(peak_bytes=80_000_000_001), "absurd: a peak beyond what the allocator may take"),
        (changed(before_bytes=5_000_000_000), "absurd: the peak of a process fell"),
        (changed(rose=False), "absurd: whether the peak rose contradicts the peaks"),
        (changed(time="yesterday"), "absurd: 'yesterday' is no time"),
        (changed(time="2027-01-01T00:00:00+00:00"), "absurd: 2027-01-01T00:00:00+00:00 is still to come"),
        (changed(time="2026-01-01T00:00:00"), "absurd: 2026-01-01T00:00:00 is of no time zone"),
    ],
)
def test_a_line_that_is_no_fold_is_said(line, reason):
    folds = parsed([FOLD.line(), line], NOW)
    assert folds.used == {1: FOLD}
    ((said, numbers),) = folds.unused.items()
    assert numbers == (2,)
    assert said.startswith(reason)


def test_the_same_line_counts_once(monkeypatch):
    other = dataclasses.replace(FOLD, process=8)
    folds = parsed([FOLD.line(), b"\n", other.line(), FOLD.line()], NOW)
    assert folds.used == {1: FOLD, 3: other}
    assert folds.unused == {"there already: the same line stands before it": (4,)}


def test_keys_of_a_later_version_are_left_alone():
    assert parsed([changed(more=1)], NOW).used == {1: FOLD}


def test_a_file_is_not_read_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_LINES", 2)
    file = tmp_path / "peaks.jsonl"
    file.write_bytes(FOLD.line() + b"x" * 100_000 + b"\n" + FOLD.line())
    folds = records.read(file, NOW)
    assert folds.used == {1: FOLD}
    assert list(folds.unused) == [
        "no valid JSON: cut off, or of another program",
        "beyond the first 2 lines, which are read: part the file",
    ]
    monkeypatch.setattr(records, "_MOST_BYTES", 1000)
    for path, problem in ((file, "is larger than"), (tmp_path, "is a folder"), (tmp_path / "none", "is no file that is here")):
        with pytest.raises(records.InputError, match=problem):
            records.read(path, NOW)
