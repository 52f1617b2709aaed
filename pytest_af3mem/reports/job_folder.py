"""A plan for a folder of jobs in, text, Markdown and JSON out."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.job_folder import Plan, Planned
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.columns import aligned, markdown_table

SCRIPT = "run_alphafold.sbatch"
_HEADINGS = ("tokens", "bucket", "needs", "smallest that fits", "job")
_NUMBERS = range(3)


def render_text(plan: Plan, gres: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """A line a job, jobs that fit nowhere with what would spill, broken ones, lines for Slurm, and how to split GPUs."""
    lines = [*notes, *aligned([_HEADINGS, *(_row(plan, job) for job in plan.jobs)], right=_NUMBERS), *_problems(plan)]
    return "\n".join([*lines, *_paragraph(_slurm(plan, gres)), *_paragraph(_splits(plan)), ""])


def render_markdown(plan: Plan, gres: Mapping[str, str]) -> str:
    """The same as Markdown."""
    lines = markdown_table([_HEADINGS, *(_row(plan, job) for job in plan.jobs)], right=_NUMBERS)
    lines += _paragraph([f"- {line}" for line in [*_problems(plan), *_splits(plan)]])
    if slurm := _slurm(plan, gres):
        lines += ["", *(f"    {line}" for line in slurm)]
    return "\n".join([*lines, ""])


def _paragraph(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _problems(plan: Plan) -> list[str]:
    lines = []
    for job in plan.nowhere:
        spills = ", ".join(
            f"{format_bytes(plan.spill_bytes(job, one) or 0)} on {one.name}" for one in plan.targets if plan.spill_bytes(job, one)
        )
        lines.append(f"fits nowhere: {shown(str(job.where))} (with unified memory, host memory would hold {spills})")
    for job in plan.jobs:
        lines += [f"not judged: {shown(str(job.where))} on {name}: {shown(reason)}" for name, reason in _reasons(plan, job)]
    lines += [f"left out: {shown(str(one.where))}: {shown(one.reason)}" for one in plan.broken]
    together = {job.where.file: job.where.jobs for job in plan.jobs if job.where.jobs > 1}
    return lines + [
        f"no line for Slurm: {shown(str(file))} runs its {jobs} jobs one after the other, and {_obstacle(plan, file)}"
        for file, jobs in together.items()
        if file not in plan.placed
    ]


def _obstacle(plan: Plan, file: Path) -> str:
    """Why no target is named for a file of several jobs."""
    fitting = {job.where.index for job in plan.jobs if job.where.file == file and plan.fitting(job)}
    jobs = next(job.where.jobs for job in plan.jobs if job.where.file == file)
    others = [str(index + 1) for index in range(jobs) if index not in fitting]
    return f"no target is known that fits number {', '.join(others)}" if others else "no one target fits all"


def _slurm(plan: Plan, gres: Mapping[str, str]) -> list[str]:
    """One line a file, to be pasted into a shell. A name with characters that do not print is spelled as the shell's $'...'."""
    return [
        " ".join([*map(_quoted, ("sbatch", f"--gres=gpu:{slurm_type(target, gres)}:1", SCRIPT, _path(file)))])
        for file, target in plan.placed.items()
    ]


def _path(file: Path) -> str:
    """A file as an argument that is no option."""
    return f"./{file}" if str(file).startswith("-") else str(file)


def _quoted(word: str) -> str:
    """`word` for a shell, in one line."""
    if shown(word) == word:
        return shlex.quote(word)
    spelled = (one if one.isprintable() and one not in "'\\#" else _escaped(one) for one in word)
    return f"$'{''.join(spelled)}'"


def _escaped(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def to_json(plan: Plan, gres: Mapping[str, str]) -> dict[str, Any]:
    """What `render_text` tells, with the bytes on every target."""
    return {
        "jobs": [
            {
                "job": str(job.where),
                "file": str(job.where.file),
                "index": job.where.index,
                "name": job.name,
                "tokens": job.tokens,
                "bucket": job.bucket,
                "targets": {
                    target.name: {
                        "total_bytes": answer.total_bytes if isinstance(answer, Peak) else None,
                        "limit_bytes": plan.limit_bytes(target),
                        "spill_bytes": plan.spill_bytes(job, target),
                        "reason": None if isinstance(answer, Peak) else str(answer),
                    }
                    for target, answer in zip(plan.targets, job.answers, strict=True)
                },
                "fits": [target.name for target in plan.fitting(job)],
                "gres": next((f"gpu:{slurm_type(target, gres)}:1" for target in plan.fitting(job)), None),
            }
            for job in plan.jobs
        ],
        "broken": [{"job": str(one.where), "reason": one.reason} for one in plan.broken],
        "nowhere": [str(job.where) for job in plan.nowhere],
        "splits": {
            card: {"slices": list(found[0]), "rounds": found[1], "needed": dict(plan.needed(card))}
            for card in _cards(plan)
            if (found := plan.split(card))
        },
    }


def slurm_type(target: Gpu, gres: Mapping[str, str]) -> str:
    """What Slurm calls a target: by `gres` where it is there, else by its name in lower case, as `AutoDetect=nvml` would."""
    _, _, profile = target.name.partition("/")
    name = target.description.removesuffix(f" MIG {profile}") if profile else target.description
    return gres.get(target.name) or "_".join([*name.lower().split(), *filter(None, [profile])])


def _row(plan: Plan, job: Planned) -> tuple[str, ...]:
    fitting = plan.fitting(job)
    peaks = [answer for answer in job.answers if isinstance(answer, Peak)]
    if fitting:
        chosen = job.answers[plan.targets.index(fitting[0])]
        assert isinstance(chosen, Peak)
        needs, where = format_bytes(chosen.total_bytes), fitting[0].name
    else:
        needs, where = (format_bytes(peaks[-1].total_bytes), "none") if peaks else ("-", "not judged")
    return str(job.tokens), str(job.bucket), needs, where, f"{shown(str(job.where))} {job.name!a}"


def _reasons(plan: Plan, job: Planned) -> list[tuple[str, str]]:
    """Targets on which a job was not judged, and why; all of them as one where the reason is the same."""
    reasons = {target.name: str(one) for target, one in zip(plan.targets, job.answers, strict=True) if not isinstance(one, Peak)}
    if len(reasons) == len(plan.targets) and len({*reasons.values()}) == 1:
        return [("any target", next(iter(reasons.values())))]
    return list(reasons.items())


def _cards(plan: Plan) -> list[str]:
    """Cards of which slices are among the targets."""
    return list(dict.fromkeys(target.whole for target in plan.targets if target.is_slice))


def _splits(plan: Plan) -> list[str]:
    lines = []
    for card in _cards(plan):
        if not (found := plan.split(card)):
            continue
        slices, rounds = found
        counted = " + ".join(f"{count} x {name.partition('/')[2]}" for name, count in Counter(slices).items())
        jobs = sum(plan.needed(card).values())
        filled = "all at once" if rounds == 1 else f"filled {rounds} times"
        who = f"the {jobs} jobs that fit a slice of it run {filled}" if jobs > 1 else "one job fits a slice of it"
        lines.append(f"split {card} into {counted}: {who}")
    return lines
