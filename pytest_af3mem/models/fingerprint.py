"""What is installed, said so precisely that an edited line makes a difference."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import SetupError

_OURS = "pytest_af3mem"
OWN = tuple(f"{_OURS}.{room}" for room in ("errors", "gpus", "inputs", "models", "records", "storage", "worker"))
"""What of this project a worker runs, and so may decide a number: no more can be imported there (import-linter's contract)."""


# The last two are optional, and give newer versions of tokamax their Triton kernels.
_DISTRIBUTIONS = ("jax", "jaxlib", "tokamax", "dm-haiku", "numpy", "rdkit", "biotite", "triton", "jax-triton")
_CUDA_PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin")
_VARIABLES = ("AF3_", "JAX_", "TOKAMAX_", "XLA_")  # what models and compilers may read: all of them make another measurement


# Variables that reports and baselines name, for they are known to move bytes: precision and the choice of kernels change the
# program, flags and the allocator change the plan. Others may hold a path of this machine, or a secret: of these only numbers and
# switches are named.
_NAMED = """JAX_DEFAULT_MATMUL_PRECISION JAX_DEFAULT_PRNG_IMPL JAX_NUMPY_DTYPE_PROMOTION JAX_PLATFORMS
    XLA_FLAGS XLA_PYTHON_CLIENT_ALLOCATOR""".split()
_HARMLESS = re.compile(r"[+-]?[0-9]{0,12}(\.[0-9]{0,12})?|true|false|on|off|yes|no", re.IGNORECASE)


# What does not decide a number: what Python, version control, editors and tools for tests and types leave among sources.
_NO_SOURCES = (
    "__pycache__ .git .hg .jj .svn .hypothesis .ipynb_checkpoints .mypy_cache .nox .pytest_cache .ruff_cache .tox".split()
)
_NO_SOURCE = (".pyi", ".swp", "~")
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\w[\w.]*)[ \t]+import|import[ \t]+([\w., \t]+))", re.MULTILINE)
_LARGE = 16 * 2**20  # bytes; such files, as the dictionary of AlphaFold 3's `build_data`, are known by size and date


class Sources:
    """The files of some packages: all but caches. One package that is not installed counts as empty."""

    def __init__(self, packages: Iterable[str]):
        self._packages = tuple(dict.fromkeys(packages))
        self._stamp = self._stamped()
        self.digest = digest(self._packages)

    def were_edited(self) -> bool:
        """Whether they differ from what `digest` was made of, which takes milliseconds where they do not."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        if digest(self._packages) != self.digest:
            return True
        self._stamp = stamp
        return False

    def _stamped(self) -> tuple[tuple[str, int, int, int], ...]:
        """The time of a change of a file, unlike that of its contents, cannot be set back."""
        return tuple(
            (str(path), status.st_ino, status.st_size, status.st_ctime_ns)
            for package in self._packages
            for _, path in _files(package)
            if (status := path.stat())
        )


def digest(packages: Iterable[str]) -> str:
    """`sha256:...` over the files of these packages; one that is not installed counts as empty."""
    total = hashlib.sha256()
    for package in packages:
        for root, path in _files(package):
            status = path.stat()
            total.update(os.fsencode(f"{package}/{path.relative_to(root)} {status.st_size}\n"))
            total.update(str(status.st_mtime_ns).encode() if status.st_size > _LARGE else path.read_bytes())
    return f"sha256:{total.hexdigest()}"


def modules(model: object) -> list[str]:
    """The modules or packages that a model's class and those that it inherits from are made in, but Python's and our own."""
    names = dict.fromkeys(kind.__module__.partition(".")[0] for kind in type(model).__mro__)
    return [name for name in names if name not in sys.stdlib_module_names and name != _OURS]


def check_place(folder: Path, packages: Sequence[str]) -> None:
    """Raises SetupError where none of these packages would be imported from `folder`: what is installed would be measured."""
    inside = folder.resolve()
    if any(Path(place).resolve().parent.is_relative_to(inside) for place in places(packages)):
        return
    package = packages[0] if packages else "of the model"
    files = f"{package}/__init__.py", f"{package}.py"
    nearby = (place for place in (*inside.parents[:3], inside / "src") if any((place / file).is_file() for file in files))
    hint = next((f", as {place} does" for place in nearby), "")
    raise SetupError(
        f"{folder} holds no package {package!r}, and what is installed was not asked for: give the folder that does{hint}"
    )


def ignore_bytecode(path: str | None) -> None:
    """From now on, modules below `path`, and all others that are not installed ones or Python's, are compiled from their sources.

    Python takes bytecode for current if the source has its size and its second, which two edits of a source tree may have both,
    as files that are copied with their times do. What is installed is not edited so, and to compile all of JAX takes seconds.
    """
    current = {f"{place}{os.sep}": True for place in _installed_places()}
    if path:  # which may lie in one of those, or hold a virtual environment
        current[f"{os.path.realpath(path)}{os.sep}"] = False
    usual = SourceFileLoader.path_stats

    def path_stats(loader: SourceFileLoader, source: Any) -> Mapping[str, Any]:
        place = os.path.realpath(source)
        if current.get(max((one for one in current if place.startswith(one)), key=len, default="")):
            return usual(loader, source)
        raise OSError(f"no bytecode is read or written for {place}")  # which the loader takes for an answer

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]


def is_installed(path: Path) -> bool:
    """Whether a file or folder is in a place of installed packages, or of Python's own."""
    return any(Path(os.path.realpath(path)).is_relative_to(place) for place in _installed_places())


def all_installed() -> list[str]:
    """Name and version of each installed package, as their metadata's folders are called: `jax-0.10.2.dist-info`."""
    return sorted(found.name for place in map(Path, sys.path) for found in place.glob("*.dist-info"))


def imported(package: str) -> set[str]:
    """The packages that statements in the Python sources of this one import, wherever these stand."""
    texts = (path.read_text(errors="replace") for _, path in _files(package) if path.suffix == ".py")
    statements = (found[1] or found[2] for text in texts for found in _IMPORT.finditer(text))
    return {name.strip().partition(" ")[0].partition(".")[0] for names in statements for name in names.split(",")} - {""}


def _installed_places() -> set[str]:
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return set(map(os.path.realpath, places | {*site.getsitepackages(), site.getusersitepackages()}))


def _spec(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):  # of the package around it; of a module without one
        return None


def _files(package: str) -> Iterator[tuple[Path, Path]]:
    spec = _spec(package)
    if spec and spec.submodule_search_locations is None and Path(spec.origin or "").is_file():  # built into Python otherwise
        yield Path(spec.origin or "").parent, Path(spec.origin or "")
    seen: set[Path] = set()  # linked folders may lead back to where they are
    for root in map(Path, (spec and spec.submodule_search_locations) or ()):
        for folder, subfolders, names in os.walk(root, followlinks=True):
            real = Path(folder).resolve()
            subfolders[:] = [] if real in seen else sorted(name for name in subfolders if name not in _NO_SOURCES)
            if real not in seen:
                paths = (Path(folder, name) for name in sorted(names))
                yield from ((root, path) for path in paths if not path.name.endswith(_NO_SOURCE) and path.is_file())
            seen.add(real)


def places(packages: Iterable[str]) -> list[str]:
    """Where these packages are: folders, or the file of a module; those that are not installed are left out."""
    specs = filter(None, map(_spec, packages))
    return [place for spec in specs for place in spec.submodule_search_locations or filter(None, [spec.origin])]


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def cuda_plugin() -> str | None:
    """Name and version of JAX's CUDA plugin, which compiles for GPUs; None where JAX has none."""
    return next((f"{name} {found}" for name in _CUDA_PLUGINS if (found := installed(name))), None)


def software() -> dict[str, str]:
    """Versions, and environment variables that models and compilers read, of this process: what may be shown of them."""
    named = _variables(os.environ)
    variables = [f"{name}={without_paths(value)}" for name, value in named if name in _NAMED or _HARMLESS.fullmatch(value)]
    return {
        "python": platform.python_version(),
        **{name: text for name in _DISTRIBUTIONS if (text := installed(name))},
        "cuda_plugin": cuda_plugin() or "",
        "environment": " ".join(variables),
    }


def environment(variables: Mapping[str, str] | None = None, beside: str = "") -> str:
    """A digest of all environment variables that models and compilers read, whatever they hold, and of what is `beside` them.

    By default this process's.
    """
    found = _variables(os.environ if variables is None else variables)
    text = "\n".join([*(f"{name}={value}" for name, value in found), *filter(None, [beside])])
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def without_paths(flags: str) -> str:
    """Flags whose value is a path of this machine by their name alone: `--xla_dump_to=/home/me` is `--xla_dump_to=...`."""
    return " ".join(f"{word.partition('=')[0]}=..." if "/" in word else word for word in flags.split())


def _variables(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in variables.items() if name.startswith(_VARIABLES))
