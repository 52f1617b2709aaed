"""What the AlphaFold 3 that an import would find says of itself, read in its files: nothing of it is imported here."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "alphafold3"


# `--buckets` of run_alphafold.py, which is a script and not in the package: v3.0.0 to v3.0.3, and from v3.0.4 on
# (google-deepmind/alphafold3, commit 29596b9).
_BUCKETS_3_0_0 = (256, 512, 768, 1024, 1280, 1536, 2048, 2560, 3072, 3584, 4096, 4608, 5120)
NEWEST_BUCKETS = tuple(sorted({128, 384, *_BUCKETS_3_0_0}))


def root() -> Path | None:
    """Folder of the `alphafold3` package that an import would find."""
    spec = importlib.util.find_spec(NAME)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def distribution() -> importlib.metadata.Distribution | None:
    """The installed distribution that holds an `alphafold3` package."""
    return next((found for name in ("alphafold3-colabfold", NAME) for found in importlib.metadata.distributions(name=name)), None)


def is_installed(root: Path) -> bool:
    """Whether `root` belongs to the installed distribution; else it is a source tree put before it on the path."""
    found = distribution()
    return found is not None and Path(str(found.locate_file(NAME))).resolve() == root.resolve()


def version(root: Path) -> str:
    file = root / "version.py"
    match = re.search(r"__version__ = '([^']+)'", file.read_text()) if file.exists() else None
    return match[1] if match else "unknown"


def buckets() -> tuple[int, ...]:
    """The padding buckets of the package that an import would find; the newest where there is none."""
    found = root()
    if found is None:
        return NEWEST_BUCKETS
    usual = _BUCKETS_3_0_0 if version(found) in ("3.0.0", "3.0.1", "3.0.2", "3.0.3") else NEWEST_BUCKETS
    return _stated_buckets(found) or usual


def _stated_buckets(root: Path) -> tuple[int, ...] | None:
    """The default of `--buckets`, where the source tree has its run_alphafold.py next to it."""
    scripts = (folder / "run_alphafold.py" for folder in (root.parent, root.parent.parent))
    for node in (node for script in scripts if script.exists() for node in ast.walk(ast.parse(script.read_text()))):
        if isinstance(node, ast.Call) and node.args and getattr(node.args[0], "value", None) == "buckets":
            defaults = node.args[1:2] or [keyword.value for keyword in node.keywords if keyword.arg == "default"]
            if defaults:
                return tuple(sorted(int(size) for size in ast.literal_eval(defaults[0])))
    return None


def letters(root: Path) -> Mapping[str, str]:
    """CCD code -> the letter that the package has for it (`residue_names.letters_three_to_one`)."""
    return _constant(root / "constants" / "residue_names.py", "CCD_NAME_TO_ONE_LETTER") or {}


def family() -> tuple[str, ...]:
    """The models that the installed package runs, `alphafold3` first: many in ColabFold's wheel."""
    found = root()
    return tuple(dict.fromkeys((NAME, *(models(found, "MODELS") + models(found, "AF2_MODELS") if found else ()))))


def models(root: Path, name: str) -> tuple[str, ...]:
    """A tuple of names in the package's model_config.py; empty where there is none, as upstream."""
    return tuple(_constant(root / "model" / "model_config.py", name) or ())


def _constant(file: Path, name: str) -> Any:
    """The literal that a module assigns to `name`; None where there is none, or no such file."""
    for node in ast.parse(file.read_text()).body if file.exists() else ():
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if getattr(target, "id", None) == name:
                return ast.literal_eval(node.value)
    return None
