"""Why a run of AlphaFold 3 ended, read from what it printed. Lines in, record out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pytest_af3mem.gpus.occupancy import preallocated
from pytest_af3mem.inputs.buckets import bucket
from pytest_af3mem.models.alphafold3_files import NEWEST_BUCKETS
from pytest_af3mem.planning import log_facts
from pytest_af3mem.planning.log_causes import Cause
from pytest_af3mem.planning.log_messages import MESSAGES, NOISE, Message
from pytest_af3mem.records.out_of_memory import amount

_SHOWN = 200  # characters of a line
_PREFIX = r"^.{0,160}?\.(?:cc|py):\d+\] "  # of absl and XLA: time, process, place


@dataclass(frozen=True)
class Found:
    """A line that says what happened; `said` are the parts of it that count, and what its job was at."""

    cause: Cause
    rank: int
    number: int
    line: str
    said: Mapping[str, str]


@dataclass(frozen=True)
class Explanation:
    """What a log says. `found` is None where it says nothing that is known here; None is what it does not say.

    `asked_bytes` were asked for in one piece, of `limit_bytes`; both are of the memory that ran out. By XLA the program takes
    `needed_bytes` in all; it planned `planned_bytes` of live buffers, and its own limit was `xla_limit_bytes`. `memory_bytes` are
    the GPU's. `also` are other causes of the same run, the last first. `ended_well` is whether a later run of this log did.
    """

    found: Found | None = None
    also: tuple[Found, ...] = ()
    ended_well: bool = False
    asked_bytes: int | None = None
    limit_bytes: int | None = None
    in_use_bytes: int | None = None
    free_bytes: int | None = None
    tokens: int | None = None
    bucket: int | None = None
    needed_bytes: int | None = None
    planned_bytes: int | None = None
    xla_limit_bytes: int | None = None
    gpu: str = ""
    target: str = ""
    memory_bytes: int | None = None
    stage: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def memory(self) -> str:
        """Which memory ran out, as `Cause` says it; empty where none did."""
        return self.found.cause.memory if self.found else ""

    @property
    def is_failure(self) -> bool:
        """Whether it is not known that nothing failed."""
        return self.found is None or self.found.cause.is_failure

    @property
    def line(self) -> str:
        """The line that says what happened."""
        return self.found.line if self.found else ""

    @property
    def is_unified(self) -> bool | None:
        """Whether memory of the host counted as the GPU's; None where the log does not say."""
        value = self.environment.get("TF_FORCE_UNIFIED_MEMORY")
        return None if value is None else value.lower() in ("1", "true")

    @property
    def is_preallocated(self) -> bool | None:
        """Whether JAX took its pool at once; None where the log does not say."""
        if "pool" in self.said:
            return self.said["pool"] == "allocating"
        known = "XLA_PYTHON_CLIENT_PREALLOCATE" in self.environment
        return preallocated(self.environment) is not None if known else None

    @property
    def share(self) -> float | None:
        """How much of the GPU JAX's pool may be, as the log has it; None where it does not say."""
        environment = {**self.environment, "XLA_PYTHON_CLIENT_PREALLOCATE": "true"}
        names = [name for name in self.environment if name.endswith("MEM_FRACTION")]
        return preallocated(environment) if names else None


def read(numbered: Iterable[tuple[int, str]]) -> Explanation:
    """Explains the last run that failed; where none did, the last one."""
    reading = _Reading()
    for number, line in numbered:
        reading.take(number, line)
    return reading.explained()


class _Reading:
    """What is known so far. It holds a line for each cause, and a value for each name."""

    def __init__(self) -> None:
        self.found: dict[Cause, Found] = {}
        self.failed: dict[Cause, Found] = {}
        self.job: dict[str, str] = {}
        self.machine: dict[str, str] = {}
        self.environment: dict[str, str] = {}

    def take(self, number: int, line: str) -> None:
        if any(words in line for words in log_facts.STARTS):
            self.failed = self.found if _failed(self.found) else self.failed
            self.found, self.job = {}, {}
            self.machine = {name: value for name, value in self.machine.items() if name not in log_facts.OF_ONE_RUN}
        for words, stage in log_facts.STAGES.items():
            if words in line:
                self.job["stage"] = stage
        self.job |= log_facts.said(log_facts.OF_THE_JOB, line)
        known_gpu = {name: self.machine[name] for name in log_facts.OF_THE_FIRST_GPU if name in self.machine}
        self.machine |= log_facts.said(log_facts.OF_THE_MACHINE, line) | known_gpu
        self.environment |= log_facts.environment(line)
        if meaning := _meaning(line):
            message, match = meaning
            rank = 0 if re.search(NOISE, line[: 2 * _SHOWN]) else message.rank
            known = self.found.get(message.cause)
            if not known or known.rank <= rank:
                said = {**(known.said if known else {}), **self.job, **{k: v for k, v in match.groupdict().items() if v}}
                self.found[message.cause] = Found(message.cause, rank, number, _shown(line, match), said)

    def explained(self) -> Explanation:
        failed = self.failed if self.failed and not _failed(self.found) else self.found
        ordered = _ordered(failed)
        first = ordered[0] if ordered else None
        said = {**self.machine, **(first.said if first else self.job)}
        memory = first.cause.memory if first else ""
        target, memory_bytes = log_facts.target(said)
        tokens = _whole(said, "tokens")
        explanation = Explanation(
            found=first,
            also=tuple(one for one in ordered[1:] if one.cause.is_failure and one.rank > 0),
            ended_well=failed is not self.found and bool(self.found),
            asked_bytes=amount(said.get("asked")),
            in_use_bytes=amount(said.get("in_use" if memory == "gpu" else "held")),
            free_bytes=amount(said.get("free")),
            tokens=tokens,
            bucket=_whole(said, "bucket") or (bucket(tokens, _buckets(said)) if tokens else None),
            needed_bytes=amount(said.get("needed")),
            planned_bytes=amount(said.get("planned")),
            xla_limit_bytes=amount(said.get("xla_limit")),
            gpu=said.get("gpu", ""),
            target=target,
            memory_bytes=memory_bytes,
            stage=said.get("stage", ""),
            environment=self.environment,
            said=said,
        )
        limit_bytes = amount((first.said if first and memory != "gpu" else said).get("limit"))
        if limit_bytes is None and memory == "gpu" and memory_bytes is not None:
            limit_bytes = int((explanation.share or 1) * memory_bytes)
        return dataclasses.replace(explanation, limit_bytes=limit_bytes)


def _meaning(line: str) -> tuple[Message, re.Match[str]] | None:
    for message in MESSAGES:
        if message.words in line and (match := re.search(message.pattern, line)):
            return message, match
    return None


def _shown(line: str, match: re.Match[str]) -> str:
    """A line, or so much of it that it can be shown, without the time and place where it was printed."""
    prefix = re.match(_PREFIX, line)
    start = min(prefix.end() if prefix else 0, match.start())
    start = start if match.start() - start < _SHOWN // 2 else match.start()
    return line[start : start + _SHOWN].strip()


def _ordered(found: Mapping[Cause, Found]) -> list[Found]:
    """What says most first, and of that what was said last."""
    return sorted(found.values(), key=lambda one: (-one.rank, -one.number))


def _failed(found: Mapping[Cause, Found]) -> bool:
    ordered = _ordered(found)
    return bool(ordered) and ordered[0].cause.is_failure and ordered[0].rank > 0


def _whole(said: Mapping[str, str], name: str) -> int | None:
    return int(said[name]) or None if name in said else None


def _buckets(said: Mapping[str, str]) -> tuple[int, ...]:
    return tuple(int(size) for size in said["buckets"].split(",")) if "buckets" in said else NEWEST_BUCKETS
