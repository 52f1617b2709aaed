"""What holds whatever happens: no wrong verdict, no lost baseline, no hang, nothing left behind, no traceback.

Faults come at random moments, of a seed that a failure names. A few in CI; as many as docs/reliability.md
says in `tox -e faults`.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import happens

from pytest_af3mem.errors import UsageError
from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.storage.cache import Cache

LONG = os.environ.get("AF3MEM_FAULTS") == "long"
KILLED, INTERRUPTED, COMMANDS, DAMAGED, AT_ONCE = (100, 50, 10, 1000, 8) if LONG else (2, 1, 1, 100, 3)
TIMEOUT_SECONDS = 60
GATES = """
    import pytest

    @pytest.mark.af3_tokens(512)
    @pytest.mark.af3_budget("1 GiB")
    def test_small(): ...

    @pytest.mark.af3_tokens(1024)
    @pytest.mark.af3_budget("1 KiB")
    def test_large(): ...
"""
ACCEPTED = """
    import pytest

    @pytest.mark.af3_tokens(512)
    @pytest.mark.af3_baseline
    def test_{name}(): ...
"""
VERDICTS = {"test_small": {"within", "not judged"}, "test_large": {"over", "not judged"}}


@pytest.fixture
def gates(cold_project):
    cold_project.write(test_gates=GATES)
    return cold_project


def workers_of(process):
    """Numbers of its workers and of the processes that compile for them."""
    return [pid for pid, line in children_below(process.pid).items() if "pytest_af3mem" in line or "compile_main" in line]


def children_below(top):
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    below = {top}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: lines[pid] for pid in below - {top}}


def ended(process):
    """What it printed, once it has ended by itself. Fails where it hangs."""
    try:
        process.wait(TIMEOUT_SECONDS * 2)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("it hangs")
    return process.output.read_text(errors="replace")


def start(arguments, path):
    output = path / f"output-{time.monotonic_ns()}"
    with output.open("wb") as file:
        command = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(command, cwd=path, stdout=file, stderr=file, start_new_session=True)
    process.output = output
    return process


def check(project, output, below, temporary):
    """The claim, after a run that was disturbed; `below` are the processes that it had."""
    assert "Traceback (most recent call last)" not in output, output
    assert "INTERNALERROR" not in output
    for measurement in reported(project):
        test = re.sub(r".*::|\[.*", "", measurement["test"])
        assert measurement["verdict"] in VERDICTS[test], measurement
    assert happens(lambda: not [pid for pid in below if Path(f"/proc/{pid}").exists()], 10)
    assert [path.name for path in temporary.iterdir() if path.name.startswith("af3mem")] == []


def reported(project):
    path = project.path / "report.json"
    return json.loads(path.read_text())["measurements"] if path.exists() else []


def disturbed(process, seed, fault):
    """Sends a fault at a random moment, once it has a worker; returns the processes that were below it then."""
    happens(lambda: process.poll() is not None or workers_of(process), TIMEOUT_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random.Random(seed).uniform(0, 4))
    below = children_below(process.pid)
    if process.poll() is None:
        fault(process)
    return below


@pytest.mark.parametrize("seed", range(KILLED))
def test_a_worker_or_compile_is_killed(gates, temporary, seed):
    def kill(process):
        victims = workers_of(process)
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.Random(seed).choice(victims), random.Random(seed).choice([signal.SIGKILL, signal.SIGSEGV]))

    process = start(["pytest", "-p", "no:cacheprovider", *gates.options(f"--af3-timeout={TIMEOUT_SECONDS}")], gates.path)
    below = disturbed(process, seed, kill)
    check(gates, ended(process), below, temporary)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seed", range(INTERRUPTED))
def test_pytest_is_interrupted(gates, temporary, seed, number):
    process = start(["pytest", "-p", "no:cacheprovider", *gates.options()], gates.path)
    below = disturbed(process, seed, lambda process: process.send_signal(number))
    check(gates, ended(process), below, temporary)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "command", ["measure --tokens 512", "sweep --tokens 256,512", "plan --targets h100-80gb", "fit --target l4-24gb"]
)
@pytest.mark.parametrize("seed", range(COMMANDS))
def test_a_command_is_interrupted(gates, temporary, seed, command, number):
    process = start(["pytest_af3mem", *command.split(), *gates.where()], gates.path)
    below = disturbed(process, seed, lambda process: process.send_signal(number))
    check(gates, ended(process), below, temporary)


def damaged(content, seed):
    """Cut off, or with one byte flipped or a part of it doubled, somewhere."""
    chance = random.Random(seed)
    at = chance.randrange(len(content))
    match chance.randrange(3):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]
        case _:
            return content[:at] + content[at // 2 : at] + content[at:]


def test_a_damaged_entry_of_the_cache_is_measured_again(tmp_path):
    identity = {"tokens": 512, "target": "h100-80gb", "versions": {"jax": "0.10.2"}}
    value = {"total_bytes": 1_849_262_634, "holders": [["evoformer", 1_000_000], ["diffusion", 2_000_000]]}
    cache = Cache(tmp_path)
    cache.put("peaks", identity, value)
    (path,) = tmp_path.rglob("*.json")
    content = path.read_bytes()
    for seed in range(DAMAGED):
        path.write_bytes(damaged(content, seed))
        assert cache.get("peaks", identity) in (None, value), seed


def test_a_damaged_baseline_is_refused_or_says_what_it_says(cold_project):
    """No checksum: people merge the file by hand, and git shows each change of it."""
    cold_project.write(test_one=ACCEPTED.format(name="one"))
    cold_project.run("--af3-baseline=memory.json", "--af3-update-baseline")
    path = cold_project.path / "memory.json"
    content = path.read_bytes()
    refusals = []
    for seed in range(DAMAGED):
        path.write_bytes(damaged(content, seed))
        try:
            baseline_file.read(path)
        except UsageError as error:
            refusals.append(str(error))
    assert len(refusals) > DAMAGED / 2
    assert all("memory.json" in text for text in refusals)


def test_many_sessions_use_one_cache(gates, temporary):
    arguments = ["pytest", "-p", "no:cacheprovider", *gates.options()]
    running = [start([*arguments, f"--af3-json=report{number}.json"], gates.path) for number in range(AT_ONCE)]
    outputs = [ended(process) for process in running]
    reports = [json.loads((gates.path / f"report{number}.json").read_text())["measurements"] for number in range(AT_ONCE)]
    assert [[one["verdict"] for one in report] for report in reports] == [["within", "over"]] * AT_ONCE
    assert len({tuple(one["total_bytes"] for one in report) for report in reports}) == 1
    assert not any("Traceback" in output for output in outputs)


def test_two_updates_of_one_baseline_lose_nothing(cold_project, temporary):
    cold_project.write(test_one=ACCEPTED.format(name="one"), test_two=ACCEPTED.format(name="two"))
    options = cold_project.options("--af3-baseline=memory.json", "--af3-update-baseline")
    commands = [["pytest", "-p", "no:cacheprovider", f"test_{name}.py", *options] for name in ("one", "two")]
    for process in [start(command, cold_project.path) for command in commands]:
        ended(process)
    entries = baseline_file.read(cold_project.path / "memory.json").entries
    assert {entry.test for entry in entries} == {"test_one.py::test_one[512]", "test_two.py::test_two[512]"}
