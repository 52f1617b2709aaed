"""Interpreters with some packages in other versions than one that is there: a virtual environment for each, in the cache folder.

It holds these packages, and of what they require what is not there, or too old or new for them. It sees all others where they
lie, so that little else differs and little is downloaded. This is the only thing in the cache folder that is run, so a folder
that others may write is refused, also one that is trusted.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from pytest_af3mem.errors import SetupError, shown
from pytest_af3mem.planning.ask import Show
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.cache import digest
from pytest_af3mem.storage.files import foreign, in_use, locked, prepared
from pytest_af3mem.storage.housekeeping import ENVIRONMENTS

_SECONDS = 1800
_MADE = "made.json"  # written last: an environment without it is half of one
_FAMILIES = {
    "jax": ("jaxlib", *(f"jax-cuda{number}-{part}" for number in (12, 13) for part in ("pjrt", "plugin"))),
}
"""Packages that are released with another under the same version, and only work with that."""
_DESCRIBE = """
import importlib.metadata, json, platform, site, sys
sys.path = [entry for entry in sys.path if entry]
known = {}
for one in importlib.metadata.distributions():
    if one.metadata["Name"]:
        known.setdefault(one.metadata["Name"], one.version)
folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
print(json.dumps({"version": platform.python_version(), "folders": folders, "installed": known}))
"""


@dataclass(frozen=True)
class Described:
    """What an interpreter has: its version, its folders of packages, and the version of each package by its normal name."""

    version: str
    folders: tuple[str, ...]
    installed: Mapping[str, str]


@functools.cache
def described(python: str) -> Described:
    """Raises SetupError where it does not say that."""
    from packaging.utils import canonicalize_name

    found = json.loads(_run([python, "-c", _DESCRIBE], f"--af3-python {python} does not say what it holds"))
    installed = {str(canonicalize_name(name)): version for name, version in found["installed"].items()}
    return Described(found["version"], tuple(found["folders"]), installed)


def moved_along(python: str, wanted: Mapping[str, str]) -> list[str]:
    """Requirements as pip takes them of packages and their versions, such as `{"jax": "==0.10.1"}`; those that `python` has and
    that only work with the same version of one of them move along."""
    from packaging.utils import canonicalize_name

    known = described(python).installed
    named = {str(canonicalize_name(name)): version for name, version in wanted.items()}
    along = {one: version for name, version in named.items() for one in _FAMILIES.get(name, ()) if one in known}
    return sorted(f"{name}{version}" for name, version in {**along, **named}.items())


def versions(package: str, python: str) -> list[str]:
    """The released versions of a package that pip finds for an interpreter. Raises SetupError."""
    way_out = f"give versions as a list, {package}==GOOD,...,BAD"
    command = [*_pip(python), "index", "versions", "--disable-pip-version-check", package]
    said = re.search(
        r"^Available versions: (.*)$", _run(command, f"{way_out}: pip does not list those of {package}"), re.MULTILINE
    )
    if not said:
        raise SetupError(f"pip does not list the versions of {package}: {way_out}")
    return said[1].split(", ")


def python_with(settings: Settings, requirements: Sequence[str], show: Show) -> str:
    """The interpreter that differs from `settings.python` in these packages, made where there is none. Raises SetupError."""
    if not _differs(settings.python, requirements):
        return settings.python
    base = described(settings.python)
    cache = prepared(settings.cache_dir)
    if owner := foreign(cache):
        rule = "environments in it are run: choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR"
        raise SetupError(f"the cache folder {cache} {owner}, and {rule}")
    identity = {"python": settings.python, "version": base.version, "folders": base.folders, "requirements": sorted(requirements)}
    place = cache / ENVIRONMENTS / digest(identity)
    waiting = functools.partial(show, "another session makes this environment")
    try:
        with closing(in_use(cache)):
            place.parent.mkdir(exist_ok=True)
            with locked(place.with_suffix(".lock"), waiting):
                if not (place / _MADE).exists():
                    shutil.rmtree(place, ignore_errors=True)
                    _make(place, settings.python, requirements, base.folders, show)
                    (place / _MADE).write_text(json.dumps({**identity, "brought": _brought(place, requirements)}))
                os.utime(place)  # the time of its last use, by which `housekeeping` goes
    except OSError as error:
        raise SetupError(f"the environment {place} cannot be made: {error.strerror or error}") from error
    python = str(place / "bin" / "python")
    if differs := _differs(python, requirements):
        raise SetupError(f"{python} has {differs}: look at $PYTHONPATH")
    return python


def brought(python: str) -> tuple[str, ...]:
    """What an environment that `python_with` made has besides what was asked for, since that requires it: `flax 0.12.4`."""
    with contextlib.suppress(OSError):
        return tuple(json.loads((Path(python).parents[1] / _MADE).read_text()).get("brought", ()))
    return ()


def _differs(python: str, requirements: Sequence[str]) -> str:
    """What an interpreter has in the place of one of the requirements; empty where it has all of them."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for one in map(Requirement, requirements):
        has = described(python).installed.get(canonicalize_name(one.name))
        if has is None or not one.specifier.contains(has, prereleases=True):
            return f"{one.name} {has or 'not at all'} and not {one}"
    return ""


def _make(place: Path, python: str, requirements: Sequence[str], folders: Iterable[str], show: Show) -> None:
    names = ", ".join(requirements)
    show(f"installing {names}")
    _run([python, "-m", "venv", "--without-pip", str(place)], f"no environment can be made with {python}")
    lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in folders)
    (_own(place) / "zzz_af3mem_others.pth").write_text(lines)
    # pip and not uv's own, which does not see the other packages, and would download all that is required.
    pip = [*_pip(str(place / "bin" / "python")), "install", "--disable-pip-version-check", "--no-input"]
    _run([*pip, *requirements], f"{names} cannot be installed")


def _own(place: Path) -> Path:
    """The folder of an environment's own packages."""
    (own,) = (place / "lib").glob("python*/site-packages")
    return own


def _brought(place: Path, requirements: Sequence[str]) -> list[str]:
    """The packages that an environment has of its own and that were not asked for, as `flax 0.12.4`."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = {canonicalize_name(Requirement(one).name) for one in requirements}
    own = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions(path=[str(_own(place))])}
    return sorted(f"{name} {version}" for name, version in own.items() if name not in asked)


def _pip(python: str) -> list[str]:
    """This interpreter's pip, or where it has none, as in an environment that uv made, uv's: it works for another interpreter."""
    uv = None if importlib.util.find_spec("pip") else shutil.which("uv")
    return [*([uv, "tool", "run", "pip"] if uv else [sys.executable, "-m", "pip"]), "--python", python]


def _run(command: Sequence[str], failure: str) -> str:
    """What a command writes. Raises SetupError, with the last line that it says of what it failed for."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS
        )
    except OSError as error:
        raise SetupError(f"{failure}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{failure}: it took longer than {_SECONDS} s") from error
    if done.returncode:
        noise = ("[notice]", "WARNING", "ERROR: ResolutionImpossible")
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith(noise)]
        raise SetupError(f"{failure}: {shown(lines[-1]) if lines else f'exit status {done.returncode}'}")
    return done.stdout
