"""Environments that differ in some packages: versions of one to bisect, the pins of a side to compare. Nothing is downloaded."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.planning import bisect, environments, pins, sides, versions
from pytest_af3mem.planning.compare import Comparison
from pytest_af3mem.reports import compare as report
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage import housekeeping
from pytest_af3mem.storage.files import prepared

JAX = ("jax", "jaxlib", "jax-cuda12-pjrt", "jax-cuda12-plugin")


def quiet(text):
    pass


def wheel(folder, name, version, *requires):
    """One with a module that says its version."""
    about = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {one}" for one in requires), ""]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{about}/METADATA", "\n".join(metadata))
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """All that pip finds: `scale` in four versions, and `scaled`, which requires one of them."""
    for version in ("1.0", "2.0", "3.0", "3.1rc1"):
        wheel(tmp_path, "scale", version)
    wheel(tmp_path, "scaled", "1.0", "scale<3", "hypothesis")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


@pytest.fixture
def settings(tmp_path):
    return Settings(cache_dir=tmp_path / "cache")


def says(python, code):
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_an_environment_has_its_own_version_and_the_other_packages_of_this_one(index, settings, monkeypatch):
    python = environments.python_with(settings, ["scale==2.0"], quiet)
    assert says(python, "import scale; print(scale.VERSION)") == "2.0"
    here = says(sys.executable, "import hypothesis; print(hypothesis.__file__)")
    assert says(python, "import hypothesis; print(hypothesis.__file__)") == here
    assert says(python, "from importlib.metadata import version; print(version('scale'))") == "2.0"
    monkeypatch.setattr(environments, "_make", None)  # it is made once
    assert environments.python_with(settings, ["scale==2.0"], quiet) == python
    assert "2.0" in environments.described(python).installed["scale"]


def test_where_nothing_differs_none_is_made(settings, has):
    has(scale="2.0")
    assert environments.python_with(settings, ["scale==2.0"], quiet) == settings.python
    assert not settings.cache_dir.exists()


def test_half_an_environment_is_made_anew(index, settings):
    python = Path(environments.python_with(settings, ["scale==2.0"], quiet))
    (python.parents[1] / "made.json").unlink()
    shutil.rmtree(python.parents[1] / "lib")
    assert says(environments.python_with(settings, ["scale==2.0"], quiet), "import scale; print(scale.VERSION)") == "2.0"


def test_what_cannot_be_installed_says_so_in_the_last_line_of_pip(index, settings):
    with pytest.raises(SetupError, match=r"^scale==9 cannot be installed: ERROR: No matching distribution found for scale==9$"):
        environments.python_with(settings, ["scale==9"], quiet)


def test_what_a_package_requires_comes_where_it_is_missing_and_is_said(index, settings):
    python = environments.python_with(settings, ["scaled==1.0"], quiet)
    assert says(python, "import scale; print(scale.VERSION)") == "2.0"
    assert environments.brought(python) == ("scale 2.0",)  # hypothesis is there
    assert environments.brought(sys.executable) == ()


def test_what_does_not_go_together_is_not_installed(index, settings):
    with pytest.raises(SetupError, match=r"^scale==3\.0, scaled==1\.0 cannot be installed: .*conflicting dependencies"):
        environments.python_with(settings, ["scale==3.0", "scaled==1.0"], quiet)


def test_where_there_is_no_pip_uv_runs_one(tmp_path, settings, monkeypatch):
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(environments.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"^(\S+) has scale not at all and not scale==2\.0: look at \$PYTHONPATH$") as caught:
        environments.python_with(settings, ["scale==2.0"], quiet)
    python = str(caught.value).partition(" ")[0]
    asked = f"tool run pip --python {python} install --disable-pip-version-check --no-input scale==2.0\n"
    assert (tmp_path / "asked").read_text() == asked


def test_in_a_folder_that_others_may_write_nothing_is_run(settings, monkeypatch):
    prepared(settings.cache_dir).chmod(0o777)
    monkeypatch.setenv("AF3MEM_TRUST_CACHE", "1")
    with pytest.raises(SetupError, match=r"may be written by others .*, and environments in it are run: choose another"):
        environments.python_with(settings, ["scale==2.0"], quiet)


def test_an_environment_is_part_of_the_cache_and_goes_as_its_other_files(settings):
    place = prepared(settings.cache_dir) / "environments" / ("0" * 64)
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    (place / "made.json").write_text("{}")
    os.utime(place, (0, 0))
    (entry,) = housekeeping.free(settings.cache_dir, housekeeping.Limits()).entries
    assert (entry.kind, entry.size_bytes, entry.used) == ("environments", 2, 0)
    assert housekeeping.free(settings.cache_dir, housekeeping.Limits(unused_seconds=60)).gone == [entry]
    assert not place.exists()
    assert Path(sys.executable).exists()


@pytest.fixture
def has(monkeypatch):
    """Says what every interpreter has, by keyword."""

    def put(version="3.12.1", **installed):
        known = {name.replace("_", "-"): text for name, text in installed.items()}
        monkeypatch.setattr(environments, "described", lambda python: environments.Described(version, (), known))

    return put


def test_what_is_released_with_a_package_moves_along(has):
    has(**{name.replace("-", "_"): "0.10.2" for name in JAX}, tokamax="0.0.12")
    assert environments.moved_along("python", {"JAX": "==0.9.1"}) == sorted(f"{name}==0.9.1" for name in JAX)
    assert environments.moved_along("python", {"jax": "==0.9.1", "jaxlib": "==0.9.0"})[-1] == "jaxlib==0.9.0"
    has(jax="0.10.2", jaxlib="0.10.2")
    assert environments.moved_along("python", {"jax": "==0.9.1"}) == ["jax==0.9.1", "jaxlib==0.9.1"]


@pytest.mark.parametrize(
    ("stated", "ids"),
    [
        ("jax==0.9.1,0.10.0,0.10.2", ["0.9.1", "0.10.0", "0.10.2"]),
        ("jax==0.10.2, 0.9.1", ["0.10.2", "0.9.1"]),
        ("jax==0.9.1..0.10.2", ["0.9.1", "0.10.0", "0.10.1", "0.10.2"]),
    ],
)
def test_versions_that_are_meant(monkeypatch, stated, ids):
    listed = ["0.12.0.1", "0.10.2", "0.10.1", "0.10.0", "0.9.1", "0.9.0"]
    monkeypatch.setattr(environments, "versions", lambda package, python: listed)
    found = versions.Versions(stated, Settings(), quiet)
    assert [found.good, *found.revisions] == ids
    assert (found.bad, found.revisions[ids[1]].parents) == (ids[-1], (ids[0],))


def test_pip_lists_versions(index):
    assert environments.versions("scale", sys.executable) == ["3.0", "2.0", "1.0"]
    with pytest.raises(
        SetupError, match=r"give versions as a list, other==GOOD,...,BAD: pip does not list those of other: ERROR: "
    ):
        environments.versions("other", sys.executable)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("jax", "'jax' says neither commits nor versions: give PACKAGE==GOOD..BAD or PACKAGE==GOOD,...,BAD"),
        ("jax==0.10.2", "'jax==0.10.2' is one version, 0.10.2: give"),
        ("jax==new..old", "jax==new..old: Invalid version: 'new'"),
        ("jax==0.10.2..0.9.1", "jax==0.10.2..0.9.1 goes back: to look that way, give all versions as jax==0.10.2,...,0.9.1"),
    ],
)
def test_bad_versions(stated, said):
    with pytest.raises(UsageError, match=f"^{said}"):
        versions.Versions(stated, Settings(), quiet)


def test_the_first_version_that_needs_more(has, settings, monkeypatch, a_peak, a_request, capsys):
    """`scale` 1.5 does not install; from 2.0 on the model needs a byte more."""
    has(scale="1.0")

    def python_with(settings, requirements, show):
        if requirements == ["scale==1.5"]:
            raise SetupError("scale==1.5 cannot be installed: ERROR: No matching distribution found for scale==1.5")
        return f"/{requirements[0]}/python"

    class Session:
        def __init__(self, settings):
            self.version = float(settings.python.split("/")[1].removeprefix("scale=="))
            self.pool = SimpleNamespace(notes=[], submit=lambda request: request)

        def request(self, tokens, **given):
            return a_request(tokens=tokens)

        def wait(self, request, show):
            return a_peak(total_bytes=4 + (self.version >= 2), seconds=1.0)

        def close(self):
            pass

    monkeypatch.setattr(environments, "python_with", python_with)
    monkeypatch.setattr(bisect, "Session", Session)
    arguments = ["bisect", "scale==1.0,1.5,2.0,3.0", "--tokens", "100", "--cache-dir", str(settings.cache_dir)]
    assert cli.main(arguments) == commands.OVER
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[:4]] == [
        ["GOOD", "1.0", "4", "B"],
        ["BAD", "3.0", "5", "B"],
        ["skipped", "1.5", "scale==1.5", "cannot"],
        ["over", "2.0", "5", "B"],
    ]
    assert lines[2].endswith("ERROR: No matching distribution found for scale==1.5")
    assert lines[5:8] == [
        "the first version that needs more is one of these 2; but for the last none is judged:",
        "  1.5",
        "  2.0",
    ]
    assert lines[9] == "from 1.0 to 2.0: +1 B (+25.00 %)"
    assert lines[11] == "af3mem compare /scale==1.0/python /scale==2.0/python --tokens 100 --target h100-80gb"


PYPROJECT = """
[project]
dependencies = [
    "absl-py>=2.3.1",
    "DM_Haiku==0.0.16",
    "jax==0.9.1",
    "jax[cuda12]==0.9.1; sys_platform != 'darwin'",
    "jax-mps==0.10.9; sys_platform == 'darwin'",
    "typing-extensions>=4; python_version < '3.12'",
    "triton>=3",
    "nvidia-cudnn==9",
]
"""
REQUIREMENTS = """
--extra-index-url=none
rdkit==2025.9.4 \\
    --hash=sha256:0 \\
    --hash=sha256:1
jax==0.8.0  # pyproject.toml counts
./local
"""


@pytest.fixture
def side(tmp_path, has):
    """OLD, with a layout as AlphaFold 3's."""
    (tmp_path / "tree" / "src" / "alphafold3").mkdir(parents=True)
    (tmp_path / "tree" / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "tree" / "requirements.txt").write_text(REQUIREMENTS)
    has(absl_py="2.4", dm_haiku="0.0.17", jax="0.10.2", jaxlib="0.10.2", rdkit="2025.9.1")
    return sides.read(str(tmp_path / "tree"), "OLD", Settings(), {})


def test_what_a_side_asks_for_and_does_not_have(side):
    found = pins.noted(side)
    assert dict(found.unmet) == {
        "rdkit": ("==2025.9.4", "2025.9.1"),
        "jax": ("==0.9.1", "0.10.2"),
        "dm-haiku": ("==0.0.16", "0.0.17"),
        "triton": (">=3", None),
    }
    text = report.render_text(Comparison(found, side, None, ()))
    assert text.splitlines()[2] == (
        "OLD asks for dm-haiku==0.0.16 (0.0.17), jax==0.9.1 (0.10.2), rdkit==2025.9.4 (2025.9.1), triton>=3 (not installed); "
        "it is measured with what is installed, and --with-pins measures it with its own"
    )


def test_with_its_pins_a_side_has_an_environment_of_its_own(side, monkeypatch):
    asked = []
    monkeypatch.setattr(environments, "python_with", lambda settings, wanted, show: asked.append(wanted) or "/of/its/own/python")
    found = pins.with_own(pins.noted(side), quiet)
    assert found.settings.python == "/of/its/own/python"
    assert asked == [["dm-haiku==0.0.16", "jax==0.9.1", "jaxlib==0.9.1", "rdkit==2025.9.4", "triton>=3"]]
    text = report.render_text(Comparison(found, side, None, ()))
    line = "OLD is measured in an environment of its own, with dm-haiku==0.0.16, jax==0.9.1, rdkit==2025.9.4, triton>=3"
    assert text.splitlines()[2] == line


def test_a_side_that_asks_for_nothing_else_is_as_it_was(side, tmp_path, monkeypatch):
    (tmp_path / "tree" / "pyproject.toml").write_text("[project]\ndependencies = ['absl-py']")
    (tmp_path / "tree" / "requirements.txt").unlink()
    monkeypatch.setattr(environments, "python_with", None)
    assert pins.with_own(pins.noted(side), quiet) == side


def test_a_file_that_cannot_be_read_is_refused_where_it_counts(side, tmp_path):
    (tmp_path / "tree" / "pyproject.toml").write_text("[project\n")
    assert dict(pins.noted(side).unmet) == {"rdkit": ("==2025.9.4", "2025.9.1"), "jax": ("==0.8.0", "0.10.2")}
    with pytest.raises(UsageError, match=r"pyproject\.toml' cannot be read: "):
        pins.noted(side, strict=True)
