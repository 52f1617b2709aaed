"""Every answer ends, whatever the pool meets; no more workers than were asked for; a failure is not for ever."""

import contextlib
import dataclasses
import itertools
import threading

import pytest
from waiting import happens

from pytest_af3mem.errors import NotJudged, OutOfMemory
from pytest_af3mem.planning import cluster as room
from pytest_af3mem.session import host
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

SECONDS = 20
ENDED = r"^the session ended before it was measured$"
GIB = 2**30


@pytest.fixture
def answering(stand_in, tmp_path, an_installation, a_peak):
    """Settings with a stand-in that describes itself and featurises at once, and does `measure` when it is to measure."""

    def settings(measure, **changes):
        code = f"""
note(message["do"])
if message["do"] == "describe":
    reply({dataclasses.asdict(an_installation())!r})
elif message["do"] == "featurise":
    reply({{"tokens": 1000, "bucket": 1024, "signature": str(message["number"]), "shapes": {{}}}})
else:
    {measure}
"""
        peak = f"{{**{a_peak().to_json()!r}, 'target': message['request']['target']}}"
        installation = an_installation().identity
        answer = f"{{'peak': {peak}, 'settings': {{}}, 'signature': '1', 'installation': {installation!r}}}"
        code = code.replace("ANSWER", answer)
        return Settings(python=stand_in(code, 'note("started")'), cache_dir=tmp_path / "cache", **changes)

    return settings


@pytest.fixture
def pool_of(answering):
    with contextlib.ExitStack() as pools:

        def make(measure, **changes):
            return pools.enter_context(contextlib.closing(Pool(answering(measure, **changes))))

        yield make


def noted(folder):
    return (folder / "noted").read_text().split()


def test_closing_ends_every_answer(pool_of, a_request, tmp_path):
    """Of what is measured, what waits for a worker, what waits for a like request, and what is asked afterwards."""
    pool = pool_of("time.sleep(600)", workers=1)
    requests = [a_request(target=target, job=job) for target in ("h100-80gb", "l4-24gb") for job in ("1", "2")]
    answers = [pool.submit(request) for request in requests]
    assert happens(lambda: "measure" in noted(tmp_path))
    pool.close()
    answers.append(pool.submit(a_request(job="3")))
    for answer in answers:
        with pytest.raises(NotJudged, match=ENDED):
            answer.result(timeout=SECONDS)
    with pytest.raises(NotJudged, match=ENDED):
        pool.featurise(a_request())


def test_closing_ends_who_waits_for_a_worker(pool_of, a_request, tmp_path):
    pool = pool_of("time.sleep(600)", workers=1)
    pool.submit(a_request())
    assert happens(lambda: "measure" in noted(tmp_path))
    raised = []

    def ask():
        with pytest.raises(NotJudged, match=ENDED):
            pool.featurise(a_request())
        raised.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    assert happens(lambda: pool._children._queue)
    pool.close()
    thread.join(SECONDS)
    assert raised


def test_a_thread_that_cannot_be_started_is_not_waited_for(pool_of, a_request, monkeypatch):
    pool = pool_of("reply(ANSWER)")
    assert pool.installation

    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        answers = [pool.submit(a_request(job=job)) for job in "12"]
    for answer in answers:
        with pytest.raises(NotJudged, match=r"^no thread can be started for it \(can't start new thread\); --af3-workers 1"):
            answer.result(timeout=SECONDS)


def test_an_error_of_ours_costs_one_answer(pool_of, a_request):
    pool = pool_of("reply({'bucket': 1})")
    with pytest.raises(NotJudged):
        pool.submit(a_request()).result(timeout=SECONDS)


def test_one_worker_is_one_whoever_asks(pool_of, a_request, tmp_path):
    """Also of those who ask from threads of their own; who asks first is served first."""
    pool = pool_of("wait_for('go'); reply(ANSWER)", workers=1)
    answers = [pool.submit(a_request(target=target)) for target in ("h100-80gb", "l4-24gb", "a100-40gb")]
    assert happens(lambda: "measure" in noted(tmp_path))
    thread = threading.Thread(target=lambda: pool.featurise(a_request()))
    thread.start()
    assert happens(lambda: pool._children._queue)
    (tmp_path / "go").touch()
    for answer in answers:
        assert answer.result(timeout=SECONDS)
    thread.join(SECONDS)
    assert noted(tmp_path) == ["started", "describe", "measure", "featurise", "measure", "measure"]


def test_measurements_that_run_at_once_share_the_cores(pool_of, a_request, tmp_path, monkeypatch):
    monkeypatch.setattr(host, "cores", lambda: 6)
    pool = pool_of("note(message['threads']); wait_for('go'); reply(ANSWER)", workers=2)
    answers = [pool.submit(a_request())]
    assert happens(lambda: "6" in noted(tmp_path))
    answers += [pool.submit(a_request(target=target)) for target in ("l4-24gb", "a100-40gb")]
    assert happens(lambda: "3" in noted(tmp_path))
    (tmp_path / "go").touch()
    for answer in answers:
        assert answer.result(timeout=SECONDS)


def test_a_worker_of_its_own_takes_the_place_of_an_idle_one(pool_of, a_request, tmp_path):
    pool = pool_of("reply({})", workers=1)
    assert pool.installation
    (idle,) = pool._children._idle
    assert pool.gpu_runs.rehearse(a_request()) == {}
    assert not idle.is_alive()
    assert pool.featurise(a_request())
    assert noted(tmp_path) == ["started", "describe", "started", "rehearse", "started", "featurise"]


def test_the_number_of_workers_stays(pool_of, monkeypatch):
    monkeypatch.setattr(host, "cores", lambda: 8)
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 20 * GIB)
    pool = pool_of("")
    assert pool.workers == 5
    monkeypatch.setattr(host, "available_memory_bytes", lambda: 2 * GIB)
    assert pool.workers == 5


def test_a_failure_is_measured_anew_for_who_asks_after_it_was_told(answering, a_request, tmp_path):
    measure = "reply(ANSWER) if noted_before() else os._exit(3)"
    measure = measure.replace("noted_before()", "(folder / 'noted').read_text().count('measure') > 1")
    session = Session(answering(measure))
    with contextlib.closing(session):
        first = session.pool.submit(a_request())
        assert session.pool.submit(a_request()) is first
        assert first.exception(timeout=SECONDS)
        assert session.pool.submit(a_request()) is first  # it was measured ahead, and nobody has heard of it yet
        with pytest.raises(NotJudged, match="the worker died"):
            session.wait(first)
        second = session.pool.submit(a_request())
        assert session.wait(second).tokens == 1000
        assert session.pool.submit(a_request()) is second
        assert noted(tmp_path).count("measure") == 2


@pytest.fixture
def on_a_dask_worker(answering, an_installation):
    """Asks as clients of a Dask cluster do, on the worker's side."""
    stated = {}

    def ask(client, request, measure="reply(ANSWER)"):
        if not stated:
            settings = answering(measure)
            stated.update(python=settings.python, cache_dir=str(settings.cache_dir))
        return room.measure(client, stated, dataclasses.asdict(an_installation()), request.to_json())

    yield ask
    for client in list(itertools.chain(*room._clients.values())):
        room.release(client)


def test_the_last_client_closes_the_pool(on_a_dask_worker, a_request):
    assert "peak" in on_a_dask_worker("first", a_request())
    assert "peak" in on_a_dask_worker("second", a_request())
    (pool,) = room._pools.values()
    room.release("first")
    assert not pool.closed
    assert "peak" in on_a_dask_worker("second", a_request(job="another"))
    assert on_a_dask_worker("first", a_request())["text"] == "the session ended before it was measured"
    room.release("second")
    assert pool.closed
    assert not room._pools


def test_what_a_dask_worker_cannot_measure_it_says(on_a_dask_worker, a_request):
    found = on_a_dask_worker("one", a_request(), "fail('OutOfMemory', 'out')")
    assert (found["error"], found["text"]) == (OutOfMemory.__name__, "out")
