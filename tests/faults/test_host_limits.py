"""How many workers a machine affords: limits of containers, Slurm jobs and systemd units count as the machine's own do."""

import os

import pytest

from pytest_af3mem.session import host

GIB = 2**30
MEMINFO = "MemTotal: 65011712 kB\nMemAvailable:   62914560 kB\n"  # 60 GiB
V1, V2 = "/sys/fs/cgroup/{controller}", "/sys/fs/cgroup"
MOUNTS = {
    "v2": f"30 23 0:26 / {V2} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    "v1": "".join(
        f"3{at} 31 0:2{at} / {V1.format(controller=name)} rw - cgroup cgroup rw,{names}\n"
        for at, (name, names) in enumerate({"cpu": "cpu,cpuacct", "memory": "memory"}.items())
    ),
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 16 cores and 60 GiB free, of which control groups are given: the path of ours, then files by name."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))

    def make(version="v2", group="/", files=None, mounts="", meminfo=MEMINFO):
        lines = f"0::{group}\n" if version == "v2" else f"5:cpu,cpuacct:{group}\n4:memory:{group}\n"
        for name, text in {
            "proc/meminfo": meminfo,
            "proc/self/mountinfo": mounts or MOUNTS[version],
            "proc/self/cgroup": lines,
            **{f"sys/fs/cgroup/{name}": text for name, text in (files or {}).items()},
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def test_without_limits_it_is_the_machine_and_the_affinity(machine):
    root = machine(files={"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.current": "1\n"})
    assert host.cores(root) == 16
    assert host.available_memory_bytes(root) == 60 * GIB


def test_a_container_of_version_2(machine):
    files = {
        "cpu.max": "250000 100000\n",
        "memory.max": f"{8 * GIB}\n",
        "memory.current": f"{3 * GIB}\n",
        "memory.stat": f"anon {2 * GIB}\ninactive_file {GIB}\n",
    }
    root = machine(files=files)
    assert host.cores(root) == 2
    assert host.available_memory_bytes(root) == 6 * GIB


def test_the_narrowest_of_the_groups_around_counts(machine):
    """As of a Slurm job, whose limit is that of a group above the one that the process is in."""
    files = {
        "job/memory.max": f"{16 * GIB}\n",
        "job/memory.current": f"{4 * GIB}\n",
        "job/cpu.max": "400000 100000\n",
        "job/step/memory.max": "max\n",
        "job/step/memory.high": f"{20 * GIB}\n",  # above which it is slowed down
        "job/step/memory.current": f"{1 * GIB}\n",
        "job/step/cpu.max": "max 100000\n",
    }
    root = machine(group="/job/step", files=files)
    assert host.cores(root) == 4
    assert host.available_memory_bytes(root) == 12 * GIB
    (root / "sys/fs/cgroup/job/step/memory.high").write_text(f"{5 * GIB}\n")
    assert host.available_memory_bytes(root) == 4 * GIB


def test_a_job_of_version_1(machine):
    files = {
        "cpu/job/cpu.cfs_quota_us": "300000\n",
        "cpu/job/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/job/memory.limit_in_bytes": f"{10 * GIB}\n",
        "memory/job/memory.usage_in_bytes": f"{4 * GIB}\n",
        "memory/job/memory.stat": f"inactive_file 1\ntotal_inactive_file {2 * GIB}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/memory.usage_in_bytes": f"{50 * GIB}\n",
    }
    root = machine("v1", "/job", files)
    assert host.cores(root) == 3
    assert host.available_memory_bytes(root) == 8 * GIB


def test_a_container_that_sees_its_own_group_as_the_outermost(machine):
    """Without a namespace of its own for control groups: the path is the host's, and what is mounted is that group."""
    mounts = f"30 23 0:26 /docker/abc {V2} ro - cgroup2 cgroup rw\n"
    files = {"memory.max": f"{5 * GIB}\n", "memory.current": "0\n", "inner/cpu.max": "100000 100000\n"}
    assert host.available_memory_bytes(machine(group="/docker/abc", files=files, mounts=mounts)) == 5 * GIB
    assert host.cores(machine(group="/docker/abc/inner", files=files, mounts=mounts)) == 1


@pytest.mark.parametrize("text", ["", "nonsense\n", "max\n", "0 0\n", "-1\n"])
def test_what_cannot_be_read_is_no_limit(machine, text):
    root = machine(files={"cpu.max": text, "memory.max": text if text != "0 0\n" else "", "memory.current": "5\n"})
    assert host.cores(root) == 16
    assert host.available_memory_bytes(root) == 60 * GIB


def test_less_than_nothing_is_left_to_nobody(machine):
    files = {"cpu.max": "10000 100000\n", "memory.max": "100\n", "memory.current": "200\n"}
    assert host.cores(machine(files=files)) == 1
    assert host.available_memory_bytes(machine(files=files)) == 0


def test_nobody_tells(machine, tmp_path):
    assert host.available_memory_bytes(machine(meminfo="")) is None
    assert host.cores(tmp_path / "nowhere") == 16


def test_this_machine():
    assert 1 <= host.cores() <= os.cpu_count()
    assert host.available_memory_bytes() > 0
