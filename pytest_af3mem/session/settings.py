"""Command line, ini file and environment in, one frozen `Settings` out.

Each option has three spellings, and the first that is set wins: `--af3-target` on the command line, `AF3MEM_TARGET` in the
environment, `af3_target` in the ini file.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError, is_whole_number, whole_number

if TYPE_CHECKING:
    from pytest_af3mem.gpus.size import Size

AUTO = "auto"
METHODS = (AUTO, "compiled", "run")
DEFAULT_TARGET = "h100-80gb"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/pytest-af3mem`, by default `~/.cache/pytest-af3mem`; for a user without a home, in the temporary folder.

    There anyone may make it first: its name has the user's number, and a folder of another user's is refused when it is used.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pytest-af3mem").absolute()
    except RuntimeError:
        return Path(tempfile.gettempdir(), f"pytest-af3mem-{os.getuid()}")


class Option(NamedTuple):
    """How people give one setting; flags have no `metavar`. `read` takes its text and the name that a UsageError gives it."""

    name: str
    help: str
    metavar: str
    read: Callable[[str, str], Any]

    @property
    def flag(self) -> str:
        return f"--af3-{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"AF3MEM_{self.name.upper()}"


def is_true(value: Any, name: str) -> bool:
    """A switch as people write it. Raises UsageError for what is neither true nor false."""
    text = str(value).lower()
    is_on = text in ("1", "true", "yes", "on")
    if not is_on and text not in ("0", "false", "no", "off"):
        raise UsageError(f"{name} is a switch: {value!r} is neither true nor false")
    return is_on


def read_method(text: str, name: str) -> str:
    """How to measure: `compiled`, `run` on a GPU, or `auto`. Raises UsageError for another word."""
    if text not in METHODS:
        raise UsageError(f"{name} {text!r} is not one of {', '.join(METHODS)}")
    return text


def read_flags(text: str, name: str) -> str:
    """XLA flags: `container`, `default`, a file of flags, or the flags themselves. Raises UsageError."""
    from pytest_af3mem.records import flags

    is_file = False
    if text not in (flags.CONTAINER, flags.DEFAULT) and "=" not in text:
        with contextlib.suppress(OSError):  # a list of flags may be too long for a path
            is_file = Path(text).is_file()
    try:
        return flags.read(Path(text).read_text() if is_file else text, name)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} {text!r} cannot be read: {error}") from error


def _target(text: str, name: str) -> str:
    return gpus.find(text).name


def _tolerance(text: str, name: str) -> Size:
    from pytest_af3mem.gpus.size import read_tolerance

    return read_tolerance(text, name)


def _buckets(text: str, name: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    sizes = [int(part) for part in parts if is_whole_number(part)]
    if len(sizes) != len(parts) or 0 in sizes or sizes != sorted(set(sizes)):
        raise UsageError(f"{name} {text!r} must be increasing whole numbers of tokens, like 256,512,1024")
    return tuple(sizes)


def _interpreter(text: str, name: str) -> str:
    found = shutil.which(text)
    if found is None:
        rule = "is not a program that can be run: give the path of a Python that holds AlphaFold 3"
        raise UsageError(f"{name} {text!r} {rule}")
    return str(Path.cwd() / found)  # not resolved: a virtual environment's interpreter is a link


def _folder(text: str, name: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"{name} {text!r} is no folder: {error}") from error


def _source_tree(text: str, name: str) -> Path:
    folder = _folder(text, name)
    if not folder.is_dir():
        raise UsageError(f"{name} {text!r} is not a folder: give the one that holds the model's package")
    inside = folder / "src"
    return inside if (inside / "alphafold3").is_dir() and not (folder / "alphafold3").is_dir() else folder


def _page(text: str, name: str) -> Path:
    path = _report(text, name)
    for module in ("jinja2", "plotly"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f'{name} {text!r} needs {module}: pip install "pytest-af3mem[html]"')
    return path


def _report(text: str, name: str) -> Path:
    try:
        path = _file(text, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UsageError(f"{name} {text!r} cannot be written ({error.strerror}): choose another place") from error
    return path


def _file(text: str, name: str) -> Path:
    path = Path(text)
    if path.is_dir():
        raise UsageError(f"{name} {text!r} is a folder: give the name of a file")
    return path


def _option(default: Any, help: str, metavar: str = "", read: Callable[[str, str], Any] = lambda text, name: text) -> Any:
    """A field of `Settings`, with what its `Option` says; without a `metavar` it is a flag."""
    about = {"help": help, "metavar": metavar, "read": read if metavar else is_true}
    return field(default_factory=default, metadata=about) if callable(default) else field(default=default, metadata=about)


@dataclass(frozen=True)
class Settings:
    """How this session measures. Between `read` and `resolve_auto` the method and the target may be `auto`."""

    method: str = _option(
        "compiled",
        "how to measure: compiled needs no GPU; run reads a real one; auto runs where the target is visible (default: auto)",
        "{auto,compiled,run}",
        read_method,
    )
    target: str = _option(
        DEFAULT_TARGET,
        f"GPU or MIG slice, such as a100-40gb, or the .txtpb file of one (default: the visible GPU, else {DEFAULT_TARGET})",
        "NAME",
        _target,
    )
    model: str = _option("alphafold3", "alphafold3, or package.module:object for your own (default: alphafold3)", "NAME")
    python: str = _option(sys.executable, "interpreter that holds the model (default: this one)", "PATH", _interpreter)
    path: Path | None = _option(None, "source tree of the model, to measure it instead of the installed one", "DIR", _source_tree)
    flags: str | None = _option(
        None,
        "XLA flags: container (AlphaFold 3's, the default), default (JAX's own), flags, or a file of flags",
        "FLAGS",
        read_flags,
    )
    buckets: tuple[int, ...] | None = _option(
        None, "padding buckets in tokens, as run_alphafold.py's --buckets (default: the model's)", "N,N,...", _buckets
    )
    markdown: Path | None = _option(
        None, "write a summary as Markdown to this file; it also goes to $GITHUB_STEP_SUMMARY", "FILE", _report
    )
    html: Path | None = _option(None, "write a page with plots to this file; needs pytest-af3mem[html]", "FILE", _page)
    json: Path | None = _option(None, "write all measurements and verdicts to this file", "FILE", _report)
    all_holders: bool = _option(False, "list all holders of each peak in the JSON report (default: the ten largest)")
    baseline: Path | None = _option(None, "committed file of accepted peaks, for tests marked af3_baseline", "FILE", _file)
    update_baseline: bool = _option(False, "write what tests marked af3_baseline measure into that file")
    new_baseline: Path | None = _option(
        None,
        "write the baseline that this run would accept, if it differs (default: next to the reports)",
        "FILE",
        _report,
    )
    tolerance: Size | None = _option(
        None, "growth over the baseline that passes (default: 0 compiled, 1 %% run)", "SIZE", _tolerance
    )
    tolerance_below: Size | None = _option(
        None, "also fail a test that needs less than the baseline by more than this (default: off)", "SIZE", _tolerance
    )
    against: str | None = _option(
        None, "compare tests marked af3_baseline with this, which is measured too: see af3mem compare", "WHAT"
    )
    workers: int | None = _option(None, "measurements at once (default: as many as cores and memory allow)", "N", whole_number)
    timeout: int = _option(900, "seconds that one measurement may take (default: 900)", "SECONDS", whole_number)
    cache_dir: Path = _option(
        default_folder, "folder for results and the chemical dictionary (default: ~/.cache/pytest-af3mem)", "DIR", _folder
    )
    no_cache: bool = _option(False, "measure everything again, and keep nothing")
    launch: bool = _option(
        False, "compile to the end, and compare each kernel's shared memory with the target's limit; takes twice as long"
    )
    full_run: bool = _option(False, "with run: all recycles and diffusion steps, which take longer and do not change the peak")

    @property
    def folder(self) -> Path:
        """Where files of a session go: next to its reports, else into the cache."""
        reports = (path.parent for path in (self.json, self.html, self.markdown) if path)
        return next(reports, self.cache_dir)

    @property
    def new_baseline_file(self) -> Path | None:
        """Where the baseline goes that a run would accept, by default next to the first report that is a file."""
        if self.new_baseline or not self.baseline:
            return self.new_baseline
        files = (path for path in (self.json, self.html, self.markdown) if path and (path.is_file() or not path.exists()))
        return next((path.with_name(f"{path.stem}-new-baseline.json") for path in files), None)

    @classmethod
    def read(
        cls, command_line: Mapping[str, Any], ini: Mapping[str, Any] | None = None, *, flag: Callable[[Option], str] | None = None
    ) -> Settings:
        """The first of command line, environment and ini that is set; a flag is set when true. Raises UsageError.

        Method and target are `auto` where none says them (see `resolve_auto`).
        `flag` is how the command line spells an option, for errors: by default as pytest does.
        """
        values: dict[str, Any] = {}
        for option in OPTIONS:
            stated = (
                (command_line.get(option.name), flag(option) if flag else option.flag),
                (os.environ.get(option.variable), option.variable),
                ((ini or {}).get(option.name), f"af3_{option.name}"),
            )
            for value, name in stated:
                if value:
                    values[option.name] = _read(option, str(value), name)
                    break
        found = cls(**{"method": AUTO, "target": AUTO, **values})
        found.check_apart({})
        return found

    def check_apart(self, others: Mapping[str, Path]) -> None:
        """Raises UsageError where two of the files that are written, or the baseline, are one; `others` by their option."""
        named = {f"--af3-{name}": getattr(self, name) for name in ("baseline", "json", "markdown", "html")}
        named |= {"--af3-new-baseline": self.new_baseline_file, **others}
        known: dict[Path, str] = {}
        for name, path in named.items():
            if path in (None, Path("-")) or (path.exists() and not path.is_file()):  # standard output, or such as /dev/null
                continue
            other = known.setdefault(path.resolve(), name)
            if other != name:
                raise UsageError(f"{other} and {name} name the same file {str(path)!r}: give each its own")


def _read(option: Option, text: str, name: str) -> Any:
    if "\0" in text:
        raise UsageError(f"{name} {text!r} has a zero byte in it: leave that out")
    try:
        return option.read(text, name)
    except OSError as error:  # of a text that is too long for a path
        raise UsageError(f"{name} {text[:80]!r} cannot be looked for: {error.strerror}") from error


OPTIONS = tuple(Option(one.name, **one.metadata) for one in fields(Settings))


def resolve_auto(settings: Settings) -> Settings:
    """The settings on this machine: where no GPU is visible `auto` compiles; the first that is visible is the default target."""
    from pytest_af3mem.gpus import local

    visible = local.targets(os.environ) if settings.method != "compiled" else []
    default = visible[0] if visible else DEFAULT_TARGET
    return replace(
        settings,
        method="compiled" if settings.method == AUTO and not visible else settings.method,
        target=default if settings.target == AUTO else settings.target,
    )
