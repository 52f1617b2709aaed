"""Which GPUs of this machine may be measured on, and what `auto` and the default target mean here. No JAX takes part.

A worker is shown one GPU alone, by its UUID, so that which one it runs on is known and not a matter of counting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.gpus import described, nvml
from pytest_af3mem.gpus.nvml import VisibleGpu, visible_gpus

WITHOUT_GPU = "--af3-method compiled needs no GPU"
DESCRIBE = "describe it in a file, --af3-target FILE.txtpb"


def target_of(gpu: VisibleGpu) -> str | None:
    """The name of this GPU: the catalogue's, that of a file, or one that is made of what NVML says; None where it has none."""
    return next(iter(_names(gpu)[0]), None)


def why_unnamed(gpu: VisibleGpu) -> str:
    """Why this GPU is no target, and the way out; empty where it is one."""
    return _names(gpu)[1]


def _names(gpu: VisibleGpu) -> tuple[list[str], str]:
    """All targets that this GPU is, or why it is none."""
    found = gpus.described_as(gpu.name)
    try:
        return found or [_made(gpu, nvml.facts(gpu)).name], ""
    except NotJudged:
        return [], "not in the catalogue"
    except UsageError as error:
        return [], str(error)


def _made(gpu: VisibleGpu, facts: nvml.Facts) -> gpus.Gpu:
    """A target of what NVML says of a GPU. Raises UsageError where its compute capability is not in the catalogue.

    What NVML does not say is that of the catalogue's GPU with this compute capability whose memory is nearest.
    """
    alike = [known for known in map(gpus.find, gpus.names()) if known.compute_capability == facts.compute_capability]
    if not alike:
        major, minor = facts.compute_capability
        raise UsageError(f"the catalogue has no limits of compute capability {major}.{minor}: {DESCRIBE}")
    nearest = min(alike, key=lambda known: abs(known.memory_bytes - facts.memory_bytes))
    core_count = facts.core_count or facts.cuda_cores // nearest.architecture.fpus_per_core
    made = replace(nearest, description=gpu.name, memory_bytes=facts.memory_bytes, core_count=core_count)
    name = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower().removeprefix("nvidia ")).strip("-")
    name = f"{name}-{round(facts.memory_bytes / 2**30)}gb"
    return gpus.learn(described.parse(made.target_config(), name, f"NVML; else {nearest.name}"))


def visible_among(found: Sequence[VisibleGpu], environment: Mapping[str, str]) -> list[VisibleGpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order.

    As CUDA reads it (CUDA C++ Programming Guide, *CUDA Environment Variables*): indices, UUIDs or beginnings of them; what
    comes after one that is no device does not count. Raises NotJudged where an index may mean two different GPUs.
    """
    stated = environment.get("CUDA_VISIBLE_DEVICES")
    if stated is None:
        return list(found)
    left: list[VisibleGpu] = []
    for word in (part.strip() for part in stated.split(",")):
        if word.isdecimal():
            _check_order(word, found, environment)
            matches = [gpu for gpu in found if gpu.index == int(word)][:1]
        else:
            matches = [gpu for gpu in found if word and (gpu.uuid.startswith(word) or gpu.parent_uuid.startswith(word))][:1]
        if not matches:
            break
        left += [gpu for gpu in matches if gpu not in left]
    return left


def _check_order(word: str, found: Sequence[VisibleGpu], environment: Mapping[str, str]) -> None:
    """CUDA counts the fastest GPU first unless told otherwise, NVML by slot."""
    names = {gpu.name.partition(" MIG ")[0] for gpu in found}
    if len(names) > 1 and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        raise NotJudged(
            f"CUDA_VISIBLE_DEVICES={word} may mean any of {', '.join(sorted(names))}: "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID as well, or name the GPU by its UUID (nvidia-smi -L)"
        )


def local_gpus(environment: Mapping[str, str]) -> list[VisibleGpu]:
    """The GPUs that may be measured on. Raises NotJudged, with the reason and the way out, where there are none."""
    found, reason = visible_gpus()
    if not found:
        raise NotJudged(f"no GPU is visible ({reason}); {WITHOUT_GPU}")
    left = visible_among(found, environment)
    if not left:
        raise NotJudged(f"CUDA_VISIBLE_DEVICES={environment['CUDA_VISIBLE_DEVICES']} leaves no GPU to see; {WITHOUT_GPU}")
    return left


def candidates(target: str, environment: Mapping[str, str]) -> list[VisibleGpu]:
    """Those of the GPUs here that are `target`. Raises NotJudged where none is."""
    found = local_gpus(environment)
    if meant := [gpu for gpu in found if target in _names(gpu)[0]]:
        return meant
    names = ", ".join(f"{gpu.name} ({target_of(gpu) or why_unnamed(gpu)})" for gpu in found)
    raise NotJudged(f"{target} was asked for, and the GPUs here are {names}: name one with --af3-target; {WITHOUT_GPU}")


def targets(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that may be measured on, the first to be taken first; empty where there are none."""
    try:
        found = local_gpus(environment)
    except NotJudged:
        return []
    return list(dict.fromkeys(name for gpu in found for name in _names(gpu)[0]))
