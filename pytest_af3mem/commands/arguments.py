"""What several commands have in common: their arguments, a session to ask, reports to deliver, progress on the terminal."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import SetupError, UsageError, is_whole_number, shown, whole_number
from pytest_af3mem.gpus.size import Size, read_tolerance
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.planning.cluster import Cluster
from pytest_af3mem.reports.write import put
from pytest_af3mem.session import shipped
from pytest_af3mem.session.backend import Backend
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.progress import show as show
from pytest_af3mem.session.reproduce import setting
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import AUTO, Settings


class Parser(argparse.ArgumentParser):
    """A parser of one command, whose options stand in groups, in this order."""

    GROUPS = ("input", "model", "machine", "report")

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.groups: dict[str, Any] = {title: self.add_argument_group(title) for title in self.GROUPS}
        self._readers: dict[str, Callable[[Any], Any]] = {}

    def take(self, *flags: str, **how: Any) -> None:
        """Adds arguments as `SHARED` and `how` say to argparse; `group` is of the help, `read` makes the value of a text."""
        for flag in flags:
            declared = {**SHARED.get(flag, {}), **how}
            group, read = declared.pop("group", None), declared.pop("read", None)
            action = (self.groups[group] if group else self).add_argument(flag, **declared)
            if read:
                self._readers[action.dest] = read

    def read(self, parsed: argparse.Namespace) -> None:
        """Puts values in the place of texts. Raises UsageError, of which argparse itself would print but a part."""
        for name, read in self._readers.items():
            if getattr(parsed, name) is not None:
                setattr(parsed, name, read(getattr(parsed, name)))


def whole_numbers(text: str, name: str = "--tokens") -> list[int]:
    """`512,1024` as numbers, each once, in increasing order. Raises UsageError."""
    return sorted({whole_number(part.strip(), name) for part in text.split(",")})


def axis(text: str) -> tuple[str, list[tuple[str, Any]]]:
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise UsageError(f"--over {text!r} must be NAME=VALUE,VALUE,..., like msa_depth=0,1000,16384")
    can_be_none = name in ("ligands", "smiles", "modifications")
    texts = _split(values)
    read = [() if value == "none" and can_be_none else setting(f"{name}={value}")[1] for value in texts]
    return name, list(zip(texts, read, strict=True))


def _split(values: str) -> list[str]:
    """At commas, but for those in brackets: a setting may be a list."""
    parts, depth = [""], 0
    for letter in values:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


JOB_OPTIONS: dict[str, dict[str, Any]] = {
    "--chains": {"metavar": "N", "help": "polymer chains (default: one of each kind)"},
    "--kinds": {
        "metavar": "KINDS",
        "help": "kinds of chains in turn: protein, rna, dna, such as protein+rna (default: protein)",
    },
    "--copies": {"metavar": "N", "help": "copies of each chain (default: 1)"},
    "--ligands": {"metavar": "CODES", "help": "CCD codes of ligands and ions to add, such as ATP+MG+MG"},
    "--smiles": {"metavar": "SMILES", "action": "append", "help": "a ligand to add by SMILES; repeatable"},
    "--modifications": {"metavar": "CODES", "help": "CCD codes of modified residues, such as SEP+TPO"},
    "--msa-depth": {"metavar": "N", "help": "rows of the MSA of each protein and RNA (default: 0)"},
    "--paired-msa-depth": {"metavar": "N", "help": "rows of the paired MSA of each protein (default: 0)"},
    "--templates": {"metavar": "N", "help": "templates of each protein (default: 0)"},
    "--seed": {"metavar": "N", "help": "another input of the same kind (default: 0)"},
}
"""What a generated input is made of."""

SHARED: dict[str, dict[str, Any]] = {
    "--tokens": {
        "group": "input",
        "required": True,
        "metavar": "N",
        "help": "tokens of the input, exactly",
        "read": lambda text: whole_number(text, "--tokens"),
    },
    **{flag: {"group": "input", **how} for flag, how in JOB_OPTIONS.items()},
    "--strict": {
        "group": "input",
        "action": "store_true",
        "help": "refuse inputs that AlphaFold 3 runs differently from how they are written (default: note them)",
    },
    "--targets": {
        "group": "machine",
        "metavar": "NAME,...",
        "help": "GPUs and MIG slices, 'gpus' for the whole ones, 'all', or patterns such as 'a100*' (default: that of --target)",
        "read": lambda text: gpus.select(text) if text else None,
    },
    "--fraction": {
        "group": "machine",
        "default": "95 %",
        "metavar": "SIZE",
        "help": "how much of a target's memory may be used (default: 95 %%, AlphaFold 3's)",
        "read": lambda text: Size.parse(text, name="--fraction"),
    },
    "--scheduler": {
        "group": "machine",
        "default": "",
        "metavar": "ADDRESS",
        "help": "measure on the workers of a Dask cluster, such as tcp://10.0.0.1:8786",
        "read": lambda address: functools.partial(Cluster, address=address) if address else Pool,
    },
    "--shipped": {
        "group": "model",
        "metavar": "{wheel,upstream}",
        "help": "answer from what the package brings along, and measure nothing: of ColabFold's wheel, or of upstream's release",
        "read": shipped.read_release,
    },
    "--set": {
        "group": "model",
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE",
        "help": "a setting of the model; repeatable",
        "read": lambda texts: dict(map(setting, texts)),
    },
    "--markdown": {"group": "report", "metavar": "FILE"},
    "--over": {
        "group": "model",
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE,...",
        "read": lambda texts: dict(map(axis, texts)),
    },
}
"""Arguments of more than one command, as `Parser.take` takes them. `--over` gives each value as text and as such, by name."""


def job_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """The options of a generated input that were given, as `generate` takes and checks them."""
    names = [flag[2:].replace("-", "_") for flag in JOB_OPTIONS]
    given = {name: value for name in names if (value := getattr(parsed, name)) is not None}
    return {name: int(one) if isinstance(one, str) and is_whole_number(one) else one for name, one in given.items()}


def note(where: object, job: Job) -> None:
    """Says on the terminal what AlphaFold 3 takes in another way than it is written."""
    for text in job.notes:
        print(f"af3mem: note: {shown(str(where))}: {shown(text)}", file=sys.stderr)


def take_tolerance(parser: Parser, text: str) -> None:
    """Growth that passes, with `text` as its help."""
    parser.take(
        "--tolerance",
        group="report",
        default="0",
        metavar="SIZE",
        help=text,
        read=lambda stated: read_tolerance(stated, "--tolerance"),
    )


def asking(
    settings: Settings,
    pool: Callable[[Settings], Backend] = Pool,
    *,
    takes_shipped: bool = False,
    release: str | None = None,
) -> closing[Session]:
    """A session to ask, whose workers end with it.

    One of shipped answers where `--shipped` names their `release`, and, for who `takes_shipped`, without AlphaFold 3: these are
    compiled, also for a GPU that is visible. Raises UsageError for a release beside what would be measured.
    """
    compiled = replace(settings, method="compiled") if settings.method == AUTO else settings
    if release:
        measured = {"--scheduler": pool is not Pool, "--path": settings.path, "--no-cache": settings.no_cache}
        if unused := [flag for flag, is_given in measured.items() if is_given]:
            raise UsageError(f"--shipped {release} measures nothing: leave {unused[0]} out, or measure without --shipped")
        return closing(Session(compiled, functools.partial(shipped.ShippedAnswers, release=release)))
    if takes_shipped and pool is Pool and shipped.replaces_measuring(settings):
        return closing(Session(compiled, shipped.ShippedAnswers))
    return closing(Session(settings, pool))


def deliver(settings: Settings, text: str, json: str, markdown: str = "") -> None:
    """Writes the reports that are asked for; what goes to no file stands on standard output, by default the text."""
    show("")
    asked = [(path, report) for path, report in ((settings.json, json), (settings.markdown, markdown)) if path and report]
    print(*([report for path, report in asked if path == Path("-")] or [text]), sep="\n", end="")
    for path, report in asked:
        if path != Path("-"):
            write(path, report)


def write(path: Path, report: str) -> None:
    """A report as a file. Raises SetupError where it cannot be written."""
    try:
        put(path, report)
    except OSError as error:
        raise SetupError(f"the report {shown(str(path))} cannot be written: {error.strerror}") from error
