"""A plan for a folder of jobs in, text and JSON out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pytest_af3mem.gpus import Gpu
from pytest_af3mem.peak import Peak
from pytest_af3mem.planning.jobs import Plan, Planned
from pytest_af3mem.reports.columns import aligned
from pytest_af3mem.size import format_bytes

SCRIPT = "run_alphafold.sbatch"


def table(plan: Plan, gres: Mapping[str, str]) -> list[str]:
    """A line a job, jobs that fit nowhere with what would spill, broken ones, lines for Slurm, and how to split cards."""
    rows = [("tokens", "bucket", "needs", "smallest that fits", "job"), *(_row(plan, job) for job in plan.jobs)]
    lines = aligned(rows, right={0, 1, 2})
    for job in plan.nowhere:
        spills = ", ".join(
            f"{format_bytes(plan.spill_bytes(job, one) or 0)} on {one.name}" for one in plan.targets if plan.spill_bytes(job, one)
        )
        lines.append(f"fits nowhere: {job.where} (with unified memory, in host memory would lie {spills})")
    lines += [f"not judged: {job.where} on {name}: {reason}" for job in plan.jobs for name, reason in _reasons(plan, job)]
    lines += [f"left out: {one.where}: {one.reason}" for one in plan.broken]
    placed = [(job, plan.fitting(job)[0]) for job in plan.jobs if plan.fitting(job)]
    if placed:
        lines += ["", *(f"sbatch --gres=gpu:{slurm_type(target, gres)}:1 {SCRIPT} {job.where}" for job, target in placed)]
    return lines + _splits(plan)


def to_json(plan: Plan, gres: Mapping[str, str]) -> dict[str, Any]:
    """What `table` tells, with the bytes on every target."""
    return {
        "jobs": [
            {
                "job": job.where,
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
        "broken": [{"job": one.where, "reason": one.reason} for one in plan.broken],
        "nowhere": [job.where for job in plan.nowhere],
        "splits": {
            card: {"slices": list(found[0]), "rounds": found[1], "needed": dict(plan.needed(card))}
            for card in _cards(plan)
            if (found := plan.split(card))
        },
    }


def slurm_type(target: Gpu, gres: Mapping[str, str]) -> str:
    """What Slurm calls a target: as the cluster does where stated, else by its name in lower case, as `AutoDetect=nvml` would."""
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
    return str(job.tokens), str(job.bucket), needs, where, f"{job.where} {job.name!a}"


def _reasons(plan: Plan, job: Planned) -> list[tuple[str, str]]:
    """Targets on which a job was not judged, and why; all of them as one where the reason is the same."""
    reasons = {target.name: str(one) for target, one in zip(plan.targets, job.answers, strict=True) if not isinstance(one, Peak)}
    if len(reasons) == len(plan.targets) and len({*reasons.values()}) == 1:
        return [("any target", next(iter(reasons.values())))]
    return list(reasons.items())


def _cards(plan: Plan) -> list[str]:
    """Cards of which slices are among the targets."""
    return list(dict.fromkeys(target.card for target in plan.targets if target.is_slice))


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
    return ["", *lines] if lines else []
