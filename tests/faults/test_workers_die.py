"""How workers die, and when they must: one that ends costs one answer and says why; none outlives its pytest."""

import contextlib
import os
import signal
import sys
import threading
import time

import pytest
from waiting import happens, is_running

from pytest_af3mem.session import child
from pytest_af3mem.session.child import Died
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("os.kill(os.getpid(), 40)", "signal 40"),
        ("os.kill(os.getpid(), signal.SIGRTMAX)", "SIGRTMAX"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS"),
        ("sys.exit(7)", "exit status 7"),
    ],
)
def test_the_cause_of_death(started, code, cause):
    with pytest.raises(Died) as caught:
        started(code).ask({}, 60)
    assert str(caught.value) == f"the worker died ({cause})"


def test_closing_the_replies_is_no_way_to_live(started, monkeypatch):
    monkeypatch.setattr(child, "_END_SECONDS", 0.2)
    with pytest.raises(Died, match="it closed the descriptor on which it replies"):
        started("os.close(options['replies']); time.sleep(600)").ask({}, 60)


def test_a_worker_that_leaves_a_child_behind_is_dead_all_the_same(started, tmp_path):
    worker = started("note(subprocess.Popen(['sleep', '600'], pass_fds=[options['replies']]).pid); os._exit(3)")
    with pytest.raises(Died, match=r"\(exit status 3\)"):
        worker.ask({}, 60)
    left = int((tmp_path / "noted").read_text())
    assert is_running(left)
    worker.end()
    assert happens(lambda: not is_running(left))


def test_nobody_is_killed_twice(started, monkeypatch):
    """Once it has been waited for, its number may be that of another process group."""
    killed = []
    kill = os.killpg
    monkeypatch.setattr(os, "killpg", lambda group, number: (killed.append(group), kill(group, number)))
    worker = started("")
    worker.end()
    worker.kill()
    worker.release()
    assert killed == [worker._process.pid]


def test_a_worker_outlives_the_thread_that_started_it(started):
    made = []
    thread = threading.Thread(target=lambda: made.append(started("reply('alive')")))
    thread.start()
    thread.join()
    assert made[0].ask({}, 60)["value"] == "alive"
    assert made[0].ask({}, 60)["value"] == "alive"


def test_a_real_worker_outlives_the_thread_that_started_it(project):
    settings = Settings(model="analytic:Analytic", path=project.models, cache_dir=project.cache)
    with contextlib.closing(Session(settings)) as session:
        thread = threading.Thread(target=lambda: session.pool.installation)
        thread.start()
        thread.join()
        (worker,) = session.pool._children._idle
        time.sleep(1.2)  # it looks for its parent once a second
        assert session.pool.featurise(session.request(tokens=100))["bucket"] == 128
        assert session.pool._children._idle == [worker]


def test_an_idle_worker_that_was_killed_costs_nothing(stand_in, tmp_path):
    settings = Settings(python=stand_in("reply({'pid': os.getpid()})"), cache_dir=tmp_path, workers=1)
    with contextlib.closing(Pool(settings)) as pool:
        first = pool.targets()["pid"]
        assert pool.targets()["pid"] == first
        os.kill(first, signal.SIGKILL)
        assert happens(lambda: not is_running(first))
        assert pool.targets()["pid"] != first


PARENT = """
import os, sys, threading
from pathlib import Path
from pytest_af3mem.session.child import Child
from pytest_af3mem.session.settings import Settings
python, folder, path, fork = sys.argv[1:]
settings = Settings(python=python, model="hanging:Model", path=Path(path), cache_dir=Path(folder))
worker = Child(settings, Path(folder), Path(folder), {})
if fork and not os.fork():
    Path(folder, "fork").write_text(f"{os.getpid()} ")
    threading.Event().wait(60)
    os._exit(0)
worker.ask({"do": "describe"}, 600)
"""
REPLACED, CHILD = (
    '#!/bin/sh\necho $$ > {pid}\nexec {python} "$@"\n',
    '#!/bin/sh\nexec 9<&0\n{python} "$@" <&9 &\necho $! > {pid}\nwait\n',
)


@pytest.mark.parametrize("moment", ["as it starts", "while it imports"])
@pytest.mark.parametrize(
    ("wrapper", "fork"),
    [(REPLACED, ""), (CHILD, ""), (REPLACED, "fork")],
    ids=["python", "python in a wrapper", "while a fork of pytest lives"],
)
def test_a_worker_ends_with_its_pytest(start, tmp_path, moment, wrapper, fork):
    """Killed as it starts, and while it hangs in an import; also where another process holds what pytest had open."""
    pid, importing, forked = tmp_path / "pid", tmp_path / "importing", tmp_path / "fork"
    (tmp_path / "hanging.py").write_text(f"import pathlib, time\npathlib.Path({str(importing)!r}).touch()\ntime.sleep(600)")
    (tmp_path / "python").write_text(wrapper.format(pid=pid, python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    parent = start(PARENT, tmp_path / "python", tmp_path, tmp_path, fork)
    try:
        assert happens(lambda: pid.exists() and pid.read_text().endswith("\n"))
        assert moment == "as it starts" or happens(importing.exists)
        assert happens(lambda: not fork or (forked.exists() and forked.read_text().endswith(" ")))
        parent.kill()
        parent.wait()
        assert happens(lambda: not is_running(pid.read_text().strip()))
    finally:
        if forked.exists():
            os.kill(int(forked.read_text()), signal.SIGKILL)
