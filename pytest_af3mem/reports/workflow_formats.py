"""A plan for a folder of jobs in; out what workflows and scripts read: CSV, JSON, YAML for Snakemake, a config for Nextflow."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from pytest_af3mem.planning.job_folder import Choice, Plan, Run
from pytest_af3mem.reports.cluster_site import MIB, Site, environment, gpu_mib, path_of, quoted, runs, slurm_options, slurm_type
from pytest_af3mem.reports.json import document

COLUMNS = (
    *("file", "jobs", "tokens", "bucket", "seeds", "samples", "target", "gres", "partition", "gpu_mib", "needs_bytes"),
    *("unified", "host_bytes", "mem_fraction", "fallback"),
)
"""Of the CSV."""
GROOVY_FILES = 300
"""So many files, or a few more, are all that a config of Nextflow can name: Groovy makes one method of it, of 64 KiB at most."""


def record(plan: Plan, site: Site, run: Run) -> dict[str, Any]:
    """A run in JSON, CSV and YAML. `host_bytes` is what unified memory takes there besides, None where that is not known."""
    choice = run.first
    return {
        "file": path_of(run.file),
        "jobs": len(run.jobs),
        "tokens": run.largest.tokens,
        "bucket": run.largest.bucket,
        "seeds": run.seeds,
        "samples": run.largest.samples,
        **_place(site, choice),
        "needs_bytes": choice.needs_bytes,
        "unified": choice.is_unified,
        "host_bytes": choice.spill_bytes or None,
        "mem_fraction": environment(plan, choice)["XLA_CLIENT_MEM_FRACTION"],
        "fallback": [_place(site, other) for other in site.choices(run)[1:]],
    }


def _place(site: Site, choice: Choice) -> dict[str, Any]:
    partition = site.partitions.get(choice.target.name)
    mib = gpu_mib([choice])
    return {"target": choice.target.name, "gres": site.gpu(choice.target), "partition": partition, "gpu_mib": mib}


def as_json(plan: Plan, site: Site) -> str:
    """Each file as a record."""
    return document(runs=[record(plan, site, run) for run in plan.runs.values()])


def as_csv(plan: Plan, site: Site) -> str:
    """A line a file, below the names of the columns. Texts are quoted; what is not known is empty, and `unified` 0 or 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for run in runs(plan, site, "csv"):
        row = record(plan, site, run)
        row["fallback"] = " ".join(place["target"] for place in row["fallback"])
        row["unified"] = int(row["unified"])
        writer.writerow("" if row[name] is None else row[name] for name in COLUMNS)
    return out.getvalue()


def snakemake(plan: Plan, site: Site) -> str:
    """YAML for `configfile:`, with the resources of each file. What is not known is left out."""
    lines = ["af3mem:" if plan.runs else "af3mem: {}"]
    for run in plan.runs.values():
        row = record(plan, site, run)
        resources = {"gpu": 1, **_resources(row), "bucket": row["bucket"]}
        if row["host_bytes"]:
            resources["host_mib"] = -(-row["host_bytes"] // MIB)
        more = {name: row[name] for name in ("seeds", "samples") if row[name] is not None}
        lines += [f"  {_yaml(row['file'])}:", *(f"    {name}: {_yaml(value)}" for name, value in more.items())]
        lines += [f"    unified: {_yaml(row['unified'])}", "    resources:"]
        lines += [f"      {name}: {_yaml(value)}" for name, value in resources.items()]
        lines += ["    environment:", *(f"      {name}: {_yaml(value)}" for name, value in environment(plan, run.first).items())]
        if row["fallback"]:
            lines.append("    fallback:")
        for place in row["fallback"]:
            first, *others = (f"{name}: {_yaml(value)}" for name, value in _resources(place).items())
            lines += [f"      - {first}", *(f"        {other}" for other in others)]
    return "\n".join([*lines, ""])


def _resources(place: Mapping[str, Any]) -> dict[str, str | int]:
    """What Snakemake is to know of one target; a partition under the name that its executor for Slurm has for it."""
    found = {name: place[name] for name in ("target", "gres", "gpu_mib")}
    return {**found, "slurm_partition": place["partition"]} if place["partition"] else found


def _yaml(value: str | int) -> str:
    """A scalar of YAML; a text in double quotes, with escapes for what does not print."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{"".join(map(_yaml_character, value))}"' if isinstance(value, str) else str(value)


def _yaml_character(one: str) -> str:
    if one.isprintable():
        return f"\\{one}" if one in '"\\' else one
    return f"\\u{ord(one):04x}" if ord(one) < 2**16 else f"\\U{ord(one):08x}"


def nextflow(plan: Plan, site: Site) -> str:
    """A config for a process ALPHAFOLD3 that has the path of the file, as the plan has it, as `val job`.

    `argument` is that path as a word of a shell. With `fallback`, each attempt after a failure takes the next target.
    """
    most = max((len(site.choices(run)) for run in runs(plan, site, "nextflow")), default=1)
    lines = ["params.af3mem = [" if runs(plan, site, "nextflow") else "params.af3mem = [:"]
    for run in runs(plan, site, "nextflow"):
        row, choices = record(plan, site, run), site.choices(run)
        types = ", ".join(_groovy(slurm_type(choice.target, site.gres)) for choice in choices)
        options = ", ".join(_groovy(" ".join(map(quoted, slurm_options(site, choice)))) for choice in choices)
        known = {name: row[name] for name in ("bucket", "seeds", "samples", "gpu_mib", "host_bytes") if row[name] is not None}
        words = [*(f"{name}: {value}" for name, value in known.items()), f"unified: {str(row['unified']).lower()}"]
        variables = ", ".join(f"{name}: {_groovy(value)}" for name, value in environment(plan, run.first).items())
        words += [
            f"argument: {_groovy(quoted(row['file']))}",
            f"types: [{types}]",
            f"options: [{options}]",
            f"environment: [{variables}]",
        ]
        lines.append(f"    {_groovy(row['file'])}: [{', '.join(words)}],")
    attempt = "Math.min(task.attempt, params.af3mem[job].{0}.size()) - 1"
    lines += [
        "]",
        "process {",
        "    withName: 'ALPHAFOLD3' {",
        f"        accelerator = {{ [request: 1, type: params.af3mem[job].types[{attempt.format('types')}]] }}",
        f"        clusterOptions = {{ params.af3mem[job].options[{attempt.format('options')}] }}",
    ]
    if most > 1:
        lines += ["        errorStrategy = 'retry'", f"        maxRetries = {most - 1}"]
    return "\n".join([*lines, "    }", "}", ""])


def _groovy(text: str) -> str:
    """A string of Groovy in single quotes, in which `$` is a character; in ASCII, as others are read by UTF-16."""
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": "\\'"}
    spelled = (named.get(one) or (one if one.isascii() and one.isprintable() else _utf_16(one)) for one in text)
    return f"'{''.join(spelled)}'"


def _utf_16(one: str) -> str:
    data = one.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[at : at + 2].hex()}" for at in range(0, len(data), 2))
