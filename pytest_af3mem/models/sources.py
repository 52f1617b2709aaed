"""What is installed, said so precisely that an edited line makes a difference."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The last two are optional, and give newer versions of tokamax their Triton kernels.
_DISTRIBUTIONS = ("jax", "jaxlib", "tokamax", "dm-haiku", "numpy", "rdkit", "biotite", "triton", "jax-triton")
_CUDA_PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin")
_VARIABLES = ("AF3_", "JAX_", "TOKAMAX_", "XLA_")
_CODE = {".py", ".so"}
_DATA = {".pickle"}  # the dictionaries of AlphaFold 3's `build_data`: too large to read each time, so known by size and date


def digest(packages: Iterable[str]) -> str:
    """`sha256:...` over the files of these packages; one that is not installed counts as empty."""
    total = hashlib.sha256()
    for package in packages:
        for root, path in _files(package):
            status = path.stat()
            total.update(f"{package}/{path.relative_to(root)} {status.st_size}\n".encode())
            total.update(str(status.st_mtime_ns).encode() if path.suffix in _DATA else path.read_bytes())
    return f"sha256:{total.hexdigest()}"


def _spec(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of the package around it
        return None


def _files(package: str) -> Iterator[tuple[Path, Path]]:
    spec = _spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if Path(spec.origin or "").is_file():  # built into Python otherwise
            yield Path(spec.origin or "").parent, Path(spec.origin or "")
        return
    seen: set[Path] = set()  # linked folders may lead back to where they are
    for location in spec.submodule_search_locations:
        root = Path(location)
        for folder, subfolders, names in os.walk(root, followlinks=True):
            real = Path(folder).resolve()
            subfolders[:] = [] if real in seen else sorted(name for name in subfolders if name != "__pycache__")
            if real not in seen:
                paths = (Path(folder, name) for name in sorted(names))
                yield from ((root, path) for path in paths if path.suffix in _CODE | _DATA and path.is_file())
            seen.add(real)


def places(packages: Iterable[str]) -> list[str]:
    """Where these packages are: folders, or the file of a module; those that are not installed are left out."""
    found: list[str] = []
    for package in packages:
        spec = _spec(package)
        if spec is not None:
            found += spec.submodule_search_locations or filter(None, [spec.origin])
    return found


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
    """Versions, and environment variables that models and compilers read, of this process."""
    found = {name: installed(name) or "" for name in _DISTRIBUTIONS}
    variables = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(_VARIABLES))
    return {
        "python": platform.python_version(),
        **{name: text for name, text in found.items() if text},
        "cuda_plugin": cuda_plugin() or "",
        "environment": " ".join(variables),
    }
