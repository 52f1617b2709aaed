"""One example of each record, to be varied by keyword: `a_peak(total_bytes=5)`. And processes, where a test needs some."""

import contextlib
import dataclasses
import functools
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import pytest

from pytest_af3mem.inputs import ambient
from pytest_af3mem.inputs.chemistry import RESIDUES
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Kernels, Model, Peak, Run
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.records.verdict import judge

GIB, MIB = 2**30, 2**20

INSTALLATION = Installation(
    spec="alphafold3",
    model="alphafold3",
    distribution="alphafold3-colabfold 3.1.18",
    fingerprint="sha256:0123",
    buckets=(256, 512, 768, 1024),
    settings=("num_samples", "attention"),
    software={"python": "3.12.1", "jax": "0.10.2", "cuda_plugin": "jax-cuda12-plugin 0.10.2"},
)
REQUEST = Request(job='{"name": "example"}', tokens=1000, buckets=INSTALLATION.buckets, target="h100-80gb")
PEAK = Peak(
    tokens=1000,
    bucket=1024,
    target="h100-80gb",
    method="compiled",
    total_bytes=8 * GIB,
    live_bytes=15 * GIB // 2,
    argument_bytes=2 * GIB,
    output_bytes=GIB // 2,
    temp_bytes=6 * GIB,
    alias_bytes=GIB // 2,
    kernels=Kernels(triton=47),
    model=Model("alphafold3", INSTALLATION.distribution, INSTALLATION.fingerprint, {"num_samples": 5}),
    software={**INSTALLATION.software, "xla_flags": "--xla_gpu_autotune_level=0"},
    seconds=61.25,
)
RUN = Run(
    device="NVIDIA H100 80GB HBM3",
    uuid="GPU-1",
    driver="570.124",
    before_bytes=0,
    loaded_bytes=2 * GIB,
    compile_peak_bytes=3 * GIB,
    steady_peak_bytes=8 * GIB + 4 * MIB,
    after_bytes=512,
    largest_bytes=6 * GIB,
    pool_bytes=9 * GIB,
    limit_bytes=75 * GIB,
    device_bytes=10 * GIB,
    nvml_gap_ms=23.0,
)
MEASUREMENT = Measurement(
    test="t.py::test_fits",
    tokens=1000,
    bucket=1024,
    target="h100-80gb",
    method="compiled",
    peak=PEAK,
    verdict=judge(PEAK, 10 * GIB),
    command="af3mem measure --tokens 1000 --target h100-80gb",
)


def _varied(example):
    return pytest.fixture(lambda: functools.partial(dataclasses.replace, example))


an_installation, a_request, a_peak, a_measurement = map(_varied, (INSTALLATION, REQUEST, PEAK, MEASUREMENT))


@pytest.fixture
def a_run(a_peak):
    """A peak that was read on a GPU: the readings, then what `Peak` has of them."""

    def run(readings=RUN, allocator_bytes=8 * GIB + 4 * MIB, process_bytes=9 * GIB + 500 * MIB, **changes):
        read = {"run": readings, "allocator_bytes": allocator_bytes, "process_bytes": process_bytes}
        return a_peak(method="run", total_bytes=allocator_bytes, **read, **changes)

    return run


@pytest.fixture
def answered():
    """What one search of `planning` finds where each of its requests gets this answer."""

    def run(search, answer):
        try:
            request = next(search)
            while True:
                request = search.send(answer(request))
        except StopIteration as end:
            return end.value

    return run


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in os.environ:
        if name.startswith("AF3MEM_"):
            monkeypatch.delenv(name)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, here and in processes that are started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def start():
    """Starts Python on `code`, which may read `sys.argv` and standard input; what is left of it ends with the test."""
    with contextlib.ExitStack() as processes:

        def run(code, *arguments):
            process = subprocess.Popen(
                [sys.executable, "-c", f"import sys\n{code}", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield run


@pytest.fixture
def at_once(start):
    """What two processes print that run `code` at the same moment, once both have done `preparation`."""

    def run(preparation, code, *arguments):
        both = [start(f"{preparation}\nprint(flush=True); sys.stdin.readline()\n{code}", *arguments) for _ in range(2)]
        for process in both:
            process.stdout.readline()
        for process in both:
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=30)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        return outputs

    return run


class Components:
    """A chemical component dictionary of a few made-up and real codes, as far as counting asks."""

    KNOWN: ClassVar = {  # code: type, the letter that AlphaFold 3 has, names of heavy atoms
        "ATP": ("non-polymer", "?", "PG", *(f"X{number}" for number in range(30))),
        "BMA": ("D-saccharide, beta linking", "?", "C1", "O1", *(f"C{number}" for number in range(2, 12))),
        "MG": ("non-polymer", "?", "MG"),
        "PHB": ("non-polymer", "?", "O1", *(f"C{number}" for number in range(1, 10))),
        "PSU": ("RNA linking", "U", "OP3", *(f"C{number}" for number in range(20))),
        "PSX": ("polysaccharides of mine", "?", "C1", "O1", "C2", "C3", "C4"),
        "SEP": ("L-peptide linking", "S", *(f"C{number}" for number in range(10)), "OXT"),
        "SUX": ("SACCHARIDE", "?", *(f"C{number}" for number in range(7))),
        "UNL": ("non-polymer", "?"),
        **{code: ("residue", "?", "C1", "C2") for residues in RESIDUES.values() for code in residues.values()},
    }

    def heavy_atoms(self, code):
        return len(self.KNOWN[code]) - 2

    def letter(self, code):
        return self.KNOWN[code][1].strip("?")

    def __getitem__(self, code):
        kind, _, *names = self.KNOWN[code]
        return {
            "_chem_comp.type": [kind],
            "_chem_comp_atom.atom_id": names,
            "_chem_comp_atom.type_symbol": [name[0] for name in names],
        }


@pytest.fixture(scope="session")
def components():
    return Components()


@pytest.fixture
def a_session(components, monkeypatch):
    """Stands for the session that runs, of which generated jobs take the dictionary."""
    running = SimpleNamespace(components=components)
    monkeypatch.setattr(ambient, "_running", [running])
    return running
