"""What is said to a worker and by it: however much it is, however long it takes, and whatever else is printed."""

import contextlib
import os
import resource
import sys
from types import SimpleNamespace

import pytest
from waiting import happens

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.errors import NotJudged, SetupError
from pytest_af3mem.records.identity import peak_identity
from pytest_af3mem.session import child
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.worker import protocol


@pytest.fixture
def session_with(project):
    """A session whose worker is a real one, started by another program."""
    with contextlib.ExitStack() as sessions:

        def start(python, **settings):
            usual = {"model": "analytic:Analytic", "path": project.models, "cache_dir": project.cache}
            return sessions.enter_context(contextlib.closing(Session(Settings(python=str(python), **{**usual, **settings}))))

        yield start


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "wrapper"
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write


def test_a_message_is_taken_within_the_time_or_never(started):
    silent = started("", first="time.sleep(600)")
    with pytest.raises(NotJudged, match=r"^the worker took too long and was ended; --af3-timeout allows more$"):
        silent.ask({"do": "measure", "request": "M" * 10**6}, 0.5)


def test_a_message_may_be_larger_than_a_pipe(started):
    echo = started("reply(len(message['request']))")
    assert [echo.ask({"request": "M" * size}, 60)["value"] for size in (10, 10**7, 0)] == [10, 10**7, 0]


def test_a_process_may_have_more_than_1024_files_open(started):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = [os.dup(0) for _ in range(1100)]
    try:
        assert started("reply(1)").ask({}, 60)["value"] == 1
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("start", ['exec "$PYTHON" "$@"', '"$PYTHON" "$@"'], ids=["replaced", "child"])
def test_a_wrapper_may_print(session_with, script, monkeypatch, start):
    monkeypatch.setenv("PYTHON", sys.executable)
    wrapper = script(f"#!/bin/sh\necho Loading module python/3.12\nprintf half\n{start}\n")
    assert session_with(wrapper).installation.distribution == "analytic 1.0"


def test_a_wrapper_that_closes_descriptors_is_told_so(session_with, script):
    wrapper = script(f"#!{sys.executable}\nimport subprocess, sys\nsys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))\n")
    reason = r"\(exit status 1\): it does not get the descriptors that are open for it, on which it would reply: start Python by"
    with pytest.raises(SetupError, match=reason):
        session_with(wrapper).installation  # noqa: B018


NONSENSE = [
    b"Loading\n",
    b"[1]\n",
    b"{}\n",
    b"\xff\xfe\n",
    b"[" * 100_000 + b"\n",
    b'{"progress": 1}\n',
    b'{"number": 1, "x": 1}\n',
]


@pytest.mark.parametrize("line", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_no_reply(started, line):
    with pytest.raises(NotJudged, match=r"^the worker wrote something that is not a reply: b'"):
        started(f"raw({line!r})").ask({}, 60)


def test_a_line_without_an_end_is_no_reply(started, monkeypatch):
    monkeypatch.setattr(child, "_REPLY_BYTES", 10**5)
    with pytest.raises(NotJudged, match=r"^the worker wrote something that is not a reply: a line without an end$"):
        started("while True: raw(b'x' * 1000)").ask({}, 60)


def test_a_reply_to_another_message_is_none(started):
    worker = started("reply(1); reply(2)")
    assert worker.ask({}, 60)["value"] == 1
    with pytest.raises(NotJudged, match=r"^the worker wrote something that is not a reply"):
        worker.ask({}, 60)


def test_an_answer_has_the_type_of_its_verb(stand_in, tmp_path):
    with contextlib.closing(Pool(Settings(python=stand_in("reply([])"), cache_dir=tmp_path))) as pool:
        for ask in (pool.targets, lambda: pool.components):
            with pytest.raises(
                NotJudged, match=r"^the worker wrote something that is not an answer to '(targets|components)': \[\]$"
            ):
                ask()


@pytest.mark.parametrize(
    "code", ["raw(b'Loading')\n    sys.exit()", "raw(b'Loading\\n')", "reply([])", "reply({'buckets': [1]})"]
)
def test_nonsense_is_something_to_mend(stand_in, tmp_path, capsys, pytester, code):
    where = ("--python", stand_in(code), "--cache-dir", str(tmp_path / "cache"))
    assert cli.main(["doctor", *where]) == commands.USAGE
    assert "to mend: " in capsys.readouterr().out
    pytester.makepyfile("def test_any(gpu_peak): gpu_peak(tokens=100)")
    result = pytester.runpytest_inprocess("--af3-gpu", *(f"--af3{flag[1:]}" if flag[:2] == "--" else flag for flag in where))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_waiting_for_others_takes_no_time_of_ones_own(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(child, "time", SimpleNamespace(monotonic=lambda: now[0]))
    deadline = child._Deadline(100)

    def after(seconds, doing):
        now[0] += seconds
        deadline.hear(doing)
        return deadline.left

    assert after(30, "featurising") == 70
    assert after(10, protocol.WAITING) == 100
    assert after(99, protocol.WAITING) == 1
    assert after(0, "compiling") == 60
    assert after(20, "compiling") == 40
    assert after(41, "compiling") < 0


def test_a_worker_says_that_it_waits_for_another_process(session_with, project, tmp_path):
    session = session_with(sys.executable, cache_dir=tmp_path / "cache")
    request = session.request(tokens=100)
    identity = peak_identity(session.installation, request, session.pool.signature(request))
    with Cache(tmp_path / "cache").only_one("peaks", identity):
        answer = session.pool.submit(request)
        assert happens(lambda: session.pool.status().startswith(protocol.WAITING))
        assert not answer.done()
    assert session.wait(answer).bucket == 128
