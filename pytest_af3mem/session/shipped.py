"""Answers without measuring: those that come with this project, by target and bucket, of the versions they say.

For commands alone, where no AlphaFold 3 is installed or one release is asked for: a test is judged by what is installed.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

from pytest_af3mem import gpus
from pytest_af3mem.errors import InputError, NotJudged, SetupError, UsageError
from pytest_af3mem.models import alphafold3_files, fingerprint
from pytest_af3mem.models.alphafold3 import INSTALL
from pytest_af3mem.records import shipped
from pytest_af3mem.records.identity import shipped_answer
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.records.shipped import Row, Table
from pytest_af3mem.session.gpu_runs import GpuRuns
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.worker.environment import ENVIRONMENT

_MISSING = f"AlphaFold 3 is not installed here: {INSTALL}"
_ASKED = "--shipped measures nothing: leave it out to measure what is installed"


def releases() -> dict[str, Path]:
    """Where the answers of each AlphaFold 3 lie: ColabFold's wheel, and upstream's release."""
    return {"wheel": shipped.FOLDER, "upstream": shipped.FOLDER / "upstream"}


def releases_of(target: str) -> tuple[str, ...]:
    """Of which releases there are answers for a target."""
    return tuple(name for name, folder in releases().items() if shipped.place(folder, target).is_file())


def read_release(name: str) -> str:
    """Raises UsageError for a name that is none of `releases`."""
    if name not in releases():
        raise UsageError(f"--shipped {name!r} is not one of {', '.join(releases())}")
    return name


def is_installed(model: str) -> bool:
    """Whether this interpreter has the model, or something of its name; of a model of one's own that goes without saying."""
    if model != alphafold3_files.NAME:
        return True
    found = alphafold3_files.root() or alphafold3_files.distribution()
    return found is not None or Path(model).is_dir()  # a worker looks in the current folder, too


def replaces_measuring(settings: Settings) -> bool:
    """Whether nothing can be measured with these settings, which name no installation, and there are answers of the model."""
    states_a_place = settings.path is not None or settings.python != Settings().python
    if states_a_place or settings.no_cache or is_installed(settings.model):
        return False
    return any(one.installation.spec == settings.model for one in shipped.tables(shipped.folder()))


class ShippedAnswers:
    """The `Backend` that measures nothing: what no table of this release has is not judged.

    Without a `release` they are the wheel's, for want of an installed AlphaFold 3.
    """

    workers = 1

    def __init__(self, settings: Settings, release: str | None = None):
        self._settings = settings
        self._folder = releases()[release or "wheel"]
        self._release = release
        self._why = _ASKED if release else _MISSING
        self._cited: dict[str, None] = {}

    @property
    def notes(self) -> list[str]:
        return [*self._cited]

    @functools.cached_property
    def installation(self) -> Installation:
        """That of the table of the session's target, else of the first. Raises SetupError where there is no table."""
        found = next((one for one in self._tables() if one.installation.spec == self._settings.model), None)
        if found is None:
            raise SetupError(f"no shipped answers are of {self._settings.model} ({self._release}): {self._why}")
        return found.installation

    def _tables(self) -> Iterator[Table]:
        """All that can be read, each when it is asked for: to read one takes a tenth of a second."""
        with contextlib.suppress(InputError):
            if of_target := shipped.table(self._folder, self._settings.target):
                yield of_target
        yield from shipped.tables(self._folder)

    @functools.cached_property
    def components(self) -> Path | None:
        """That of the installed AlphaFold 3, which counts as every release does."""
        if not is_installed(self._settings.model):
            raise SetupError(_MISSING)
        with contextlib.closing(Pool(self._settings)) as pool:
            return pool.components

    @property
    def gpu_runs(self) -> GpuRuns:
        raise SetupError(self._why)

    def targets(self) -> dict[str, str]:
        raise SetupError(self._why)

    def featurise(self, request: Request) -> dict[str, Any]:
        raise NotJudged(self._why)

    def signature(self, request: Request) -> str:
        """That which every input in the bucket has."""
        return self._row(request).signature

    def submit(self, request: Request) -> Future[Peak]:
        answer: Future[Peak] = Future()
        try:
            found = shipped_answer(self._row(request).peak, request)
        except NotJudged as error:
            answer.set_exception(error)
        else:
            why = "" if self._release else "; AlphaFold 3 is not installed here"
            self._cited[f"{shipped.citation(found)}{why}"] = None
            answer.set_result(found)
        return answer

    def forget(self, answer: Future[Peak]) -> None:
        """The next answer is the same."""

    def status(self) -> str:
        return "looking up shipped answers"

    def close(self) -> None:
        """There is nothing to end."""

    def _row(self, request: Request) -> Row:
        found = self._table(request)
        self._check(request, found)
        if request.bucket not in found.by_bucket:
            self._refuse(f"no shipped answer for this target is of bucket {request.bucket}")
        return found.by_bucket[request.bucket]

    def _table(self, request: Request) -> Table:
        try:
            found = shipped.table(self._folder, request.target)
        except InputError as error:
            self._refuse(f"the shipped answers for {request.target} cannot be read: {error}")
        if found is None or found.installation.spec != self._settings.model:
            self._refuse("no shipped answers are for this target (af3mem doctor lists them)")
        return found

    def _check(self, request: Request, found: Table) -> None:
        """Raises NotJudged where the table is of another question."""
        if request.method != "compiled":
            self._refuse(f"shipped answers are compiled, and {request.method} was asked for")
        if request.launch:
            self._refuse("shipped answers do not say whether kernels run (--launch)")
        if request.settings:
            names = ", ".join(name for name, _ in request.settings)
            self._refuse(f"shipped answers are of the settings that go without saying, and {names} is stated")
        if gpus.find(request.target).target_config() != found.target_config:
            self._refuse(f"the shipped answers for {request.target} are of another description of it")
        variables = {name: value for name, value in {**os.environ, **ENVIRONMENT}.items() if name != "XLA_FLAGS" or value.strip()}
        if fingerprint.environment(variables) != found.installation.environment:
            self._refuse("a variable of the environment is set that models or compilers read (AF3_, JAX_, TOKAMAX_, XLA_)")

    def _refuse(self, reason: str) -> NoReturn:
        raise NotJudged(f"{reason}; {self._why}")
