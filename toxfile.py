"""Shows tox the interpreters that are not on the path; tox loads this file by itself.

pyenv puts a `python3.12` on the path that fails unless 3.12 is the chosen version; uv and conda put none there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tox.config.loader.memory import MemoryLoader
from tox.plugin import impl
from tox.tox_env.errors import Fail

SKIPPED_WITHOUT = {"py311": "3.11", "py312": "3.12", "py313": "3.13"}
FAILED_WITHOUT = {"alphafold3": "3.12", "demo": "3.12", "gpu": "3.12"}
MISSING = (
    "it needs Python {0}, and none was found on the path or among those of pyenv, uv and conda: install it with "
    "`uv python install {0}`, `pyenv install {0}` or `apt install python{0} python{0}-venv`, "
    "or say where it is with TOX_DISCOVER=/path/to/python{0}"
)


def candidates(version: str) -> Iterator[str]:
    home, python = Path.home(), f"python{version}"
    yield from filter(None, (*os.environ.get("TOX_DISCOVER", "").split(","), shutil.which(python)))
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    found = [*pyenv.glob(f"versions/{version}.*/bin/{python}"), *uv.glob(f"cpython-{version}*/bin/{python}")]
    for conda in ("anaconda3", "micromamba", "miniconda3", "miniforge3"):
        found += [*home.glob(f"{conda}/bin/{python}"), *home.glob(f"{conda}/envs/*/bin/{python}")]
    yield from map(str, found)


@cache
def find(version: str) -> str | None:
    """The first that starts and is what its name says: no shim of a version that is off, pre-release or free-threaded."""
    code = "import sys, sysconfig as s; v = sys.version_info; print(v[0], v[1], v[3], s.get_config_var('Py_GIL_DISABLED') or 0)"
    for python in candidates(version):
        run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if run.stdout.split() == [*version.split("."), "final", "0"]:
            return python
    return None


@impl
def tox_add_env_config(env_conf: Any, state: Any) -> None:
    version = (SKIPPED_WITHOUT | FAILED_WITHOUT).get(env_conf.name)
    if version and version != f"{sys.version_info[0]}.{sys.version_info[1]}":
        # The running one stands in for a missing one, so that tox does not skip the environment before the hook below.
        if python := find(version) or (sys.executable if env_conf.name in FAILED_WITHOUT else None):
            env_conf.loaders.insert(0, MemoryLoader(base_python=[python]))


@impl
def tox_on_install(tox_env: Any, arguments: Any, section: str, of_type: str) -> None:
    version = FAILED_WITHOUT.get(tox_env.name)
    if version and version != tox_env.py_dot_ver():
        raise Fail(MISSING.format(version))
