"""A folder of AlphaFold 3 inputs: what each needs, which targets it fits, and what a GPU would have to be split into."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    """One job and its answer on each target, in the order of the plan's targets."""

    where: Place
    name: str
    tokens: int
    bucket: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Broken:
    """A file, or a job of one, that AlphaFold 3 would not fold, and why."""

    where: Place
    reason: str


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
    def placed(self) -> dict[Path, Gpu]:
        """Each file with the smallest target that all its jobs fit; a file is run as a whole, so others have none."""
        fitting: dict[Path, list[list[Gpu]]] = {}
        for job in self.jobs:
            fitting.setdefault(job.where.file, []).append(self.fitting(job))
        whole = {job.where.file for job in self.jobs if len(fitting[job.where.file]) == job.where.jobs}
        common = {
            file: [one for one in first if all(one in each for each in others)] for file, (first, *others) in fitting.items()
        }
        return {file: targets[0] for file, targets in common.items() if targets and file in whole}

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
    asked: list[tuple[Place, str, Request]] = []
    broken = []
    for where, job in read(session, paths):
        try:
            if isinstance(job, Exception):
                raise job
            asked.append((where, job.name, session.request(job, target=ordered[0].name, model_settings=model_settings)))
        except SetupError:
            raise
        except Exception as error:
            broken.append(Broken(where, why_left_out(error)))
    programs = _programs(session, [request for _, _, request in asked], show)
    examples = {program: request for program, (*_, request) in zip(programs, asked, strict=True) if isinstance(program, str)}
    wanted = {program: [session.retarget(one, target.name) for target in ordered] for program, one in examples.items()}
    answers = ask(session, itertools.chain(*wanted.values()), show)
    jobs = []
    for (where, name, request), program in zip(asked, programs, strict=True):
        found = (program for _ in ordered) if isinstance(program, NotJudged) else (answers[one] for one in wanted[program])
        jobs.append(Planned(where, name, request.tokens, request.bucket, tuple(found)))
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
