"""Command line, ini file and environment in, one frozen `Settings` out.

Each option has three spellings, and the first that is set wins: `--af3-target` on the command line, `AF3MEM_TARGET` in the
environment, `af3_target` in the ini file.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pytest_af3mem.errors import UsageError

METHODS = ("auto", "compiled")
DEFAULT_TARGET = "h100-80gb"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/pytest-af3mem`, by default `~/.cache/pytest-af3mem`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pytest-af3mem")


class Option(NamedTuple):
    """One setting. `read` turns text into its value and raises UsageError; flags have no text and no `metavar`."""

    name: str
    help: str
    metavar: str = ""
    read: Callable[[str], Any] = str

    @property
    def flag(self) -> str:
        return f"--af3-{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"AF3MEM_{self.name.upper()}"


def read_method(text: str, name: str = "--af3-method") -> str:
    """How to measure: `compiled`, which is also what `auto` means. Raises UsageError for another word."""
    if text not in METHODS:
        raise UsageError(f"{name} {text!r} is not one of {', '.join(METHODS)}")
    return "compiled"


def _target(text: str) -> str:
    from pytest_af3mem import gpus

    return gpus.find(text).name


def _buckets(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    sizes = [int(part) for part in parts if part.isdecimal()]
    if len(sizes) != len(parts) or 0 in sizes or sizes != sorted(set(sizes)):
        raise UsageError(f"--af3-buckets {text!r} must be increasing whole numbers of tokens, like 256,512,1024")
    return tuple(sizes)


def _interpreter(text: str) -> str:
    found = shutil.which(text)
    if found is None:
        rule = "is not a program that can be run: give the path of a Python that holds AlphaFold 3"
        raise UsageError(f"--af3-python {text!r} {rule}")
    return str(Path.cwd() / found)  # not resolved: a virtual environment's interpreter is a link


def _source_tree(text: str) -> Path:
    folder = Path(text).resolve()
    if not folder.is_dir():
        raise UsageError(f"--af3-path {text!r} is not a folder: give the one that holds the model's package")
    inside = folder / "src"
    return inside if (inside / "alphafold3").is_dir() and not (folder / "alphafold3").is_dir() else folder


def _whole_number(flag: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) == 0:
            raise UsageError(f"{flag} {text!r} must be a whole number of at least 1")
        return int(text)

    return read


OPTIONS = (
    Option("method", "how to measure; auto is compiled (default: auto)", "{auto,compiled}", read_method),
    Option("target", f"card or MIG slice to size for, such as a100-40gb (default: {DEFAULT_TARGET})", "NAME", _target),
    Option("model", "alphafold3, or package.module:object for your own (default: alphafold3)", "NAME"),
    Option("python", "interpreter that holds the model (default: this one)", "PATH", _interpreter),
    Option("path", "source tree of the model, measured as it is instead of the installed one", "DIR", _source_tree),
    Option("buckets", "padding buckets in tokens, as run_alphafold.py's --buckets (default: the model's)", "N,N,...", _buckets),
    Option("json", "write all measurements and verdicts to this file", "FILE", Path),
    Option("workers", "measurements at once (default: as cores and memory allow)", "N", _whole_number("--af3-workers")),
    Option("timeout", "seconds that one measurement may take (default: 900)", "SECONDS", _whole_number("--af3-timeout")),
    Option("cache_dir", f"folder for results and the chemical dictionary (default: {default_folder()})", "DIR", Path),
    Option("no_cache", "measure everything anew, and keep nothing"),
)


@dataclass(frozen=True)
class Settings:
    """How this session measures; see `OPTIONS` for each."""

    method: str = "compiled"
    target: str = DEFAULT_TARGET
    model: str = "alphafold3"
    python: str = sys.executable
    path: Path | None = None
    buckets: tuple[int, ...] | None = None
    json: Path | None = None
    workers: int | None = None
    timeout: int = 900
    cache_dir: Path = field(default_factory=default_folder)
    no_cache: bool = False

    @classmethod
    def read(cls, command_line: Mapping[str, Any], ini: Mapping[str, Any] | None = None) -> Settings:
        """The first of command line, environment and ini that is set; a flag is set when true. Raises UsageError."""
        values: dict[str, Any] = {}
        for option in OPTIONS:
            stated = (command_line.get(option.name), os.environ.get(option.variable), (ini or {}).get(option.name))
            value = next((value for value in stated if value), None)
            if value is not None:
                values[option.name] = option.read(str(value)) if option.metavar else is_true(value, option.flag)
        return cls(**values)


def is_true(value: Any, name: str) -> bool:
    """A switch as people write it. Raises UsageError for what is neither true nor false."""
    text = str(value).lower()
    if text not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise UsageError(f"{name} is a switch: {value!r} is neither true nor false")
    return text in ("1", "true", "yes", "on")
