"""What a session leaves when it is ended from outside: its reports, and nothing else; and what the next one sweeps up."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from waiting import happens

from pytest_af3mem.session.child import Child
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage import scratch
from pytest_af3mem.storage.scratch import Scratch

SECONDS = 60
OURS = scratch._prefix()
GONE = 2**22 + 1  # above the largest number of a process


@pytest.fixture(autouse=True)
def _without_nohup():
    """Which the processes that are started here would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def settings(stand_in, tmp_path):
    return Settings(
        python=stand_in("Path(os.environ['TMPDIR'], 'tempfile-1').touch(); reply(dict(os.environ))"), cache_dir=tmp_path
    )


def test_workers_have_their_temporary_files_in_the_sessions_folder(settings, temporary):
    with contextlib.closing(Pool(settings)) as pool:
        (folder,) = temporary.iterdir()
        assert folder.name.startswith(f"{OURS}{os.getpid()}-")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert pool.targets()["TMPDIR"].startswith(str(folder))
    assert list(temporary.iterdir()) == []


def test_a_worker_takes_its_files_with_it(settings, tmp_path):
    worker = Child(settings, tmp_path, tmp_path, {})
    folder = worker.ask({}, SECONDS)["value"]["TMPDIR"]
    assert os.listdir(folder) == ["tempfile-1"]  # noqa: PTH208
    worker.release()
    assert not os.path.exists(folder)  # noqa: PTH110


@pytest.fixture
def left(temporary):
    """A folder as sessions name theirs, with a lock that nobody has."""

    def make(process, prefix=OURS):
        folder = temporary / f"{prefix}{process}-abc"
        folder.mkdir()
        (folder / "lock").touch()
        return folder

    return make


def test_the_next_session_sweeps_what_the_dead_left(left, temporary):
    dead, alive, elsewhere = left(GONE), left(os.getppid()), left(GONE, "af3mem-another-")
    others = temporary / f"{OURS}notes-of-mine"
    others.mkdir()
    session = Scratch()
    assert not dead.exists()
    assert {alive, elsewhere, others, session.path} == set(temporary.iterdir())
    session.close()
    assert not session.path.exists()


def test_a_session_of_another_container_is_left_alone(left, start):
    """Which has the folder and the machine's name in common, and numbers of processes that are unknown here."""
    folder = left(GONE)
    code = "import fcntl; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    holder = start(code, folder / "lock")
    holder.stdout.readline()
    Scratch().close()
    assert folder.exists()
    holder.kill()
    holder.wait()
    Scratch().close()
    assert not folder.exists()


def test_a_killed_session_is_swept(start, temporary):
    session = start(
        "from pytest_af3mem.storage.scratch import Scratch; s = Scratch(); print(s.path, flush=True); sys.stdin.read()"
    )
    path = session.stdout.readline().strip()
    Scratch().close()
    assert [str(each) for each in temporary.iterdir()] == [path]
    session.kill()
    session.wait()
    Scratch().close()
    assert list(temporary.iterdir()) == []


def test_a_fork_of_pytest_removes_nothing(temporary):
    session = Scratch()
    if not (fork := os.fork()):
        session.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert session.path.exists()
    session.close()


WAIT = """
import os, signal, time
from pytest_af3mem.session.host import ends_on_signals
{before}
with ends_on_signals():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt as error:
        print("interrupted by", error, flush=True)
        {then}
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
"""


@pytest.fixture
def signalled(start):
    def send(*numbers, before="", then="pass"):
        process = start(WAIT.format(before=before, then=then))
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
        output, _ = process.communicate(timeout=SECONDS)
        return process.returncode, output.split("\n")[:-1]

    return send


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_as_ctrl_c_does(signalled, number):
    assert signalled(number) == (0, [f"interrupted by {number.name}", "True"])


def test_a_second_signal_does_not_interrupt_the_end(signalled):
    then = "os.kill(os.getpid(), signal.SIGTERM); print('cleaned up')"
    assert signalled(signal.SIGTERM, then=then) == (0, ["interrupted by SIGTERM", "cleaned up", "True"])


def test_who_handles_a_signal_goes_on_to(signalled):
    before = "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'mine\\n') and sys.exit(5))"
    assert signalled(signal.SIGTERM, before=before) == (5, ["mine"])


def test_nohup_stays(signalled):
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert signalled(signal.SIGHUP, signal.SIGTERM, before=before) == (0, ["interrupted by SIGTERM", "True"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_pytest_that_is_ended_reports_and_leaves_nothing(cold_project, temporary, number):
    cold_project.write(
        test_fit="""
        import pytest

        @pytest.mark.af3_tokens(100)
        def test_first(): ...

        @pytest.mark.af3_tokens(200)
        @pytest.mark.af3_model(does="hang")
        def test_second(): ...
        """
    )
    process = cold_project.start("--af3-workers=1", "--af3-no-cache", model="misbehaving:Misbehaving")
    traced = cold_project.path / "traced"
    happens(lambda: traced.exists() and len(traced.read_text().splitlines()) == 2)
    assert list(temporary.iterdir())
    process.send_signal(number)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert number.name.encode() in output
    assert [row["test"] for row in json.loads((cold_project.path / "report.json").read_text())["measurements"]]
    assert list(temporary.iterdir()) == []


def test_a_command_that_is_ended_leaves_nothing(cold_project, temporary):
    where = (*cold_project.where("misbehaving:Misbehaving"), "--no-cache", "--tokens", "100", "--set", "does=hang")
    process = subprocess.Popen([sys.executable, "-m", "pytest_af3mem", "measure", *where], stderr=subprocess.PIPE)
    try:
        happens((cold_project.path / "traced").exists)
        assert list(temporary.iterdir())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, b"af3mem: interrupted\n")
    assert list(temporary.iterdir()) == []
