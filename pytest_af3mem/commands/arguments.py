"""What several commands take: options of a generated input, settings of the model, sizes; and progress on the terminal."""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import SetupError, UsageError, shown
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.planning.cluster import Cluster
from pytest_af3mem.session.backend import Backend
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.reproduce import setting
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.files import written_atomically


class Parser(argparse.ArgumentParser):
    """A parser whose options stand in groups, in this order."""

    GROUPS = ("input", "model", "machine", "report")

    def __init__(self, **options: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.groups = {title: self.add_argument_group(title) for title in self.GROUPS}


_JOB_OPTIONS = {
    "chains": ("N", "polymer chains (default: one of each kind)"),
    "kinds": ("KINDS", "what chains are in turn: protein, rna, dna, such as protein+rna (default: protein)"),
    "copies": ("N", "copies of each chain (default: 1)"),
    "ligands": ("CODES", "CCD codes of ligands and ions to add, such as ATP+MG+MG"),
    "smiles": ("SMILES", "a ligand to add by SMILES; repeatable"),
    "modifications": ("CODES", "CCD codes of modified residues, such as SEP+TPO"),
    "msa_depth": ("N", "rows of the MSA of each protein and RNA (default: 0)"),
    "paired_msa_depth": ("N", "rows of the paired MSA of each protein (default: 0)"),
    "templates": ("N", "templates of each protein (default: 0)"),
    "seed": ("N", "another input of the same kind (default: 0)"),
}


def add_job_options(command: Parser) -> None:
    for name, (metavar, text) in _JOB_OPTIONS.items():
        many: dict[str, Any] = {"action": "append"} if name == "smiles" else {}
        command.groups["input"].add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text, **many)


def add_strict(command: Parser) -> None:
    text = "refuse inputs that AlphaFold 3 runs in another way than they are written, which else are noted"
    command.groups["input"].add_argument("--strict", action="store_true", help=text)


def note(where: object, job: Job) -> None:
    """Says on the terminal what AlphaFold 3 takes in another way than it is written."""
    for text in job.notes:
        print(f"af3mem: note: {shown(str(where))}: {shown(text)}", file=sys.stderr)


def job_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """The stated options of a generated input, as `generate` takes them; numbers that are none are left for it to refuse."""
    stated = {name: getattr(parsed, name) for name in _JOB_OPTIONS if getattr(parsed, name) is not None}
    return {name: int(value) if str(value).isdecimal() and len(value) < 10 else value for name, value in stated.items()}


def size(text: str, name: str = "--tokens") -> int:
    if not (text.isdecimal() and 0 < len(text) < 10 and int(text)):
        raise UsageError(f"{name} {text!r} must be a whole number of at least 1")
    return int(text)


def sizes(text: str, name: str = "--tokens") -> list[int]:
    """`512,1024` as sizes, each once, in increasing order. Raises UsageError."""
    return sorted({size(part.strip(), name) for part in text.split(",")})


def add_targets(command: Parser) -> None:
    command.groups["machine"].add_argument(
        "--targets",
        metavar="NAME,...",
        help="cards and MIG slices, 'cards', 'all', or patterns such as 'a100*' (default: that of --target)",
    )


def targets(parsed: argparse.Namespace, settings: Settings) -> tuple[Gpu, ...]:
    return gpus.select(parsed.targets) if parsed.targets else (gpus.find(settings.target),)


def add_fraction(command: Parser) -> None:
    command.groups["machine"].add_argument(
        "--fraction",
        default="95 %",
        metavar="SIZE",
        help="how much of a target's memory may be used (default: 95 %%, AlphaFold 3's)",
    )


def fraction(parsed: argparse.Namespace) -> Size:
    return Size.parse(parsed.fraction, name="--fraction")


def add_set(command: Parser, text: str = "a setting of the model; repeatable") -> None:
    command.groups["model"].add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=text)


def chosen(parsed: argparse.Namespace) -> dict[str, Any]:
    """The settings of the model that `--set` states."""
    return dict(map(setting, parsed.set))


def add_over(command: Parser, text: str, required: bool = False) -> None:
    how: dict[str, Any] = {"action": "append", "default": [], "required": required}
    command.groups["model"].add_argument("--over", metavar="NAME=VALUE,...", help=text, **how)


def axes(parsed: argparse.Namespace) -> dict[str, list[tuple[str, Any]]]:
    """What `--over` states: each value as text and as such, by name."""
    return dict(map(axis, parsed.over))


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


def add_scheduler(command: Parser) -> None:
    command.groups["machine"].add_argument(
        "--scheduler", metavar="ADDRESS", help="measure on the workers of a Dask cluster, such as tcp://10.0.0.1:8786"
    )


def pool(parsed: argparse.Namespace) -> Callable[[Settings], Backend]:
    """What makes the pool that measures: on this machine, or on the cluster that is asked for."""
    return functools.partial(Cluster, address=parsed.scheduler) if parsed.scheduler else Pool


@contextmanager
def asking(settings: Settings, pool: Callable[[Settings], Backend] = Pool) -> Iterator[Session]:
    """A session to ask; at the end, however it comes, progress is wiped away and the workers are ended."""
    session = Session(settings, pool)
    try:
        yield session
    finally:
        show("")
        session.close()


def deliver(settings: Settings, text: str, json: str, markdown: str = "") -> None:
    """Writes the reports that are asked for; what goes to no file stands on standard output, by default the text."""
    asked = [(settings.json, json), (settings.markdown, markdown)]
    aloud = [report for path, report in asked if path == Path("-") and report]
    print(*(aloud or [text]), sep="\n", end="")
    for path, report in asked:
        if path and path != Path("-") and report:
            write(path, report)


def write(path: Path, report: str) -> None:
    """A report as a file: the whole of it, or the old one stays. Raises SetupError where it cannot be written."""
    is_file = path.is_file() if path.exists() else not path.is_symlink()
    can_be_replaced = is_file and not path.is_symlink() and os.access(path.parent, os.W_OK)
    try:
        with written_atomically(path) if can_be_replaced else nullcontext(path) as place:  # else a device, or a link
            place.write_text(report, encoding="utf-8", errors="backslashreplace")
            if place != path and path.exists():
                shutil.copymode(path, place)
    except OSError as error:
        raise SetupError(f"the report {shown(str(path))} cannot be written: {error.strerror}") from error


def show(text: str) -> None:
    """Progress on standard error, on terminals only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{f'af3mem: {text}' if text else ''}", end="", file=sys.stderr, flush=True)
