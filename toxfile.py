"""Shows tox the interpreters that are not on the path; tox loads this file by itself.

pyenv puts a `python3.12` on the path that fails unless 3.12 is the chosen version; uv and conda put none there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tox.plugin import impl
from tox.tox_env.errors import Fail

VERSIONS = ("3.11", "3.12", "3.13")
CONDA = ("anaconda3", "mambaforge", "micromamba", "miniconda3", "miniforge3")
NEED_3_12 = ("alphafold3", "demo")
HOW_TO_GET_IT = (
    "needs Python 3.12, and none was found on the path or among those of pyenv, uv, conda, mise and asdf. Install it with "
    "`uv python install 3.12`, `pyenv install 3.12` or `apt install python3.12 python3.12-venv`; "
    "where it lies elsewhere, say so: TOX_DISCOVER=/path/to/python3.12"
)


def candidates(version: str) -> Iterator[str]:
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    home, environ = Path.home(), os.environ
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    for folder, pattern in (
        (environ.get("PYENV_ROOT") or home / ".pyenv", f"versions/{version}.*/bin"),
        (environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python", f"cpython-{version}*/bin"),
        (data / "mise/installs/python", f"{version}.*/bin"),
        (environ.get("ASDF_DATA_DIR") or home / ".asdf", f"installs/python/{version}.*/bin"),
        *((home / conda, where) for conda in CONDA for where in ("bin", "envs/*/bin")),
    ):
        yield from map(str, sorted(Path(folder).glob(f"{pattern}/python{version}"), reverse=True))


def works(python: str, version: str) -> bool:
    """Whether it starts and is what it is called: not a shim of a version that is off, a pre-release or free-threaded."""
    code = "import sys, sysconfig as s; v = sys.version_info; print(v[0], v[1], v[3], s.get_config_var('Py_GIL_DISABLED') or 0)"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return run.stdout.split() == [*version.split("."), "final", "0"]


# Those that are named by the user come first, and the one that tox runs on needs no search.
others = [version for version in VERSIONS if version != f"{sys.version_info[0]}.{sys.version_info[1]}"]
found = [next((path for path in candidates(version) if works(path, version)), None) for version in others]
os.environ["TOX_DISCOVER"] = ",".join(filter(None, (os.environ.get("TOX_DISCOVER"), *found)))


@impl
def tox_on_install(tox_env: Any, arguments: Any, section: str, of_type: str) -> None:
    """Where 3.12 is missing these environments are made with another Python, so that tox does not skip them unnoticed."""
    if tox_env.name in NEED_3_12 and tox_env.base_python.version_info[:2] != (3, 12):
        raise Fail(f"{tox_env.name} {HOW_TO_GET_IT}")
