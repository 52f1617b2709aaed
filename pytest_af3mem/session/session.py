"""From what people ask to what the pool answers. pytest's plugin and the command line both go through here."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import Af3memError, SetupError, UsageError, near
from pytest_af3mem.gpus import local
from pytest_af3mem.inputs import ambient, generate, reading
from pytest_af3mem.inputs import tokens as counting
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.models.ccd import Store
from pytest_af3mem.models.function_call import Call
from pytest_af3mem.records import flags
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import FUNCTION, Installation, Request, freeze
from pytest_af3mem.session.backend import Backend
from pytest_af3mem.session.functions import FunctionSessions
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.settings import AUTO, Settings, read_flags, read_method, resolve_auto

_POLL_SECONDS = 0.5


def padding(settings: Settings) -> tuple[int, ...]:
    """The padding sizes of a session with these settings, of which nothing is measured nor kept. Raises Af3memError."""
    if settings.buckets:
        return settings.buckets
    with tempfile.TemporaryDirectory(prefix="af3mem-") as folder:
        apart = dataclasses.replace(settings, cache_dir=Path(folder), no_cache=False)
        with contextlib.closing(Pool(apart)) as pool:
            return pool.installation.buckets


class Session:
    """One run of measurements with one set of settings. `close` ends its workers.

    If it `answers`, jobs that are asked for their tokens ask this session (`inputs.ambient`).
    """

    def __init__(self, settings: Settings, pool: Callable[[Settings], Backend] = Pool, *, answers: bool = True):
        self.settings = settings
        self.pool = pool(settings)
        self._functions = FunctionSessions(settings, lambda one: Session(one, answers=False))
        if answers:
            ambient.register(self)

    @property
    def installation(self) -> Installation:
        return self.pool.installation

    @property
    def notes(self) -> list[str]:
        """As `Backend.notes`, also of what measured functions."""
        return [*self.pool.notes, *self._functions.notes]

    @cached_property
    def components(self) -> Store | None:
        """The model's chemical component dictionary; None for a model without one. Raises SetupError."""
        path = self.pool.components
        return Store(path) if path else None

    @property
    def buckets(self) -> tuple[int, ...]:
        """The padding sizes that were asked for, or those of the installed version."""
        return self.settings.buckets or self.installation.buckets

    def read(self, path: Path, *, strict: bool = False) -> list[Job]:
        """The jobs of a JSON file, as AlphaFold 3 would read them. Raises InputError; if `strict`, for what it would mistake.

        The dictionary, which comes with the model, is asked for by those alone that name a component or an atom. Where there is
        none, `tokens` says which of them need it.
        """
        jobs = reading.read(path, strict=strict)
        if any(map(counting.needs_components, jobs)):
            with contextlib.suppress(SetupError):
                return reading.read(path, components=self.components, strict=strict)
        return jobs

    def tokens(self, job: Job) -> int:
        """Tokens of a job. Raises UsageError for a component that is in no dictionary, and for a job of which none are left.

        Raises SetupError, with the components, where it needs a dictionary and none is installed.
        """
        found = counting.count(job, self._components_of(job))
        if not found:
            raise UsageError("no chain has a residue that is known: AlphaFold 3 leaves such chains out")
        return found

    def _components_of(self, job: Job) -> Store | None:
        """The dictionary where a job asks for it; without one, None for a job that can be counted all the same."""
        try:
            return self.components if counting.needs_components(job) else None
        except SetupError as error:
            codes = counting.needed_components(job)
            if not codes:
                return None
            raise SetupError(f"{', '.join(codes)}: counted by the chemical component dictionary: {error}") from error

    def check_settings(self, model_settings: Iterable[str]) -> None:
        """Raises UsageError for a setting that the model does not name; dotted paths are left to the model."""
        for name in model_settings:
            if "." not in name and name not in (*self.installation.settings, flags.SETTING):
                hint = near(name, self.installation.settings)
                raise UsageError(f"{self.installation.model} has no setting {name!r}{hint} (or use a dotted path)")

    def request(
        self,
        job: Job | None = None,
        *,
        tokens: int | None = None,
        options: Mapping[str, Any] | None = None,
        target: str | None = None,
        method: str | None = None,
        model_settings: Mapping[str, Any] | None = None,
    ) -> Request:
        """The request for a job, or for a generated one of so many tokens. Raises UsageError for what is not possible."""
        model_settings = self._with_flags(model_settings or {})
        self.check_settings(model_settings)
        generated = job is None
        if job is None:
            assert tokens is not None
            options = options or {}
            job = generate.generate(tokens, **options, components=self.components if generate.needs_components(options) else None)
        else:
            reading.check(job, self._components_of(job))
        target = gpus.find(target).name if target else self.settings.target
        return Request(
            job=job.to_json(),
            tokens=self.tokens(job),
            buckets=self.buckets,
            target=target,
            **self._how(target, method),
            settings=freeze(model_settings),
            generated=generated,
        )

    def call(
        self,
        function: Callable[..., Any] | str,
        shapes: Sequence[Any],
        static: Mapping[str, Any],
        *,
        target: str | None = None,
        method: str | None = None,
        model_settings: Mapping[str, Any] | None = None,
    ) -> Request:
        """The request for a call of a function (`models.function_call`). Raises UsageError for what is not possible."""
        call = str(Call.of(function, shapes, static))
        stated = self._with_flags(model_settings or {})
        if others := [name for name in stated if name != flags.SETTING]:
            rule = f"is of the network: a test of a function takes {flags.SETTING} alone"
            raise UsageError(f"af3_model({others[0]}={stated[others[0]]!r}) {rule}")
        target = gpus.find(target).name if target else self.settings.target
        settings = freeze({**stated, FUNCTION: call})
        return Request(job=call, tokens=None, buckets=(), target=target, **self._how(target, method), settings=settings)

    def peak(self, request: Request, show: Callable[[str], None] = lambda text: None) -> Peak:
        """The answer to a request, by workers that know the function where it is one of a function. Raises as `wait`."""
        asked = self._functions.of(Call.parse(request.job).module) if request.function else self
        return asked.wait(asked.pool.submit(request), show)

    def _with_flags(self, model_settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings with the XLA flags of the session where they name none; the container's go without saying."""
        stated = model_settings.get(flags.SETTING, self.settings.flags)
        if stated is None:
            return model_settings
        if os.environ.get("XLA_FLAGS", "").strip():
            raise UsageError(f"{flags.SETTING} {stated!r}: XLA_FLAGS is set too: unset it, or state its flags here")
        others = {name: value for name, value in model_settings.items() if name != flags.SETTING}
        read = read_flags(str(stated), flags.SETTING)
        return others if read == flags.CONTAINER else {**others, flags.SETTING: read}

    @property
    def flags_in_effect(self) -> str:
        """Which XLA flags there are in the place of the container's, in words; empty where there are none."""
        if self.settings.flags not in (None, flags.CONTAINER):
            return f"XLA flags: {self.settings.flags}"
        variable = os.environ.get("XLA_FLAGS", "").strip()
        return f"XLA_FLAGS={variable} stands in the place of the flags of AlphaFold 3's container" if variable else ""

    def method(self, target: str, method: str | None = None) -> str:
        """How `target` is measured, by default as the settings say: `auto` runs what is visible, and compiles for the rest."""
        method = read_method(method, "method") if method else self.settings.method
        if method != AUTO:
            return method
        return "run" if target in local.targets(os.environ) else "compiled"

    def retarget(self, request: Request, target: str, method: str | None = None) -> Request:
        """The same for another target, by the method that is meant for that one."""
        return dataclasses.replace(request, target=target, **self._how(target, method))

    def _how(self, target: str, method: str | None) -> dict[str, Any]:
        """Kernels that ask for too much are found by compiling; a run shows it."""
        method = self.method(target, method)
        return {"method": method, "launch": self.settings.launch and method == "compiled"}

    def wait(self, answer: Future[Peak], show: Callable[[str], None] = lambda text: None) -> Peak:
        """The answer, when it is there; `show` gets a line about what is going on twice a second.

        Raises NotJudged, or another error of ours that says what to mend. Who asks again after that has it measured anew.
        """
        while not answer.done():
            try:
                answer.result(timeout=_POLL_SECONDS)
            except Af3memError:
                break
            except TimeoutError:
                show(self.pool.status())
        if answer.exception():
            self.pool.forget(answer)
        return answer.result()

    def close(self) -> None:
        ambient.unregister(self)
        self._functions.close()
        self.pool.close()
        if "components" in self.__dict__ and self.components:
            self.components.close()


def start() -> None:
    """A session with the settings of the environment, which ends with the process."""
    atexit.register(Session(resolve_auto(Settings.read({}))).close)
