"""`af3mem sweep --scheduler`, on a Dask cluster of two worker processes on this machine."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import happens

from pytest_af3mem import commands
from pytest_af3mem.planning import cluster as room
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

distributed = pytest.importorskip("distributed")
TOKENS = (10, 200, 500, 600, 700, 800)

# Dask's own, when a worker is killed.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def cluster(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # after pytester did: also a worker that comes in the place of a killed one starts here
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture
def sweep(af3mem, tmp_path):
    def run(*arguments, model="misbehaving:Misbehaving"):
        usual = ("--tokens", ",".join(map(str, TOKENS)), "--json", "-")
        status, output, errors = af3mem("sweep", *usual, *arguments, model=model, cache=tmp_path / "cache")
        return status, output and json.loads(output), errors

    return run


def test_a_killed_worker_costs_nothing_but_what_it_was_doing(cluster, sweep, tmp_path, needed_bytes):
    traced = tmp_path / "traced"
    killed = []

    def kill_one():
        """The first that measures, once two are done."""
        while len(list((tmp_path / "cache" / "peaks").glob("*.json"))) < 2:
            time.sleep(0.05)
        killed.append(next(iter(cluster.scheduler_info["workers"])))
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    status, report, errors = sweep("--scheduler", cluster.scheduler_address, "--set", "does=wait")
    assert killed
    assert (status, errors) == (commands.OK, "")
    assert {row["tokens"]: row["total_bytes"] for row in report["measurements"]} == {
        size: needed_bytes({10: 128, 200: 256, 500: 512}.get(size, size)) for size in TOKENS
    }
    noted = len(traced.read_text().splitlines())
    assert len(TOKENS) <= noted <= len(TOKENS) + 1  # the one that the killed worker was at
    status, report, _ = sweep("--set", "does=wait")  # without the cluster: all is known here
    assert status == commands.OK
    assert all(row["cached"] for row in report["measurements"])
    assert len(traced.read_text().splitlines()) == noted


def test_an_answer_that_is_here_is_not_made_again_when_its_worker_is_lost(cluster, project, tmp_path):
    settings = Settings(model="analytic:Analytic", path=project.models, cache_dir=tmp_path / "cache")
    session = Session(settings, lambda stated: room.Cluster(stated, cluster.scheduler_address))
    with contextlib.closing(session):
        assert session.wait(session.pool.submit(session.request(tokens=10))).bucket == 128
        assert happens(lambda: not [key for key in cluster.scheduler.tasks if key.startswith("measure")], 10)


def test_what_is_not_judged_there_is_not_judged_here(cluster, sweep):
    status, report, _ = sweep("--scheduler", cluster.scheduler_address, "--set", "does=raise", "--tokens", "10")
    assert status == commands.NOT_JUDGED
    assert report["measurements"][0]["reason"].startswith("the model does not trace: ValueError: weights of 31")


def test_plan_on_a_cluster(cluster, af3mem, tmp_path):
    options = ("--targets", "l4-24gb,h100-80gb", "--fraction", "1 MiB", "--up-to", "512", "--json", "-")
    status, output, _ = af3mem("plan", "--scheduler", cluster.scheduler_address, *options, cache=tmp_path / "cache")
    assert status == commands.OK
    found = json.loads(output)["capacities"]
    assert [(one["target"], one["fits"]["bucket"], one["beyond"]["bucket"]) for one in found] == [
        ("l4-24gb", 256, 512),
        ("h100-80gb", 256, 512),
    ]


def test_workers_with_other_software_are_refused(cluster, sweep, monkeypatch):
    with contextlib.closing(distributed.Client(cluster)) as client:
        client.run(lambda: os.environ.update(XLA_FLAGS="--xla_gpu_enable_triton_gemm=true"))
    status, report, errors = sweep("--scheduler", cluster.scheduler_address, "--tokens", "10")
    assert (status, report) == (commands.USAGE, "")
    assert errors.startswith("af3mem: a worker of the cluster would measure something else: environment ")
    assert "XLA_FLAGS" in errors


def test_ctrl_c_ends_what_the_cluster_does_for_it(cluster, project, tmp_path):
    where = project.where("misbehaving:Misbehaving", cache=tmp_path / "cache")
    options = ("--scheduler", cluster.scheduler_address, "--set", "does=hang", "--tokens", "10")
    process = subprocess.Popen([sys.executable, "-m", "pytest_af3mem", "sweep", *where, *options], start_new_session=True)
    try:
        happens((tmp_path / "traced").exists)
        compiler = Path("/proc", (tmp_path / "traced").read_text().strip())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 130
        assert happens(lambda: not compiler.exists())
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("tcp://127.0.0.1:9", "--scheduler 'tcp://127.0.0.1:9' does not answer: start one with `dask scheduler`"),
        ("slurm", "--scheduler 'slurm' is no address of a scheduler, like tcp://10.0.0.1:8786"),
        ("ftp://127.0.0.1:9", "--scheduler 'ftp://127.0.0.1:9' is no address of a scheduler, like tcp://10.0.0.1:8786"),
    ],
)
def test_no_scheduler(sweep, monkeypatch, address, line):
    monkeypatch.setattr(room, "_CONNECT_SECONDS", 1)
    status, report, errors = sweep("--scheduler", address)
    assert (status, report) == (commands.USAGE, "")
    assert errors.startswith(f"af3mem: {line}")
