"""What is published: built twice alike, and with all that it needs and nothing else. `tox -e package` has what this takes."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pytest_af3mem"
VERSION = re.search(r'^__version__ = "(.+)"$', (PACKAGE / "__init__.py").read_text(), re.MULTILINE)[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".hypothesis", ".tox", ".venv", ".*_cache", "__pycache__", "build", "dist")


def build(sources, folder):
    """The source distribution, and the wheel that is built of that."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(sources)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"pytest_af3mem-{VERSION}.tar.gz", folder / f"pytest_af3mem-{VERSION}-py3-none-any.whl"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(built[1]) as archive:
        yield archive


def test_a_copy_elsewhere_at_another_time_gives_the_same_bytes(built, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    for first, second in zip(built, build(copy, tmp_path / "dist"), strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_the_wheel_has_the_package_and_what_it_reads(wheel):
    names = set(wheel.namelist())
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    read = ("report.schema.json", "page.html.jinja", "timeline.html.jinja", "timeline.js")
    others = {"pytest_af3mem/py.typed", *(f"pytest_af3mem/reports/{name}" for name in read)}
    assert names >= sources | others
    records = {name for name in names if name.startswith(("pytest_af3mem/answers/", "pytest_af3mem/calibrations/"))}
    about = f"pytest_af3mem-{VERSION}.dist-info/"
    assert {name for name in names - sources - others - records if not name.startswith(about)} == set()
    assert {f"{about}{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")} <= names


def test_the_wheel_is_small(built, wheel):
    """It has text and tables of answers; what is large, as plotly.js or the dictionary, is of other packages."""
    tables = sum(name.startswith("pytest_af3mem/answers/") for name in wheel.namelist())
    assert built[1].stat().st_size < 400_000 + 80_000 * tables


def test_the_page_of_a_package_index_has_no_link_that_leads_nowhere(wheel):
    """Nor a picture: an index shows the README alone."""
    page = wheel.read(f"pytest_af3mem-{VERSION}.dist-info/METADATA").decode().partition("\n\n")[2]
    assert page.startswith("# pytest-af3mem\n")
    assert re.findall(r"\]\((?!https?:)[^)]*\)", page) == []
    assert "The first hour (`docs/start.md`)" in page
    assert "[pytest-memray](https://pytest-memray.readthedocs.io)" in page


def test_the_doors_are_in_the_wheel(wheel):
    doors = wheel.read(f"pytest_af3mem-{VERSION}.dist-info/entry_points.txt").decode()
    assert "af3mem = pytest_af3mem.commands.cli:main" in doors
    assert "[pytest11]\naf3mem = pytest_af3mem.plugin.hooks" in doors


def test_the_sources_have_the_tests_and_the_docs(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "tox.ini", "docs/truth.md", "tests/unit/test_peak.py"} <= names
    assert not any(name.startswith((".ci", ".git/", "dist")) or "__pycache__" in name for name in names)


def test_the_citation_is_of_this_version():
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()
