"""What is installed, what is missing and how to mend it, and which targets compile here."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import Af3memError
from pytest_af3mem.gpus import local, nvml
from pytest_af3mem.models import alphafold3_files
from pytest_af3mem.planning.ask import Show
from pytest_af3mem.records import calibration
from pytest_af3mem.records.request import Installation
from pytest_af3mem.session import shipped
from pytest_af3mem.session.session import Session


@dataclass(frozen=True)
class Findings:
    """What was found. `problem` says what is missing and how to mend it; `targets` maps each to why it does not compile.

    `unnamed` maps GPUs of this machine that are no target to the reason; `shipped` maps targets to the releases of the model of
    which answers come with the package.
    """

    python: str
    interpreter: str
    installation: Installation | None
    problem: str
    components: str
    targets: dict[str, str]
    gpus: list[nvml.VisibleGpu]
    no_gpu: str
    cache: str
    workers: int
    calibrations: tuple[str, ...] = ()
    unnamed: Mapping[str, str] = field(default_factory=dict)
    shipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        return not self.problem


def examine(session: Session, show: Show) -> Findings:
    """Asks a worker; tries a small program on every target, which takes some seconds."""
    found: dict[str, Any] = {"installation": None, "problem": "", "components": "", "targets": {}}
    try:
        found["installation"] = session.installation
        show("looking for the chemical component dictionary")
        found["components"] = str(session.pool.components or "not used by this model")
        show("compiling a small program for every target")
        found["targets"] = session.pool.targets()
    except Af3memError as error:
        found["problem"] = str(error)
        found["targets"] = dict.fromkeys(gpus.names(), "not tried")
    found["gpus"], found["no_gpu"] = nvml.visible_gpus()
    found["unnamed"] = {gpu.name: reason for gpu in found["gpus"] if (reason := local.why_unnamed(gpu))}
    if session.settings.model == alphafold3_files.NAME:
        found["shipped"] = {name: releases for name in gpus.names() if (releases := shipped.releases_of(name))}
    records, problems = calibration.known(session.settings.cache_dir)
    return Findings(
        python=platform.python_version(),
        interpreter=session.settings.python,
        cache=str(session.settings.cache_dir),
        workers=session.pool.workers,
        calibrations=(*map(str, records), *problems),
        **found,
    )
