"""What decides the number is in the fingerprint, and what is measured is what the fingerprint is of."""

import importlib
import os
import py_compile
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pytest_af3mem.errors import SetupError
from pytest_af3mem.models import fingerprint
from pytest_af3mem.models.fingerprint import Sources, check_place, digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the name `net_with_data`, with a configuration beside its sources."""
    folder = tmp_path / "net_with_data"
    folder.mkdir()
    (folder / "__init__.py").write_text("WIDTH = 1\n")
    (folder / "config.json").write_text('{"width": 32}')
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return folder


@pytest.mark.parametrize("name", ["config.json", "weights.bin", "kernels/h100.json", "LICENSE", "legacy.pyc"])
def test_every_file_of_a_package_counts(package, name):
    before = digest([package.name])
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text("edited")
    assert digest([package.name]) != before


@pytest.mark.parametrize("name", ["__pycache__/x.pyc", ".git/HEAD", ".pytest_cache/x", "model.pyi", "model.py~"])
def test_what_tools_leave_does_not(package, name):
    before = digest([package.name])
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text("edited")
    assert digest([package.name]) == before


def test_of_a_large_file_size_and_date_count(package, monkeypatch):
    monkeypatch.setattr(fingerprint, "_LARGE", 5)
    before = digest([package.name])
    os.utime(package / "config.json", (1, 1))
    assert digest([package.name]) != before


def test_an_edit_is_noticed_whatever_its_date_says(package):
    found = Sources([package.name])
    assert not found.were_edited()
    source = package / "__init__.py"
    status = source.stat()
    source.write_text("WIDTH = 2\n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert found.were_edited()
    source.write_text("WIDTH = 1\n")
    assert not found.were_edited()


def test_a_folder_that_holds_the_package_is_known_by_where_it_would_be_imported_from(package, tmp_path):
    check_place(tmp_path, [package.name])
    check_place(tmp_path, ["not_there", package.name])
    with pytest.raises(SetupError) as caught:
        check_place(package, [package.name])
    text = "holds no package 'net_with_data', and what is installed was not asked for: give the folder that does"
    assert str(caught.value) == f"{package} {text}, as {tmp_path} does"


def test_of_this_project_counts_what_a_worker_may_import():
    """So that reports, and the answers that are shipped, make no new measurement."""
    contracts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = contracts[0]["layers"]
    below = {room.strip() for layer in layers[layers.index("worker") :] for room in layer.split("|")}
    assert {name.partition(".")[2] for name in fingerprint.OWN} == below
    assert all(digest([one]) != digest(["not_there"]) for one in fingerprint.OWN)


WITH_OLD_BYTECODE = """
import sys
from pytest_af3mem.models import fingerprint
fingerprint.ignore_bytecode(sys.argv[1] or None)
sys.path.insert(0, sys.argv[2])
import net_with_data
print(net_with_data.WIDTH)
"""


@pytest.mark.parametrize("stated", [True, False], ids=["a source tree", "a model of one's own"])
def test_bytecode_of_an_earlier_edit_is_not_run(package, stated):
    source = package / "__init__.py"
    folder = str(package.parent)
    py_compile.compile(str(source))
    status = source.stat()
    source.write_text("WIDTH = 2\n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    code = f"import sys; sys.path.insert(0, {str(Path(fingerprint.__file__).parents[2])!r})\n{WITH_OLD_BYTECODE}"
    found = subprocess.run(
        [sys.executable, "-c", code, folder if stated else "", folder], capture_output=True, text=True, check=True, cwd="/"
    )
    assert found.stdout == "2\n"


def test_a_packages_own_data_file_is_a_new_measurement(cold_project, needed_bytes):
    folder = cold_project.path / "with_data"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import analytic, pathlib\n"
        "class Model(analytic.Analytic):\n"
        "    packages = ('with_data',)\n"
        "    def forward(self, settings, capability):\n"
        "        width = int(pathlib.Path(__file__).with_name('width.txt').read_text())\n"
        "        return super().forward({'width': width}, capability)\n"
    )
    cold_project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    for width in (10, 20):
        (folder / "width.txt").write_text(str(width))
        assert cold_project.run(model="with_data:Model").ret == 0
        assert cold_project.measurements()[0]["total_bytes"] == needed_bytes(128, width)


def test_sources_that_are_edited_while_they_are_measured_are_not_judged(cold_project):
    cold_project.write(
        test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)",
        restless="""
        import pathlib
        import analytic

        class Model(analytic.Analytic):
            def forward(self, settings, capability):
                source = pathlib.Path(__file__)
                source.write_text(source.read_text() + "# edited")
                return super().forward(settings, capability)
        """,
    )
    result = cold_project.run("--junitxml=junit.xml", model="restless:Model")
    result.assert_outcomes(failed=1)
    assert "the model's sources were edited while they were measured" in cold_project.junit()["test_any"]
    assert not list(cold_project.cache.glob("peaks/*.json"))
