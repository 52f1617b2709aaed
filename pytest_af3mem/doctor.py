"""What is installed, what is missing and how to mend it, and which targets compile here."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from dataclasses import dataclass

from pytest_af3mem import calibration, gpus
from pytest_af3mem.errors import Af3memError
from pytest_af3mem.probes import nvml
from pytest_af3mem.reports.columns import shown
from pytest_af3mem.reports.json import document
from pytest_af3mem.request import Installation
from pytest_af3mem.session import Session
from pytest_af3mem.size import format_bytes


@dataclass(frozen=True)
class Findings:
    """What was found. `problem` says what is missing and how to mend it; `targets` maps each to why it does not compile."""

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

    @property
    def healthy(self) -> bool:
        return not self.problem


def examine(session: Session, show: Callable[[str], None]) -> Findings:
    """Asks a worker; tries a small program on every target, which takes some seconds."""
    installation, problem, components = None, "", ""
    targets: dict[str, str] = {}
    try:
        installation = session.installation
        show("looking for the chemical component dictionary")
        components = str(session.pool.components or "not used by this model")
        show("compiling a small program for every target")
        targets = session.pool.targets()
    except Af3memError as error:
        problem = str(error)
    visible, no_gpu = nvml.visible_gpus()
    records, problems = calibration.known(session.settings.cache_dir)
    return Findings(
        python=platform.python_version(),
        interpreter=session.settings.python,
        installation=installation,
        problem=problem,
        components=components,
        targets=targets,
        gpus=visible,
        no_gpu=no_gpu,
        cache=str(session.settings.cache_dir),
        workers=session.pool.workers,
        calibrations=(*map(str, records), *problems),
    )


def render(findings: Findings) -> str:
    found = findings.installation
    lines = [f"pytest's Python   {findings.python}", f"model's Python    {findings.interpreter}"]
    if found:
        lines.append(f"model             {found.model}: {found.distribution}")
        lines.append(f"buckets           {' '.join(map(str, found.buckets)) or 'none: each size is its own'}")
        lines += [f"{name:<18}{version}" for name, version in found.software.items() if version and name != "python"]
        lines.append(f"dictionary        {findings.components or 'not made yet'}")
    lines += [f"cache             {findings.cache}", f"workers           {findings.workers}"]
    lines += [f"GPU               {gpu.name}, {format_bytes(gpu.memory_bytes)}, driver {gpu.driver}" for gpu in findings.gpus]
    if findings.no_gpu:
        lines.append(f"GPU               none visible ({findings.no_gpu}); measuring compiled needs none")
    none = "none: how far a real card differs from what is compiled is not known (af3mem calibrate, on one)"
    lines += [f"calibration       {line}" for line in findings.calibrations or (none,)]
    if findings.targets:
        lines += ["", "targets, with their memory and whether a program compiles for them here:"]
        for name, error in findings.targets.items():
            lines.append(f"  {name:<24}{format_bytes(gpus.find(name).memory_bytes):>12}  {error or 'compiles'}")
    if findings.problem:
        lines += ["", f"to mend: {findings.problem}"]
    return "\n".join(map(shown, lines))


def render_json(findings: Findings) -> str:
    """The same as a JSON report; `targets` has an empty text for each that compiles."""
    return document(healthy=findings.healthy, **dataclasses.asdict(findings))
