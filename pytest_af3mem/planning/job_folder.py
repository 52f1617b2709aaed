"""A folder of AlphaFold 3 inputs: what each needs, which targets it fits, and what a GPU would have to be split into."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import Af3memError, NotJudged, SetupError, UsageError, first_line
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.planning.ask import Answer, Show, ask
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.session.session import Session

UNIFIED_SHARE = Fraction("3.2")
"""How many times a GPU's memory may be used where memory is unified, as AlphaFold 3's docs/performance.md sets it."""


@dataclass(frozen=True)
class Place:
    """Where a job is: its file, and there at `index` of so many `jobs`."""

    file: Path
    index: int = 0
    jobs: int = 1

    def __str__(self) -> str:
        return f"{self.file}[{self.index}]" if self.jobs > 1 else str(self.file)


@dataclass(frozen=True)
class Planned:
    """One job and its answer on each target, in the order of the plan's targets.

    AlphaFold 3 folds its `seeds` one after the other, which takes time and no more memory.
    """

    where: Place
    name: str
    tokens: int
    bucket: int
    answers: tuple[Answer, ...]
    seeds: int = 1

    @property
    def samples(self) -> int | None:
        """How many samples of a seed are made at once, which the memory includes; None for a model that does not say."""
        known = (one.model.config.get("num_samples") for one in self.answers if isinstance(one, Peak))
        return next((one for one in known if isinstance(one, int)), None)


@dataclass(frozen=True)
class Broken:
    """A file, or a job of one, that AlphaFold 3 would not fold, and why."""

    where: Place
    reason: str


@dataclass(frozen=True)
class Choice:
    """A target that a file may run on: `needs_bytes` by the job of it that needs most.

    A GPU of this kind has to have `gpu_bytes`, so that what may be used of it is enough. `spill_bytes` of what is needed lie in
    host memory, besides what the process takes there: 0 where all fits, and else memory has to be unified.
    """

    target: Gpu
    needs_bytes: int
    gpu_bytes: int
    spill_bytes: int = 0

    @property
    def is_unified(self) -> bool:
        return self.spill_bytes > 0


@dataclass(frozen=True)
class Run:
    """A file as a cluster runs it: as a whole, its jobs one after the other.

    `choices` are the targets that all its jobs fit, from little memory to much; where there are none, the one on which the least
    spills.
    """

    file: Path
    jobs: tuple[Planned, ...]
    choices: tuple[Choice, ...]

    @property
    def first(self) -> Choice:
        return self.choices[0]

    @property
    def largest(self) -> Planned:
        return max(self.jobs, key=lambda job: job.tokens)

    @property
    def seeds(self) -> int:
        """Those of all jobs."""
        return sum(job.seeds for job in self.jobs)


@dataclass(frozen=True)
class Plan:
    """Jobs on targets, of whose memory `fraction` may be used, the targets from little memory to much."""

    targets: tuple[Gpu, ...]
    fraction: Size
    jobs: tuple[Planned, ...]
    broken: tuple[Broken, ...]

    def limit_bytes(self, target: Gpu) -> int:
        return self.fraction.of(target.memory_bytes)

    def fitting(self, job: Planned) -> list[Gpu]:
        """The targets that a job fits."""
        found = zip(self.targets, job.answers, strict=True)
        return [one for one, peak in found if isinstance(peak, Peak) and peak.total_bytes <= self.limit_bytes(one)]

    def spill_bytes(self, job: Planned, target: Gpu) -> int | None:
        """What would have to lie in host memory, where memory is unified; 0 where the job fits, None where it is not judged."""
        answer = job.answers[self.targets.index(target)]
        return max(0, answer.total_bytes - self.limit_bytes(target)) if isinstance(answer, Peak) else None

    @property
    def nowhere(self) -> list[Planned]:
        """Jobs that fit none of the targets, as far as they were judged on any."""
        return [job for job in self.jobs if not self.fitting(job) and any(isinstance(one, Peak) for one in job.answers)]

    @cached_property
    def runs(self) -> dict[Path, Run]:
        """Each file of which all jobs are planned and run somewhere, if only with unified memory; a file is run as a whole."""
        files: dict[Path, dict[int, Planned]] = {}
        for job in self.jobs:
            files.setdefault(job.where.file, {})[job.where.index] = job
        every = (tuple(jobs.values()) for jobs in files.values())
        whole = [jobs for jobs in every if len(jobs) == jobs[0].where.jobs]
        return {jobs[0].where.file: Run(jobs[0].where.file, jobs, choices) for jobs in whole if (choices := self._choices(jobs))}

    def _choices(self, jobs: Sequence[Planned]) -> tuple[Choice, ...]:
        peaks = {
            target: max(one.total_bytes for one in found if isinstance(one, Peak))
            for target, found in zip(self.targets, zip(*(job.answers for job in jobs), strict=True), strict=True)
            if all(isinstance(one, Peak) for one in found)
        }
        fitting = [target for target, needs in peaks.items() if needs <= self.limit_bytes(target)]
        if fitting:
            return tuple(Choice(target, peaks[target], self._gpu_bytes(peaks[target])) for target in fitting)
        spilling = [
            Choice(target, needs, target.memory_bytes * 99 // 100, needs - self.limit_bytes(target))  # drivers differ by 1 %
            for target, needs in peaks.items()
            if needs <= UNIFIED_SHARE * target.memory_bytes
        ]
        return (min(spilling, key=lambda choice: choice.spill_bytes),) if spilling else ()

    def _gpu_bytes(self, needs_bytes: int) -> int:
        """The least memory of a GPU that lets so much be used."""
        return needs_bytes if self.fraction.percent is None else math.ceil(needs_bytes * 100 / Fraction(self.fraction.percent))

    def needed(self, card: str) -> Counter[str]:
        """How many jobs have each slice of a GPU as the smallest that they fit."""
        smallest = (next((target for target in self.fitting(job) if target.whole == card), None) for job in self.jobs)
        return Counter(target.name for target in smallest if target and target.is_slice)


def files(paths: Iterable[Path]) -> list[Path]:
    """The files, and of folders the `*.json` in them, in order of names. Raises UsageError where there are none."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"folder {str(path)!r} holds no *.json")
        found += inside
    return found


def plan(
    session: Session, paths: Sequence[Path], targets: Sequence[Gpu], fraction: Size, model_settings: Mapping[str, Any], show: Show
) -> Plan:
    """Measures every job on every target, those of one program once. Raises UsageError and SetupError for what concerns all."""
    session.check_settings(model_settings)
    ordered = tuple(sorted(targets, key=lambda target: (target.memory_bytes, target.name)))
    asked: list[tuple[Place, Job, Request]] = []
    broken = []
    for where, job in read(session, paths):
        try:
            if isinstance(job, Exception):
                raise job
            asked.append((where, job, session.request(job, target=ordered[0].name, model_settings=model_settings)))
        except Exception as error:
            if isinstance(error, SetupError):
                session.installation  # else nothing can be measured, which concerns all  # noqa: B018
            broken.append(Broken(where, why_left_out(error)))
    programs = _programs(session, [request for _, _, request in asked], show)
    examples = {program: request for program, (*_, request) in zip(programs, asked, strict=True) if isinstance(program, str)}
    wanted = {program: [session.retarget(one, target.name) for target in ordered] for program, one in examples.items()}
    answers = ask(session, itertools.chain(*wanted.values()), show)
    jobs = []
    for (where, job, request), program in zip(asked, programs, strict=True):
        found = (program for _ in ordered) if isinstance(program, NotJudged) else (answers[one] for one in wanted[program])
        assert request.tokens is not None
        assert request.bucket is not None
        jobs.append(Planned(where, job.name, request.tokens, request.bucket, tuple(found), len(job.seeds)))
    return Plan(ordered, fraction, tuple(jobs), tuple(broken))


def read(session: Session, paths: Iterable[Path], *, strict: bool = False) -> Iterator[tuple[Place, Job | Exception]]:
    """Each job of each file, or what came in its place: whatever one file does, the others are read. `strict` as there."""
    for path in paths:
        try:
            found = session.read(path, strict=strict)
        except Exception as error:
            yield Place(path), error
        else:
            yield from ((Place(path, index, len(found)), job) for index, job in enumerate(found))


def why_left_out(error: Exception) -> str:
    """Why a job is left out: what is not an error of ours is a fault of ours."""
    return str(error) if isinstance(error, Af3memError) else f"pytest-af3mem fails here, please report it: {first_line(error)}"


def _programs(session: Session, requests: Sequence[Request], show: Show) -> list[str | NotJudged]:
    """What decides each job's program on any target, bucket and shapes of features; or why it is not known."""
    with contextlib.suppress(SetupError):  # who needs it will say so
        session.pool.components  # made once, before workers would each make it  # noqa: B018
    count = itertools.count(1)

    def program(request: Request) -> str | NotJudged:
        try:
            return f"{request.bucket} {session.pool.signature(request)}"
        except NotJudged as error:
            return error
        finally:
            show(f"featurised {next(count)} of {len(requests)} jobs")

    executor = ThreadPoolExecutor(session.pool.workers)
    try:
        return list(executor.map(program, requests))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
