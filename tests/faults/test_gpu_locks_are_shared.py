"""One measurement on a GPU at a time also across jobs and users, who have temporary folders of their own."""

import os

import pytest

from pytest_af3mem.gpus import lock as gpu_lock
from pytest_af3mem.gpus.nvml import VisibleGpu

GPU = VisibleGpu("NVIDIA L4", 1, "570", "GPU-1")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Makes folders with these modes the ones to choose from."""

    def make(**modes):
        found = []
        for name, mode in modes.items():
            found.append(tmp_path / name)
            if mode is not None:
                found[-1].mkdir(exist_ok=True)
                found[-1].chmod(mode)
        monkeypatch.setattr(gpu_lock, "FOLDERS", [str(each) for each in found])
        return found

    return make


def test_the_place_does_not_depend_on_the_job(monkeypatch, tmp_path):
    usual = gpu_lock.lock_path("GPU-1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert gpu_lock.lock_path("GPU-1") == usual
    assert str(usual.parent) in gpu_lock.FOLDERS


@pytest.mark.parametrize(
    ("modes", "chosen"),
    [
        ({"first": 0o1777, "second": 0o1777}, 0),
        ({"first": None, "second": 0o1777}, 1),
        ({"first": 0o755, "second": 0o1777}, 1),
        ({"first": 0o777, "second": 0o1777}, 1),
        ({"first": 0o755, "second": 0o755}, 1),
    ],
)
def test_the_first_that_all_can_write_and_none_can_clear(folders, modes, chosen):
    made = folders(**modes)
    assert gpu_lock.lock_path("GPU-1").parent == made[chosen]


def test_others_can_open_the_lock_of_a_user_who_shares_nothing(folders):
    (folder,) = folders(only=0o1777)
    before = os.umask(0o077)
    try:
        with gpu_lock.turn([GPU]):
            pass
    finally:
        os.umask(before)
    (lock,) = folder.iterdir()
    assert lock.stat().st_mode & 0o777 == 0o644
