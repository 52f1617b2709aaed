import importlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import pytest

from pytest_af3mem.models import fingerprint
from pytest_af3mem.models.fingerprint import digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path, which is never imported."""
    folder = tmp_path / "network_of_mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "inner" / "model.py").write_text("LAYERS = 48\n")
    (folder / "inner" / "fast.so").write_bytes(b"\x7fELF")
    (folder / "inner" / "data.pickle").write_bytes(b"")
    (tmp_path / "module_of_mine.py").write_text("LAYERS = 48\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize(
    "edit",
    [
        lambda package: (package / "inner" / "model.py").write_text("LAYERS = 49\n"),
        lambda package: (package / "inner" / "fast.so").write_bytes(b"\x7fELg"),
        lambda package: (package / "inner" / "new.py").write_text(""),
        lambda package: (package / "inner" / "model.py").unlink(),
        lambda package: (package / "inner").rename(package / "outer"),
        lambda package: (package / "inner" / "data.pickle").write_bytes(b"."),
        lambda package: package.with_name("module_of_mine.py").write_text("LAYERS = 49\n"),
    ],
)
def test_an_edit_changes_the_digest(package, edit):
    before = digest(["network_of_mine", "module_of_mine"])
    edit(package)
    assert digest(["network_of_mine", "module_of_mine"]) != before


def test_the_place_the_dates_and_what_is_no_source_do_not(package, tmp_path, monkeypatch):
    before = digest(["network_of_mine"])
    for name in ("__pycache__/model.pyc", "__pycache__/model.py", "inner/model.py~"):
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text("new")
    os.utime(package / "inner" / "model.py", (1, 1))
    (tmp_path / "elsewhere").mkdir()
    package.rename(tmp_path / "elsewhere" / package.name)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    importlib.invalidate_caches()
    assert digest(["network_of_mine"]) == before
    assert before.startswith("sha256:")


def test_where_packages_are(package, tmp_path):
    names = ("network_of_mine", "not_there.inner", "module_of_mine")
    assert fingerprint.places(names) == [str(package), str(tmp_path / "module_of_mine.py")]


def test_a_missing_package_counts_as_empty(package):
    assert digest(["no_such_package", "no_such_package.inner"]) == digest([])
    assert digest(["network_of_mine", "no_such_package"]) == digest(["network_of_mine"]) != digest([])


@pytest.mark.parametrize(
    ("distributions", "found"),
    [
        ({}, None),
        ({"jax-cuda12-plugin": "0.10.2"}, "jax-cuda12-plugin 0.10.2"),
        ({"jax-cuda12-plugin": "0.10.2", "jax-cuda13-plugin": "0.11"}, "jax-cuda13-plugin 0.11"),
    ],
)
def test_cuda_plugin(monkeypatch, distributions, found):
    def only_these(name):
        if name not in distributions:
            raise PackageNotFoundError(name)
        return distributions[name]

    monkeypatch.setattr(fingerprint, "version", only_these)
    assert fingerprint.cuda_plugin() == found
    assert fingerprint.software()["cuda_plugin"] == (found or "")
    assert "jax" not in fingerprint.software()


def test_software_says_what_models_and_compilers_read(monkeypatch):
    for name in os.environ:
        if name.startswith(("AF3_", "JAX_", "TOKAMAX_", "XLA_")):
            monkeypatch.delenv(name)
    for name in ("XLA_X", "TOKAMAX_X", "JAX_X", "AF3_X", "MY_XLA_X"):
        monkeypatch.setenv(name, "5")
    found = fingerprint.software()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == version("numpy")
    assert found["environment"] == "AF3_X=5 JAX_X=5 TOKAMAX_X=5 XLA_X=5"
