"""What `af3mem doctor` found, as text and as JSON."""

from __future__ import annotations

import dataclasses

from pytest_af3mem import gpus
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.doctor import Findings
from pytest_af3mem.reports.columns import printed
from pytest_af3mem.reports.json import document


def render_text(findings: Findings) -> str:
    found = findings.installation
    lines = [f"pytest's Python   {findings.python}", f"model's Python    {findings.interpreter}"]
    if found:
        lines.append(f"model             {found.model}: {found.distribution}")
        lines.append(f"buckets           {' '.join(map(str, found.buckets)) or 'none: each size is its own'}")
        lines += [f"{name:<18}{version}" for name, version in found.software.items() if version and name != "python"]
        lines.append(f"dictionary        {findings.components or 'not made yet'}")
    lines += [f"cache             {findings.cache}", f"workers           {findings.workers}"]
    lines += [f"GPU               {gpu.name}, {format_bytes(gpu.memory_bytes)}, driver {gpu.driver}" for gpu in findings.gpus]
    lines += [f"GPU               {name} is no target: {reason}" for name, reason in findings.unnamed.items()]
    if findings.no_gpu:
        lines.append(f"GPU               none visible ({findings.no_gpu}); measuring compiled needs none")
    none = "none: how far a real GPU differs from what is compiled is not known (af3mem calibrate, on one)"
    lines += [f"calibration       {line}" for line in findings.calibrations or (none,)]
    if findings.targets:
        lines += ["", "targets, with their memory, whether a program compiles for them here, and whose answers are shipped:"]
        for name, error in findings.targets.items():
            releases = findings.shipped.get(name)
            shipped = f", shipped: {' '.join(releases)}" if releases else ""
            lines.append(f"  {name:<24}{format_bytes(gpus.find(name).memory_bytes):>12}  {error or 'compiles'}{shipped}")
    if findings.problem:
        lines += ["", f"to mend: {findings.problem}"]
    return printed(lines)


def render_json(findings: Findings) -> str:
    """The same as a JSON report; `targets` has an empty text for each that compiles."""
    return document(healthy=findings.healthy, **dataclasses.asdict(findings))
