"""The steps of a run in their order, and the peak that comes of them, with counters and a driver that are stand-ins.

In a process of its own, which imports JAX. The numbers count calls and mean nothing.
"""

import json
import subprocess
import sys
from pathlib import Path

from pytest_af3mem.records.peak import Peak

TESTS = Path(__file__).parents[1]
CODE = """
import itertools, json, os, sys
from pathlib import Path
from pytest_af3mem.gpus import nvml
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.records.request import Request
from pytest_af3mem.worker import allocator, trust
from pytest_af3mem.worker.environment import ENVIRONMENT
from pytest_af3mem.worker.running import GpuWorker

os.environ.update(ENVIRONMENT)
calls = itertools.count(1)
refused = sys.argv[1]

def counters(device):
    call = next(calls)
    return trust.Counters(call, call + 10**6, call, call + 2 * 10**6, 10**9)

def read(self):
    return nvml.GpuMemory(next(calls), 10**9, {os.getpid(): 3 * 10**6} if next(calls) > 2 else {})

allocator.counters = counters
nvml.Gauge.read = read
trust.why_not_measurable = lambda around: ""
trust.why_not_trusted = lambda around: refused
worker = GpuWorker("analytic:Analytic", Path(sys.argv[2]), results=Path(sys.argv[2]), progress=lambda text: None)
request = Request(generate(100).to_json(), 100, (128, 256), "h100-80gb", "run")
try:
    found = worker.run(request, "GPU-stand-in", False, Path(sys.argv[3]) if sys.argv[3:] else None)
except Exception as error:
    found = {"error": repr(error)}
print(json.dumps(found))
"""


def run(folder, refused="", *stored):
    command = [sys.executable, "-c", CODE, refused, str(folder), *map(str, stored)]
    paths = ":".join(str(TESTS / name) for name in ("models", "stand_ins"))
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_peak_of_what_was_read(tmp_path, needed_bytes):
    found = run(tmp_path)
    peak = Peak.from_json(found["peak"])
    run_ = peak.run
    assert 0 < run_.before_bytes < run_.loaded_bytes < run_.compile_peak_bytes < run_.steady_peak_bytes == peak.allocator_bytes
    assert run_.after_bytes > run_.loaded_bytes
    assert peak.total_bytes == peak.allocator_bytes
    assert peak.process_bytes == 3 * 10**6
    assert (peak.method, peak.tokens, peak.bucket, peak.software["driver"]) == ("run", 100, 128, "570.124.06")
    assert peak.argument_bytes == 4 * (32 + 128)
    assert peak.output_bytes == 4 * 128
    assert len(found["signature"]) == 64


def test_the_second_process_has_the_first_ones_program_and_the_same_identity(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    alone, first, second = (run(tmp_path, "", *stored) for stored in ((), (programs,), (programs,)))
    assert len(list(programs.glob("*program*"))) == 1  # and nothing else was compiled meanwhile
    peaks = [Peak.from_json(found["peak"]) for found in (alone, first, second)]
    assert [(bool(peak.run.cold), bool(peak.run.warm)) for peak in peaks] == [(True, False), (True, False), (False, True)]
    assert len({peak.program_bytes for peak in peaks}) == 1
    for what in ("signature", "settings", "installation"):
        assert alone[what] == first[what] == second[what]
    assert peaks[0].software == peaks[1].software == peaks[2].software


def test_what_is_refused_gives_no_peak(tmp_path):
    assert run(tmp_path, "another process holds memory") == {"error": "NotJudged('another process holds memory')"}
