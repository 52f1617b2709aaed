"""Measuring on more than one machine: requests go to the workers of a Dask cluster. The only module that touches Dask.

Each Dask worker runs a `Pool`, which clients with the same settings share and the last of them closes. What a lost worker was
doing Dask gives to another one; answers are kept in this machine's cache as they arrive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import Af3memError, NotJudged, SetupError, UsageError, first_line
from pytest_af3mem.records import answering
from pytest_af3mem.records.answering import Answer
from pytest_af3mem.records.identity import keep, known_peak
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.session.answers import ENDED, Answers, fail, succeed
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage import typed
from pytest_af3mem.worker import protocol

INSTALL = 'pip install "pytest-af3mem[dask]"'
_CONNECT_SECONDS, _RELEASE_SECONDS = 15, 5


class Cluster:
    """The `Backend` whose requests are measured by the Dask workers at `address`, such as `tcp://10.0.0.1:8786`.

    What compiles nothing is asked of a pool here. Raises SetupError without Dask or a scheduler, UsageError for no address.
    """

    def __init__(self, settings: Settings, address: str):
        self._address = address
        self._name = uuid.uuid4().hex
        self._settings = _to_send(settings)
        self._tasks: dict[Request, Any] = {}
        self._client = _connected(address)
        try:
            self._pool = pool = Pool(settings)
        except BaseException:
            self._client.close(timeout=_RELEASE_SECONDS)
            raise
        self.targets, self.featurise, self.signature, self.gpu_runs = pool.targets, pool.featurise, pool.signature, pool.gpu_runs
        self._answers = Answers(lambda request: known_peak(pool.cache, pool.installation, request), self._hand_over)
        self.submit, self.forget = self._answers.submit, self._answers.forget

    @property
    def workers(self) -> int:
        return max(1, sum(map(int, self._client.nthreads().values())))

    @property
    def notes(self) -> list[str]:
        return self._pool.notes

    @property
    def installation(self) -> Installation:
        return self._pool.installation

    @property
    def components(self) -> Path | None:
        return self._pool.components

    def status(self) -> str:
        return f"{self._answers.waiting} with {len(self._client.nthreads())} workers of {self._address}"

    def close(self) -> None:
        """Takes back what was not answered, and ends the compilers on the cluster."""
        if not self._answers.closed:
            with contextlib.suppress(Exception):  # a cluster that is gone has nothing to give back
                self._client.cancel(list(self._tasks.values()), force=True)
                self._client.run(release, self._name, on_error="ignore")
            with contextlib.suppress(Exception):
                self._client.close(timeout=_RELEASE_SECONDS)
        self._answers.close()
        self._pool.close()

    def _hand_over(self, request: Request, answer: Future[Peak]) -> None:
        installation = dataclasses.asdict(self.installation)
        try:
            task = self._client.submit(measure, self._name, self._settings, installation, request.to_json(), pure=False)
        except Exception as error:
            raise NotJudged(f"the cluster did not take it: {first_line(error)}") from error
        self._tasks[request] = task
        task.add_done_callback(lambda done: self._finish(request, answer, done))

    def _finish(self, request: Request, answer: Future[Peak], task: Any) -> None:
        try:
            reply = task.result(timeout=_CONNECT_SECONDS)
            if "error" in reply:
                raise protocol.error(reply)
            accepted = answering.accepted(request, self.installation, reply)
            keep(self._pool.cache, self.installation, request, accepted)
            succeed(answer, accepted.peak)
        except Af3memError as error:
            fail(answer, error)
        except BaseException as error:
            fail(answer, NotJudged(f"the cluster did not measure it: {first_line(error)}"))
        self._tasks.pop(request, None)  # or Dask would make it again when the worker that made it is lost


def _connected(address: str) -> Any:
    try:
        import distributed
        from distributed.comm.addressing import get_address_host_port

        connect: Any = distributed.Client
    except ImportError as error:
        raise SetupError(f"--scheduler {address!r} needs Dask: {INSTALL}") from error
    try:
        get_address_host_port(address)  # a client that is made of what is no address hangs when Python ends
    except ValueError as error:
        raise UsageError(f"--scheduler {address!r} is no address of a scheduler, like tcp://10.0.0.1:8786: {error}") from error
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        return connect(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise SetupError(f"--scheduler {address!r} does not answer: start one with `dask scheduler`") from error


def _to_send(settings: Settings) -> dict[str, Any]:
    """What a worker must know of the settings; what is the default here is left to be the default there."""
    usual = Settings()
    names = ("model", "python", "path", "cache_dir", "timeout", "no_cache")
    changed = {name: getattr(settings, name) for name in names if getattr(settings, name) != getattr(usual, name)}
    return {name: value if isinstance(value, bool) else str(value) for name, value in changed.items()}


_pools: dict[str, Pool] = {}
_clients: dict[str, set[str]] = {}  # of each pool
_released: set[str] = set()
_lock = threading.Lock()


def measure(
    client: str, settings: Mapping[str, Any], installation: Mapping[str, Any], request: Mapping[str, Any]
) -> dict[str, Any]:
    """The peak and the signature of the features, or an error; refused where other software is installed than at the client's."""
    try:
        pool = _pool(client, settings)
        if differing := _differing(installation, dataclasses.asdict(pool.installation)):
            raise SetupError(f"a worker of the cluster would measure something else: {differing}; install the same on both")
        asked = Request.from_json(request)
        answer = pool.submit(asked)
        try:
            peak = answer.result()
        except Af3memError:
            pool.forget(answer)
            raise
        return Answer(peak, dict(asked.settings), pool.signature(asked), pool.installation.identity).to_json()
    except Af3memError as error:
        return protocol.failure(error)


def release(client: str) -> None:
    """Ends the compilers of a client that is done, but for those that others use: what it had begun there is bounded in time."""
    with _lock:
        _released.add(client)
        for clients in _clients.values():
            clients.discard(client)
        unused = [_pools.pop(key) for key, clients in _clients.items() if not clients and key in _pools]
    for pool in unused:
        pool.close()


def _pool(client: str, settings: Mapping[str, Any]) -> Pool:
    key = str(settings)
    with _lock:
        if client in _released:  # while this was on its way
            raise NotJudged(ENDED)
        if key not in _pools:
            _pools[key] = Pool(Settings.read(settings))
        _clients.setdefault(key, set()).add(client)
        return _pools[key]


def _differing(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """What differs between two installations, in words; empty where nothing does."""
    flat = [{**one, **one["software"], "software": None} for one in (here, there)]
    names = [name for name in {**flat[0], **flat[1]} if typed.plain(flat[0].get(name)) != typed.plain(flat[1].get(name))]
    return ", ".join(
        "other sources" if name == "fingerprint" else f"{name} {flat[1].get(name)} for {flat[0].get(name)}" for name in names
    )
