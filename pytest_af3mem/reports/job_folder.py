"""A plan for a folder of jobs in, text, Markdown and JSON out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus import mig
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.job_folder import Place, Plan, Planned
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.reports.cluster_formats import FORMATS, sbatch
from pytest_af3mem.reports.cluster_site import SBATCH, Site, is_nameable, runs
from pytest_af3mem.reports.columns import aligned, markdown_table, size
from pytest_af3mem.reports.workflow_formats import GROOVY_FILES

_HEADINGS = ("tokens", "bucket", "needs", "smallest that fits", "job")
_NUMBERS = range(3)


def render_text(plan: Plan, site: Site, notes: Sequence[str] = ()) -> str:
    """A line a job, jobs that fit nowhere with what would spill, broken ones, lines for Slurm, and how to split GPUs."""
    lines = [*notes, *aligned([_HEADINGS, *(_row(plan, job) for job in plan.jobs)], right=_NUMBERS)]
    lines += [*_repeated(plan), *problems(plan, site)]
    return "\n".join([*lines, *_paragraph(sbatch(plan, site)), *_paragraph(_splits(plan)), ""])


def render_markdown(plan: Plan, site: Site) -> str:
    """The same as Markdown."""
    lines = markdown_table([_HEADINGS, *(_row(plan, job) for job in plan.jobs)], right=_NUMBERS)
    lines += _paragraph([f"- {line}" for line in [*_repeated(plan), *problems(plan, site), *_splits(plan)]])
    if slurm := sbatch(plan, site):
        lines += ["", *(f"    {line}" for line in slurm)]
    return "\n".join([*lines, ""])


def _paragraph(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []


def _repeated(plan: Plan) -> list[str]:
    """Where jobs have several seeds: that these take time alone, and that samples are in the numbers."""
    seeds = sum(job.seeds for job in plan.jobs)
    if seeds == len(plan.jobs):
        return []
    line = f"{seeds} seeds run one after the other, which takes time and no more memory"
    samples = next((job.samples for job in plan.jobs if job.samples), None)
    if samples:
        line += f"; {samples} samples (num_samples) of a seed are made at once, and the numbers include them"
    return [line]


def problems(plan: Plan, site: Site, form: str = SBATCH) -> list[str]:
    """A line for each job that fits nowhere, is not judged or is left out, and for each file that is not in the format."""
    lines = []
    for job in plan.nowhere:
        spills = [f"{format_bytes(over)} on {one.name}" for one in plan.targets if (over := plan.spill_bytes(job, one))]
        where = f"with unified memory, host memory would hold {', '.join(spills)}"
        lines.append(f"fits nowhere: {shown(str(job.where))} ({where})")
    for job in plan.jobs:
        lines += [f"not judged: {shown(str(job.where))} on {name}: {shown(reason)}" for name, reason in _reasons(plan, job)]
    lines += [f"left out: {shown(str(one.where))}: {shown(one.reason)}" for one in plan.broken]
    scheduler = FORMATS[form][0] if form in FORMATS else "Slurm"
    together = {job.where.file: job.where.jobs for job in plan.jobs if job.where.jobs > 1}
    held = [run.file for run in runs(plan, site, form)]
    lines += [
        f"no line for {scheduler}: {shown(str(file))} runs its {jobs} jobs one after the other, and {_obstacle(plan, file)}"
        for file, jobs in together.items()
        if file not in held and is_nameable(file, form)
    ]
    if form == "nextflow" and len(held) > GROOVY_FILES:
        lines.append(
            f"Nextflow may not read this: Groovy compiles a config of some {GROOVY_FILES} files, and this one has {len(held)}: "
            "let the pipeline read --format csv"
        )
    return lines + [
        f"no line for {scheduler}: {shown(str(file))} has characters in its name that the format cannot hold: rename it"
        for file in plan.runs
        if not is_nameable(file, form)
    ]


def _obstacle(plan: Plan, file: Path) -> str:
    """Why no target is named for a file of several jobs."""
    fitting = {job.where.index for job in plan.jobs if job.where.file == file and plan.fitting(job)}
    jobs = next(job.where.jobs for job in plan.jobs if job.where.file == file)
    others = [str(index + 1) for index in range(jobs) if index not in fitting]
    return f"no target is known that fits number {', '.join(others)}" if others else "no one target fits all"


def named(where: Place, name: str, tokens: int, bucket: int) -> dict[str, Any]:
    """A job in JSON: where it is and how large."""
    place = {"job": str(where), "file": str(where.file), "index": where.index}
    return {**place, "name": name, "tokens": tokens, "bucket": bucket}


def label(where: Place, name: str) -> str:
    """A job in the last column of a table."""
    return f"{shown(str(where))} {name!a}"


def to_json(plan: Plan, site: Site) -> dict[str, Any]:
    """What `render_text` tells, with the bytes on every target."""
    return {
        "jobs": [
            {
                **named(job.where, job.name, job.tokens, job.bucket),
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
                "gres": next(map(site.gpu, plan.fitting(job)), None),
                "seeds": job.seeds,
                "samples": job.samples,
            }
            for job in plan.jobs
        ],
        "broken": [{"job": str(one.where), "reason": one.reason} for one in plan.broken],
        "nowhere": [str(job.where) for job in plan.nowhere],
        "splits": {
            card: {"slices": list(slices), "rounds": rounds, "needed": dict(plan.needed(card))}
            for card, (slices, rounds) in _split(plan).items()
        },
    }


def _row(plan: Plan, job: Planned) -> tuple[str, ...]:
    fitting = plan.fitting(job)
    peaks = {target: answer for target, answer in zip(plan.targets, job.answers, strict=True) if isinstance(answer, Peak)}
    needs = [peaks[target].total_bytes for target in (fitting[:1] or list(peaks)[-1:])]
    where = fitting[0].name if fitting else "none" if peaks else "not judged"
    return str(job.tokens), str(job.bucket), size(needs[0] if needs else None), where, label(job.where, job.name)


def _reasons(plan: Plan, job: Planned) -> list[tuple[str, str]]:
    """Targets on which a job was not judged, and why; all of them as one where the reason is the same."""
    reasons = {target.name: str(one) for target, one in zip(plan.targets, job.answers, strict=True) if not isinstance(one, Peak)}
    if len(reasons) == len(plan.targets) and len({*reasons.values()}) == 1:
        return [("any target", next(iter(reasons.values())))]
    return list(reasons.items())


def _split(plan: Plan) -> dict[str, tuple[tuple[str, ...], int]]:
    """GPUs of which slices are among the targets, each with how to split it, where jobs fit a slice of it."""
    return {
        gpu: found for gpu in (one.whole for one in plan.targets if one.is_slice) if (found := mig.best(gpu, plan.needed(gpu)))
    }


def _splits(plan: Plan) -> list[str]:
    lines = []
    for card, (slices, rounds) in _split(plan).items():
        counted = " + ".join(f"{count} x {name.partition('/')[2]}" for name, count in Counter(slices).items())
        jobs = sum(plan.needed(card).values())
        filled = "all at once" if rounds == 1 else f"filled {rounds} times"
        who = f"the {jobs} jobs that fit a slice of it run {filled}" if jobs > 1 else "one job fits a slice of it"
        lines.append(f"split {card} into {counted}: {who}")
    return lines
