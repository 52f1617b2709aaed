"""What a session needs of whoever measures for it: a pool of workers on this machine, or a cluster of such machines."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.session.gpu_runs import GpuRuns


class Backend(Protocol):
    """Answers requests. Every future that it hands out ends: with a peak, an error, or, when it is closed, as not judged."""

    @property
    def workers(self) -> int:
        """How many measurements run at once."""

    @property
    def notes(self) -> list[str]:
        """What users should know of the cache: damaged entries that were measured again."""

    @property
    def installation(self) -> Installation:
        """What the worker's interpreter holds. Raises SetupError when something is missing that measuring needs."""

    @property
    def components(self) -> Path | None:
        """The chemical component store of the model, made where it is missing; None for a model without one."""

    @property
    def gpu_runs(self) -> GpuRuns:
        """What is run on GPUs of this machine."""

    def targets(self) -> dict[str, str]:
        """Every target of the catalogue, and why it does not compile here (empty where it does)."""

    def featurise(self, request: Request) -> dict[str, Any]:
        """Tokens, bucket and the shapes of the features, without compiling anything; NotJudged where our count differs."""

    def signature(self, request: Request) -> str:
        """What decides the compiled program of a job: a digest of its features' shapes, featurised where it is not known yet."""

    def submit(self, request: Request) -> Future[Peak]:
        """The peak, or NotJudged with the reason, in a while. An equal request is measured once a session, but see `forget`."""

    def forget(self, answer: Future[Peak]) -> None:
        """Whoever asks again for what this answer failed to give has it measured anew."""

    def status(self) -> str:
        """What is going on, in one line."""

    def close(self) -> None:
        """Ends the workers at once; what they had not answered is not judged."""
