"""A cluster in the words of its own, and what each of its runs asks for: what all formats of a plan have in common."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.planning.job_folder import UNIFIED_SHARE, Choice, Plan, Run

SBATCH = "sbatch"
SCRIPT = "run_alphafold"
MIB = 2**20
_NOT_TEXT = r"[\ud800-\udfff]"
_UNNAMEABLE = {"csv": _NOT_TEXT, "nextflow": _NOT_TEXT, "htcondor": rf"{_NOT_TEXT}|[\x00-\x1f\x7f]|\$\$|\$\((?i:dollar)\)"}
"""What a format cannot hold in a name: bytes that are not text; line breaks and the like, and what HTCondor would replace.

HTCondor leaves `$$(...)` to the machine that runs the job, and looks once more at what its own `$(DOLLAR)` has become.
"""


@dataclass(frozen=True)
class Site:
    """What a cluster calls targets, and their partitions or queues; whether a run may take the next target that it fits."""

    gres: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, str] = field(default_factory=dict)
    fallback: bool = False

    def choices(self, run: Run) -> tuple[Choice, ...]:
        """Where a run may go, in this order."""
        return run.choices if self.fallback else run.choices[:1]

    def gpu(self, target: Gpu) -> str:
        """`gpu:nvidia_l4:1`, as Slurm's `--gres` and others take it."""
        return f"gpu:{slurm_type(target, self.gres)}:1"


def slurm_type(target: Gpu, gres: Mapping[str, str]) -> str:
    """What Slurm calls a target: by `gres` where it is there, else by its name in lower case, as `AutoDetect=nvml` would."""
    _, _, profile = target.name.partition("/")
    name = target.description.removesuffix(f" MIG {profile}") if profile else target.description
    return gres.get(target.name) or "_".join([*name.lower().split(), *filter(None, [profile])])


def slurm_options(site: Site, choice: Choice) -> list[str]:
    """Of `sbatch`, for one target."""
    partition = site.partitions.get(choice.target.name)
    return [f"--gres={site.gpu(choice.target)}", *([f"--partition={partition}"] if partition else [])]


def path_of(file: Path) -> str:
    """The path of a file, which no program takes for an option."""
    return f"./{file}" if str(file).startswith("-") else str(file)


def environment(plan: Plan, choice: Choice) -> dict[str, str]:
    """What JAX has to be set to, as AlphaFold 3's docs/performance.md has it: the share of the GPU, or unified memory."""
    if choice.is_unified:
        share = {"TF_FORCE_UNIFIED_MEMORY": "true", "XLA_CLIENT_MEM_FRACTION": str(float(UNIFIED_SHARE))}
        return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **share}
    used = Fraction(95 if plan.fraction.percent is None else plan.fraction.percent) / 100
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "true", "XLA_CLIENT_MEM_FRACTION": f"{float(used):.10g}"}


def is_nameable(file: Path, form: str) -> bool:
    """Whether a format can hold the name of this file."""
    return form not in _UNNAMEABLE or not re.search(_UNNAMEABLE[form], str(file))


def runs(plan: Plan, site: Site, form: str) -> list[Run]:
    """The runs that are in a format. Lines for `sbatch` have unified memory, which is slow, only as a last resort."""
    named = [run for file, run in plan.runs.items() if is_nameable(file, form)]
    return [run for run in named if form != SBATCH or site.fallback or not run.first.is_unified]


def quoted(word: str) -> str:
    """`word` for a shell, in one line."""
    if shown(word) == word:
        return shlex.quote(word)
    spelled = "".join(
        one if one.isprintable() and one not in "'\\#" else "".join(f"\\x{byte:02x}" for byte in os.fsencode(one)) for one in word
    )
    return f"$'{spelled}'"


def gpu_mib(choices: Iterable[Choice]) -> int:
    """The memory that a GPU has to have for any of them, rounded up."""
    return max(-(-choice.gpu_bytes // MIB) for choice in choices)
