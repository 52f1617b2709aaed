"""Whatever is given to `af3mem read` gives a program or one line that says what it is: no traceback, no guess, little memory."""

import gzip
import pickle
import random
import zlib
from pathlib import Path

import pytest
from protobuf import number

from pytest_af3mem.errors import UsageError
from pytest_af3mem.worker.xla import forms, program_file

KEPT = Path(__file__).parents[2] / "fixtures" / "programs"
PLAN_NAME = "module_0001.jit_fitted.sm_9.0a_gpu_after_optimizations.hlo.pb"
PLAN, EXECUTABLE = (KEPT / PLAN_NAME).read_bytes(), (KEPT / "executable").read_bytes()
ENTRY = zlib.compress(b"\0\0\0\3" + EXECUTABLE)
AGAIN = "XLA_FLAGS='--xla_dump_to=DIR --xla_dump_hlo_as_proto' makes a dump that is read"
CUT = "is cut off: what wrote it did not get to its end, or it was copied in part"
NEWER = b"\x0d\x08\x04\x12\x09pjrt_ifrt" + b"what a newer jaxlib writes"


def without_buffers(plan):
    length, at = forms.varint(plan, 1)
    return plan[: at + length]


def said(path):
    with pytest.raises(UsageError) as error:
        program_file.read(path, lambda text: None)
    line = str(error.value)
    assert "\n" not in line
    return line.replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is empty: what wrote it did not get to its end"),
        (b"HloModule jit_f, is_scheduled=true", f"is XLA's text, which does not say all bytes: {AGAIN}"),
        (b"BufferAssignment:\nallocation 0", f"is XLA's text, which does not say all bytes: {AGAIN}"),
        (b"Memory Space: default (color=0)", f"is XLA's text, which does not say all bytes: {AGAIN}"),
        (b"module @jit_f attributes {}", f"is a program as text, before XLA compiles it: {AGAIN}"),
        ("peak: 41 GiB, größer".encode(), f"is text: {AGAIN}"),
        (gzip.compress(PLAN), "is packed by gzip: gunzip it first"),
        (zlib.compress(PLAN), "is packed, and holds no entry of JAX's compilation cache: unpack it first"),
        (pickle.dumps((EXECUTABLE, None)), "is a pickle, which is not loaded, for that would run what it says: write compiled."),
        (b"\x7fELF" + bytes(100), "is machine code, which says nothing of XLA's plan"),
        (b"\x93NUMPY\x01\x00" + bytes(100), f"is nothing that is known here: {AGAIN}"),
        (without_buffers(PLAN), "is a program before XLA planned its buffers, or is cut off: give NAME_after_optimizations"),
        (PLAN[:-100], CUT),
        (PLAN[:2000], CUT),
        (EXECUTABLE[:-1000], CUT),
        (EXECUTABLE[:2000], CUT),
        (ENTRY[:-100], CUT),
        (ENTRY[:1000] + b"?" + ENTRY[1001:], "is packed, and damaged: remove it, and let it be compiled again"),
        (
            NEWER,
            "is a serialized executable of version 4 of pjrt_ifrt, which is not read here (newer than 3, that of jaxlib 0.10.2)",
        ),
        (
            zlib.compress(b"\0\0\0\3" + NEWER),
            "is an entry of JAX's compilation cache of version 4 of pjrt_ifrt, which is not read",
        ),
        (NEWER.replace(b"\x04", b"\x03"), "which is not read here (of another backend than CUDA, or of an unknown jaxlib)"),
        (
            PLAN.replace(b"fingerprint_before_lhs", b"fingerprint_of_another"),
            "is a plan of XLA's without a sign of a GPU, as of a CPU or TPU: give that of a GPU, under XLA's name for it",
        ),
        (EXECUTABLE.replace(b"CUDA", b"ROCM"), "is a program for ROCm"),
    ],
)
def test_what_is_no_program_says_so(tmp_path, content, line):
    (tmp_path / "file").write_bytes(content)
    found = said(tmp_path / "file")
    assert found.startswith("'FILE' is ")
    assert line in found


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("module_0001.jit_f.gfx942_gpu_after_optimizations.hlo.pb", "ROCm gfx942"),
        ("module_0001.jit_f.cpu_after_optimizations.hlo.pb", "the CPU"),
        ("module_0001.jit_f.tpu_after_optimizations.hlo.pb", "the TPU"),
    ],
)
def test_a_dump_of_another_backend(tmp_path, name, backend):
    (tmp_path / name).write_bytes(PLAN)
    line = f"is a program for {backend}, and those for CUDA's GPUs are read here: give one that was compiled for such a GPU"
    assert said(tmp_path / name) == f"'FILE' {line}"
    assert said(tmp_path) == f"'FILE' holds one program: '{name}' {line}"


def test_a_gpu_of_rocm_beside_a_dump(tmp_path):
    (tmp_path / PLAN_NAME).write_bytes(PLAN)
    (tmp_path / "module_0001.jit_fitted.gpu_target_config.pbtxt").write_text('platform_name: "ROCM"\n')
    assert "is a program for ROCm" in said(tmp_path / PLAN_NAME)
    (tmp_path / "module_0001.jit_fitted.gpu_target_config.pbtxt").write_text("what is no description")
    assert program_file.read(tmp_path / PLAN_NAME, lambda text: None).gpu == ""


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ([], "holds no program: neither a dump of XLA's (*_after_optimizations.hlo.pb, which XLA_FLAGS="),
        (["model.py"], "holds no program: neither"),
        (["m.sm_9.0_gpu_after_optimizations-buffer-assignment.txt"], "is a dump of XLA's as text"),
        (["m.sm_9.0_gpu_after_optimizations.txt"], "add --xla_dump_hlo_as_proto, as in XLA_FLAGS="),
        (["m.before_optimizations.hlo.pb"], "stops before the plan of the buffers: the compile did not get so far"),
        (["jit_a-cache", "jit_b-cache"], "holds 2 programs, none of which is read, the first of them: 'jit_a-cache' is empty"),
    ],
)
def test_folders_without_a_program(tmp_path, names, line):
    for name in names:
        (tmp_path / name).touch()
    assert line in said(tmp_path)


def test_what_is_no_file(tmp_path):
    assert said(tmp_path / "absent") == "'FILE' does not exist"
    assert said(Path("/dev/zero")) == "'FILE' is no file: give a file, or a folder with some"
    assert "cannot be read: File name too long" in said(tmp_path / ("x" * 300))


def test_no_more_is_read_than_may_be(tmp_path, monkeypatch):
    (tmp_path / "huge").touch()
    with (tmp_path / "huge").open("r+b") as file:
        file.truncate(2**40)  # a hole, which takes no room
    assert said(tmp_path / "huge") == "'FILE' is larger than 256 MiB, the most that is read: give the plan of one program"
    monkeypatch.setattr(forms, "MOST_BYTES", 2**20)
    (tmp_path / "bomb").write_bytes(zlib.compress(bytes(2**24)))
    assert said(tmp_path / "bomb") == "'FILE' unpacks to more than 1 MiB, the most that is read"


def test_numbers_and_nesting_without_an_end_are_refused(tmp_path):
    (tmp_path / "number").write_bytes(b"\x0a" + b"\xff" * 2**20)
    assert "is nothing that is known here" in said(tmp_path / "number")
    nested = EXECUTABLE
    for _ in range(3000):
        nested = b"\x0a" + number(len(nested)) + nested
    (tmp_path / "nested").write_bytes(forms.SIGNATURE + nested)
    said(tmp_path / "nested")


@pytest.mark.parametrize("content", [PLAN, EXECUTABLE, ENTRY], ids=["dump", "executable", "entry"])
def test_whatever_is_damaged_is_read_or_refused(tmp_path, content):
    picked = random.Random(7)
    for case in range(150):
        damaged = bytearray(content)
        for _ in range(picked.randint(1, 3)):
            damaged[picked.randrange(len(damaged))] = picked.randrange(256)
        path = tmp_path / f"{case}"
        path.write_bytes(damaged[: picked.choice([len(damaged), picked.randrange(len(damaged))])])
        try:
            line = f"'{path}' {program_file.read(path, lambda text: None).total_bytes}"
        except UsageError as error:
            line = str(error)
        assert line.startswith(f"'{path}' ")
        assert "\n" not in line
