"""What the lines of a log say besides why it ended: tokens and bucket, the GPU and its limits, the environment, the stage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pytest_af3mem import gpus
from pytest_af3mem.gpus.local import target_of
from pytest_af3mem.gpus.nvml import VisibleGpu
from pytest_af3mem.gpus.unlisted import nominal_gb
from pytest_af3mem.planning.log_messages import MESSAGES
from pytest_af3mem.records.out_of_memory import AMOUNT, REMATERIALIZED, amount

STARTS = ("Running AlphaFold 3. Please note", "Running fold job ", "Processing fold input ")
"""The first words of a run and of a job: what a log says before belongs to earlier ones."""
STAGES = {
    "Running data pipeline": "searching the databases",
    "Launching subprocess": "searching the databases",
    "Featurising data with": "featurising",
    "Running model inference": "running the network",
    "Writing outputs with": "writing the outputs",
}
"""What a job is at, by the words of the line that says so."""


OF_THE_JOB = (
    ("Calculating bucket size", r"input with (?P<tokens>\d{1,9}) tokens"),
    ("Got bucket size", r"Got bucket size (?P<bucket>\d{1,9}) for input with (?P<tokens>\d{1,9}) tokens"),
    ("by rematerialization", REMATERIALIZED),
)
"""Facts of one input, which end with it: words that the line has, and the pattern, whose groups are the names of the facts."""

OF_THE_MACHINE = (
    ("total allocation:", rf"total allocation: +(?P<needed>{AMOUNT})$"),
    ("--buckets", r"--buckets[= ](?P<buckets>\d{1,9}(?:,\d{1,9}){0,99})"),
    ("Limit:", r"(?:^|\s)Limit: +(?P<limit>\d{1,19}(?:\.\d+[KMGT]iB)?)$"),
    ("InUse:", r"(?:^|\s)InUse: +(?P<in_use>\d{1,19}(?:\.\d+[KMGT]iB)?)$"),
    ("XLA backend", r"XLA backend (?P<pool>allocating|will use up to) (?P<limit>\d{1,19}) bytes on device"),
    ("Memory usage:", r"Memory usage: (?P<free>\d{1,19}) bytes free, (?P<memory>\d{1,19}) bytes total"),
    ("total memory reported", r"total memory reported: (?P<memory>\d{1,19})"),
    ("MiB |", r"\| +(?P<used>\d{1,9}MiB) */ *(?P<memory>\d{1,9}MiB) \|"),
    ("(UUID: GPU", r"GPU \d+: (?P<gpu>[\w ./-]{1,80}?) \(UUID"),
    ("(UUID: MIG", r"MIG (?P<profile>\d+g\.\d+gb) +Device"),
    ("NVIDIA ", r"^\| +\d+ +(?P<gpu>NVIDIA [\w ./-]{1,80}?) +(?:On|Off|N/A) *\|"),
    ("Tesla ", r"^\| +\d+ +(?P<gpu>Tesla [\w ./-]{1,80}?) +(?:On|Off|N/A) *\|"),
    ("Compute Capability", r"device \(\d+\): (?P<gpu>[\w ./-]{1,80}), Compute Capability"),
    (" with key ", r" on (?P<gpu>NVIDIA [\w ./-]{1,80}?) with key "),
    ("PallasTriton", r"PallasTriton(?P<kernel>\w{1,60})"),
    ("Error: ", r"^(?P<error>[\w.]{0,60}Error: .{1,200})"),
    ("jaxlib.xla_extension", r"jaxlib\.(?P<old_jax>xla_extension)"),
)

OF_ONE_RUN = ("needed", "in_use")  # which stand below the error
OF_THE_FIRST_GPU = ("gpu", "memory", "used", "profile")  # of several, AlphaFold 3 runs on the first
VARIABLES = (
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_CLIENT_MEM_FRACTION",
    "TF_FORCE_UNIFIED_MEMORY",
)
_VALUE = r"[Tt]rue|[Ff]alse|\d{0,3}\.?\d{1,6}|platform|bfc|default|cuda_async|vmm"
_VARIABLE = rf"\b({'|'.join(VARIABLES)})[\"']?(?: ?[=:] ?| )[\"']?({_VALUE})\b"


WORDS = frozenset(
    {one.words for one in MESSAGES} | {words for words, _ in (*OF_THE_JOB, *OF_THE_MACHINE)} | {*STARTS, *STAGES, *VARIABLES}
)
"""A line without any of these says nothing that is known here."""

_NEAR = 0.03  # how far apart the memory may be that nvidia-smi and CUDA give of one GPU


def said(facts: Iterable[tuple[str, str]], line: str) -> dict[str, str]:
    """What a line says of these facts, by name."""
    found: dict[str, str] = {}
    for words, pattern in facts:
        if words in line and (match := re.search(pattern, line)):
            found |= match.groupdict()
    return found


def environment(line: str) -> dict[str, str]:
    """The variables of JAX's pool that a line sets or shows."""
    return dict(re.findall(_VARIABLE, line)) if any(name in line for name in VARIABLES) else {}


def target(said: Mapping[str, str]) -> tuple[str, int | None]:
    """The target of the GPU that a log names, and the GPU's memory in bytes; empty and None where it says neither.

    Where the catalogue has no such name, as of a PCIe GPU or of one that nvidia-smi cut, it is the target of the same chip with
    the same memory.
    """
    name, memory_bytes = said.get("gpu", "").strip(), amount(said.get("memory"))
    found = target_of(VisibleGpu(name, 0, "")) or _alike(name.lower(), memory_bytes)
    if "profile" in said:
        found = f"{found}/{said['profile']}" if f"{found}/{said['profile']}" in gpus.names() else ""
    return found, gpus.find(found).memory_bytes if found else memory_bytes


def _alike(name: str, memory_bytes: int | None) -> str:
    words = re.findall(r"[a-z0-9]+", name.replace("rtx ", "rtx"))
    nominal = re.search(r"(\d{1,4}) ?gb\b", name)
    alike = [gpus.find(one) for one in gpus.names() if "/" not in one and one.partition("-")[0] in words]
    if memory_bytes is not None:
        alike = [one for one in alike if abs(one.memory_bytes - memory_bytes) < _NEAR * memory_bytes]
    else:
        alike = [one for one in alike if nominal and nominal_gb(one.name) == int(nominal[1])]
    forms = {
        one.name: one.name.split("-")[1:-1] for one in alike
    }  # such as `pcie`: the plain one is meant where the log has none
    fitting = sorted((name for name, form in forms.items() if set(form) <= set(words)), key=lambda name: -len(forms[name]))
    most = [name for name in fitting if len(forms[name]) == len(forms[fitting[0]])]
    return most[0] if len(most) == 1 else ""
