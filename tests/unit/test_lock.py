"""One measurement on a GPU at a time: two processes, and what happens when one of them is killed."""

import subprocess
import sys
import threading
import time

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus import lock as gpu_lock
from pytest_af3mem.gpus.nvml import VisibleGpu

GPUS = [VisibleGpu("NVIDIA L4", 1, "570", f"GPU-{index}", index=index) for index in range(2)]
HOLD = """
import os
from pytest_af3mem.gpus import lock
lock.FOLDERS = [os.environ["LOCKS"]]
from pytest_af3mem.gpus.nvml import VisibleGpu
gpus = [VisibleGpu("NVIDIA L4", 1, "570", f"GPU-{index}") for index in range(int(sys.argv[1]))]
with lock.turn(gpus) as (gpu, descriptor):
    print(gpu.uuid, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def _locks_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCKS", str(tmp_path))
    monkeypatch.setattr(gpu_lock, "FOLDERS", [str(tmp_path)])


def is_free(gpu):
    deadline = time.monotonic() + 1
    try:
        with gpu_lock.turn([gpu], lambda: time.monotonic() > deadline):
            return True
    except NotJudged:
        return False


def test_the_second_waits_for_the_first_and_is_served_when_it_is_killed(start):
    first, second = start(HOLD, 1), start(HOLD, 1)
    served = []
    waits = [
        threading.Thread(target=lambda one=one: served.append((one, one.stdout.readline().strip()))) for one in (first, second)
    ]
    for wait in waits:
        wait.start()
    while not served:
        time.sleep(0.01)
    time.sleep(0.5)
    ((holder, uuid),) = served
    assert uuid == "GPU-0"
    assert not is_free(GPUS[0])
    holder.kill()
    for wait in waits:
        wait.join(10)
    assert served[1] == (second if holder is first else first, "GPU-0")


def test_another_gpu_is_taken_meanwhile(start):
    first = start(HOLD, 2)
    second = start(HOLD, 2) if first.stdout.readline() == "GPU-0\n" else None
    assert second.stdout.readline() == "GPU-1\n"
    assert not is_free(GPUS[0])


def test_it_is_held_as_long_as_the_worker_lives():
    with gpu_lock.turn(GPUS) as (gpu, descriptor):
        worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    assert not is_free(gpu)
    worker.kill()
    worker.communicate()
    assert is_free(gpu)


def test_waiting_ends_with_the_session(start):
    process = start(HOLD, 1)
    process.stdout.readline()
    with pytest.raises(NotJudged, match=r"^the session ended before it was measured$"), gpu_lock.turn(GPUS[:1], lambda: True):
        pass


def test_no_lock_can_be_made(tmp_path):
    gpu_lock.lock_path("GPU-0").symlink_to(tmp_path / "elsewhere")
    reason = r"^the GPU cannot be kept to one measurement at a time: .*GPU-0.lock cannot be opened"
    with pytest.raises(NotJudged, match=reason), gpu_lock.turn(GPUS[:1]):
        pass
