"""What `af3mem read` says of files that hold a compiled program: those of tests/stand_ins/train.py, kept in fixtures/programs."""

import dataclasses
import importlib
import json
import shutil
import zlib
from pathlib import Path

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError
from pytest_af3mem.planning import sides
from pytest_af3mem.records.program_limits import Rematerialization
from pytest_af3mem.records.read_program import ReadProgram
from pytest_af3mem.reports.read import render_json, render_text
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.worker.xla import forms, program_file
from pytest_af3mem.worker.xla.executable import Allocation

KEPT = Path(__file__).parents[2] / "fixtures" / "programs"
PLAN, EXECUTABLE = KEPT / "module_0001.jit_fitted.sm_9.0a_gpu_after_optimizations.hlo.pb", KEPT / "executable"
# As `memory_analysis()` said it in the process that compiled: 100 numbers in, as many weights as 32, an array of 100 x 100.
ARGUMENTS, OUTPUTS, TEMPORARIES, ALIASED, CONSTANTS = 928, 400, 40_512, 400, 400
TOTAL = ARGUMENTS + OUTPUTS + TEMPORARIES - ALIASED + CONSTANTS


def read(path):
    return program_file.read(Path(path), lambda text: None)


def entry(executable):
    """What JAX's compilation cache writes where there is no zstd."""
    return zlib.compress(b"\0\0\0\3" + executable)


@pytest.fixture
def a_file(tmp_path):
    def make(content, name="program"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


@pytest.mark.parametrize("form", [forms.DUMP, forms.ENTRY, forms.EXECUTABLE])
def test_each_form_says_the_same_bytes(form, a_file):
    entry_file = a_file(entry(EXECUTABLE.read_bytes()), "jit_fitted-0a1b-cache")
    found = read({forms.DUMP: PLAN, forms.ENTRY: entry_file, forms.EXECUTABLE: EXECUTABLE}[form])
    assert (found.form, found.module, found.total_bytes) == (form, "jit_fitted", TOTAL)
    parts = (found.argument_bytes, found.output_bytes, found.temp_bytes, found.alias_bytes, found.constant_bytes)
    assert parts == (ARGUMENTS, OUTPUTS, TEMPORARIES, ALIASED, CONSTANTS)
    assert found.total_bytes - found.live_bytes == found.packing_bytes >= 0
    assert found.compute_capability == "9.0"
    assert sum(one.bytes for one in found.holders) == TOTAL
    assert ("pairs", "temporary", 40_000, "f32[100,100]") in [
        (one.component, one.kind, one.bytes, one.array) for one in found.holders
    ]
    assert {one.component: one.kind for one in found.holders}["dense"] == "parameter"
    assert {one.source.partition(":")[0] for one in found.holders} == {"", "train.py"}
    assert ReadProgram.from_json(found.to_json()) == found


def test_zstd_as_jax_packs_it_where_it_can(a_file):
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(b"\0\0\0\3" + EXECUTABLE.read_bytes())
    assert read(a_file(packed)).total_bytes == TOTAL
    with pytest.raises(UsageError, match=r"'.*program' is cut off"):
        read(a_file(packed[:-100]))


def test_zstd_that_nothing_unpacks_here(a_file, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UsageError, match=r"is packed by zstd, which .*python.* cannot unpack: pip install zstandard there"):
        read(a_file(b"\x28\xb5\x2f\xfd" + bytes(100)))


def test_what_lies_beside_a_dump_says_the_gpu_and_its_limit():
    found = read(PLAN)
    gpu = gpus.find("h100-80gb")
    left = gpu.memory_bytes * 80 // 100 - ARGUMENTS - OUTPUTS
    assert (found.gpu, found.compiled_for) == (gpu.description, gpu.description)
    assert found.program_limits.rematerialization == Rematerialization(left * 95 // 100 + OUTPUTS)


def test_what_a_file_does_not_say_is_not_known(a_file):
    for found in (read(EXECUTABLE), read(a_file(PLAN.read_bytes(), "before.hlo.pb"))):
        assert found.gpu == ""
        assert found.program_limits.rematerialization == Rematerialization(None)
        assert not {"tokens", "bucket", "target", "model", "software"} & found.to_json().keys()
    assert found.compiled_for == ""


def test_the_limit_of_a_real_gpu_is_that_of_its_allocator(tmp_path):
    shutil.copytree(KEPT, tmp_path / "dump")
    config = tmp_path / "dump" / "module_0001.jit_fitted.config.pbtxt"
    config.write_text(f"device_memory_size: 1000000\n{config.read_text().replace('95', '50')}")
    limit_bytes = (1_000_000 - ARGUMENTS - OUTPUTS) // 2 + OUTPUTS
    assert read(tmp_path / "dump").program_limits.rematerialization == Rematerialization(limit_bytes)
    config.unlink()
    assert read(tmp_path / "dump").program_limits.rematerialization == Rematerialization(None)


def test_of_a_folder_the_largest_total_is_read(tmp_path):
    (tmp_path / "jit_large-cache").write_bytes(entry(EXECUTABLE.read_bytes()))
    (tmp_path / "jit_also-cache").write_bytes(entry(EXECUTABLE.read_bytes()))
    (tmp_path / "jit_empty-cache").write_bytes(b"")
    (tmp_path / "jit_large-atime").write_bytes(b"12345678")
    found = read(tmp_path)
    assert (found.total_bytes, found.others) == (TOTAL, 1)
    assert found.unread == ("'jit_empty-cache' is empty: what wrote it did not get to its end",)
    text = render_text(found)
    assert f"  the one with the largest total of 2 programs in {tmp_path}\n" in text
    assert "  not read: 'jit_empty-cache' is empty" in text


def test_the_text_is_that_of_a_measurement():
    lines = render_text(read(PLAN)).splitlines()
    assert lines[:12] == [
        str(PLAN),
        "  XLA dump, jit_fitted, NVIDIA H100 80GB HBM3",
        "  total          40.86 KiB  41,840 bytes",
        "  arguments          928 B  parameters and features",
        "  outputs            400 B",
        "  temporaries    39.56 KiB  one slab",
        "  aliased           -400 B  outputs in the place of arguments",
        "  constants          400 B  arrays that are part of the program",
        "  live peak      40.75 KiB  the same without fragmentation",
        "  packing            112 B  gaps between buffers, lost to fragmentation",
        "  limit          60.12 GiB  of temporaries and outputs, above which XLA computes arrays anew",
        "  kernels     triton 0",
    ]
    assert lines[13].startswith("     39.06 KiB  95.6 %  pairs  temporary f32[100,100] train.py:")


def test_json_has_the_keys_of_a_measurement():
    found = read(PLAN)
    report = json.loads(render_json(found))
    assert (report["schema"], list(report)) == (1, ["schema", "tool", "programs"])
    (program,) = report["programs"]
    assert program["total_bytes"] == program["live_bytes"] + program["packing_bytes"] == TOTAL
    many = dataclasses.replace(found, holders=found.holders * 5)
    assert len(json.loads(render_json(many))["programs"][0]["holders"]) == 10
    assert len(json.loads(render_json(many, all_holders=True))["programs"][0]["holders"]) == 5 * len(found.holders)


@pytest.mark.parametrize(
    ("make", "is_program"),
    [
        (lambda folder: shutil.copy(PLAN, folder / "before.hlo.pb"), True),
        (lambda folder: shutil.copy(EXECUTABLE, folder / "executable"), True),
        (lambda folder: shutil.copytree(KEPT, folder / "dump"), True),
        (lambda folder: folder / "absent.hlo.pb", False),
    ],
    ids=["dump", "executable", "folder", "absent"],
)
def test_a_side_of_a_comparison(tmp_path, make, is_program):
    path = make(tmp_path)
    if is_program:
        assert sides.read(str(path), "OLD", Settings(), {}).program == Path(path)
        with pytest.raises(UsageError, match="holds a compiled program, which stands alone"):
            sides.read(f"{path} num_samples=1", "OLD", Settings(), {})
    else:
        with pytest.raises(UsageError, match="is no file or folder"):
            sides.read(str(path), "OLD", Settings(), {})


def test_neither_sources_nor_scripts_are_programs(tmp_path):
    (tmp_path / "model.py").touch()
    side = sides.read(str(tmp_path), "OLD", Settings(), {})
    assert (side.program, side.settings.path) == (None, tmp_path)
    with pytest.raises(UsageError, match="is not a program that can be run"):
        sides.read(str(tmp_path / "model.py"), "OLD", Settings(), {})


def test_sizes_that_no_program_has_are_refused(a_file, monkeypatch):
    allocation = Allocation(2**63, False, False, None, True, ())
    program = dataclasses.replace(forms.found(EXECUTABLE.read_bytes()).program, allocations=(allocation,))
    monkeypatch.setattr(forms, "found", lambda content, name: forms.Found(forms.DUMP, "jit_f", program))
    with pytest.raises(UsageError, match=r"is damaged .*output_bytes: 9223372036854775808 must be"):
        read(a_file(b"any"))
