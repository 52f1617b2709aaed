"""A plan for a folder of jobs in; out what schedulers read: each file as one run, on the GPU that it needs.

A format is a function of the plan and of what the site calls its targets. Names of files come from outside: each format quotes
them in its own way, and leaves out those that it cannot hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_af3mem.errors import shown
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.planning.job_folder import Choice, Plan, Run
from pytest_af3mem.reports import workflow_formats
from pytest_af3mem.reports.cluster_site import SBATCH, SCRIPT, Site, environment, gpu_mib, path_of, quoted, runs, slurm_options


def sbatch(plan: Plan, site: Site) -> list[str]:
    """One line a file, to be pasted into a shell. A name with characters that do not print is spelled as the shell's $'...'.

    With `fallback`, what Slurm refuses is submitted for the next target, and what fits none runs with unified memory.
    """
    return [" || ".join(_sbatch(plan, site, run, choice) for choice in site.choices(run)) for run in runs(plan, site, SBATCH)]


def _sbatch(plan: Plan, site: Site, run: Run, choice: Choice) -> str:
    words = ["sbatch", *slurm_options(site, choice)]
    if choice.is_unified:
        variables = (f"{name}={value}" for name, value in environment(plan, choice).items())
        words.append(f"--export=ALL,{','.join(variables)}")
    return " ".join(map(quoted, (*words, f"{SCRIPT}.sbatch", path_of(run.file))))


def lsf(plan: Plan, site: Site) -> str:
    """A shell script that submits each file with `bsub`. LSF takes any GPU with the memory: the queue says of which kind.

    Without `j_exclusive` LSF gives what is left of a GPU to others, and JAX takes its share of the whole.
    """
    jobs = []
    for run in plan.runs.values():
        choices = site.choices(run)
        queues = dict.fromkeys(filter(None, (site.partitions.get(choice.target.name) for choice in choices)))
        jobs += [
            "",
            *_comment(run),
            "bsub << 'AF3MEM'",
            "#!/bin/bash",
            f'#BSUB -gpu "num=1:j_exclusive=yes:gmem={gpu_mib(choices)}M"',
            *([f'#BSUB -q "{" ".join(queues).replace(",", " ")}"'] if queues else []),
            *(f"export {name}={value}" for name, value in environment(plan, run.first).items()),
            f"exec bash {SCRIPT}.sh {quoted(path_of(run.file))}",
            "AF3MEM",
        ]
    return "\n".join(["#!/bin/bash", *jobs, ""])


def htcondor(plan: Plan, site: Site) -> str:
    """A submit description for `condor_submit`, with one job for each file, on GPUs of the kinds that were measured."""
    lines = [f"executable = {SCRIPT}.sh", "request_gpus = 1"]
    planned = {one.target.name for run in plan.runs.values() for one in site.choices(run)}
    for run in runs(plan, site, "htcondor"):
        choices = site.choices(run)
        partition = ",".join(dict.fromkeys(filter(None, (site.partitions.get(one.target.name) for one in choices))))
        variables = " ".join(f"{name}={value}" for name, value in environment(plan, run.first).items())
        devices = " || ".join(f"DeviceName == {_class_ad(choice.target.description)}" for choice in choices)
        argument = path_of(run.file).replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)")
        lines += [
            "",
            *_comment(run),
            f"arguments = \"'{argument}'\"",
            f"gpus_minimum_memory = {gpu_mib(choices)}M",
            f"require_gpus = ({devices})",
            f'environment = "{variables}"',
            *([f"+Partition = {_class_ad(partition) if partition else 'undefined'}"] if planned & {*site.partitions} else []),
            "queue",
        ]
    return "\n".join([*lines, ""])


def _class_ad(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", shown(text)).replace("$", "$(DOLLAR)") + '"'


def _comment(run: Run) -> list[str]:
    """What is to be known of a run, for formats with comments: the host memory that it takes besides, where that is known."""
    at, spilled = run.first.target.name, format_bytes(run.first.spill_bytes)
    if not run.first.is_unified:
        return [f"# {at}"]
    return [f"# {at} with unified memory alone, slowly: {spilled} of host memory besides what the process takes"]


FORMATS: dict[str, tuple[str, Callable[[Plan, Site], str]]] = {
    "snakemake": ("Snakemake", workflow_formats.snakemake),
    "nextflow": ("Nextflow", workflow_formats.nextflow),
    "htcondor": ("HTCondor", htcondor),
    "lsf": ("LSF", lsf),
    "csv": ("CSV", workflow_formats.as_csv),
    "json": ("JSON", workflow_formats.as_json),
}
"""What there is besides the report with its lines for `sbatch`, each with its name in words."""
