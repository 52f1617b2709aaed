"""Measuring from Python, as in a notebook: `from pytest_af3mem import measure`."""

import os
import subprocess
import sys

import pytest

from pytest_af3mem.errors import InputError, NotJudged, UsageError


@pytest.fixture
def notebook(cold_project, shared_cache):
    """What a process prints that runs this code, with the analytic model in its environment."""

    def notebook(code, model="analytic:Analytic"):
        names = {"MODEL": model, "PATH": cold_project.models, "CACHE_DIR": shared_cache, "TARGET": "h100-80gb"}
        environment = {**os.environ, **{f"AF3MEM_{name}": str(value) for name, value in names.items()}}
        command = [sys.executable, "-c", f"from pytest_af3mem import measure\n{code}"]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cold_project.path, check=False)
        return run.stdout.splitlines() or run.stderr.splitlines()[-1:]

    return notebook


def test_tokens_a_job_or_a_file(notebook, cold_project, needed_bytes):
    code = """
from pathlib import Path
from pytest_af3mem import generate
job = generate(90)
Path("job.json").write_text(job.to_json())
for what in (100, job, "job.json", Path("job.json")):
    peak = measure(what, target="a100-40gb", model_settings={"width": 64})
    print(peak.tokens, peak.bucket, peak.target, peak.total_bytes, peak <= "95 %")
"""
    needed = f"128 a100-40gb {needed_bytes(128, width=64)} True"
    assert notebook(code) == [f"100 {needed}", *[f"90 {needed}"] * 3]


@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        ("measure(100, model_settings={'wide': 1})", UsageError, "analytic has no setting 'wide'"),
        ("measure('absent.json')", InputError, "absent.json"),
        ("measure(100, target='h1000')", UsageError, "unknown target 'h1000'"),
    ],
)
def test_what_cannot_be_is_an_exception(notebook, code, error, reason):
    (line,) = notebook(code)
    assert reason in line
    assert error.__name__ in line or "UnknownTarget" in line


def test_a_failed_measurement_is_one_too(notebook):
    (line,) = notebook("measure(100)", model="misbehaving:Unreadable")
    assert (
        line == f"pytest_af3mem.errors.{NotJudged.__name__}: unreadable does not featurise the job: ValueError: no MSA was given"
    )
