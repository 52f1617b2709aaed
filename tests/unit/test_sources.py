import importlib
import platform
from importlib.metadata import PackageNotFoundError

import pytest

from pytest_af3mem.models import sources
from pytest_af3mem.models.sources import digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path, which is never imported."""
    folder = tmp_path / "network_of_mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "inner" / "model.py").write_text("LAYERS = 48\n")
    (folder / "inner" / "fast.so").write_bytes(b"\x7fELF")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_digest_is_a_function_of_the_sources(package):
    assert digest(["network_of_mine"]) == digest(["network_of_mine"]) != digest([])
    assert digest(["network_of_mine"]).startswith("sha256:")


@pytest.mark.parametrize(
    "edit",
    [
        lambda package: (package / "inner" / "model.py").write_text("LAYERS = 49\n"),
        lambda package: (package / "inner" / "fast.so").write_bytes(b"\x7fELg"),
        lambda package: (package / "inner" / "new.py").write_text(""),
        lambda package: (package / "inner" / "model.py").unlink(),
        lambda package: (package / "inner").rename(package / "outer"),
    ],
)
def test_an_edit_changes_it(package, edit):
    before = digest(["network_of_mine"])
    edit(package)
    assert digest(["network_of_mine"]) != before


@pytest.mark.parametrize("name", ["__pycache__/model.pyc", "__pycache__/model.py", "inner/notes.txt", "inner/model.py~"])
def test_what_is_not_code_does_not(package, name):
    before = digest(["network_of_mine"])
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text("new")
    assert digest(["network_of_mine"]) == before


def test_the_place_does_not(package, tmp_path, monkeypatch):
    before = digest(["network_of_mine"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    package.rename(elsewhere / package.name)
    monkeypatch.syspath_prepend(elsewhere)
    importlib.invalidate_caches()
    assert digest(["network_of_mine"]) == before


def test_a_missing_package_counts_as_empty(package):
    assert digest(["no_such_package"]) == digest([])
    assert digest(["network_of_mine", "no_such_package"]) == digest(["network_of_mine"])


@pytest.mark.parametrize(
    ("distributions", "found"),
    [
        ({}, None),
        ({"jax-cuda12-plugin": "0.10.2"}, "jax-cuda12-plugin 0.10.2"),
        ({"jax-cuda12-plugin": "0.10.2", "jax-cuda13-plugin": "0.11"}, "jax-cuda13-plugin 0.11"),
    ],
)
def test_cuda_plugin(monkeypatch, distributions, found):
    def version(name):
        if name not in distributions:
            raise PackageNotFoundError(name)
        return distributions[name]

    monkeypatch.setattr(sources, "version", version)
    assert sources.cuda_plugin() == found
    assert sources.software()["cuda_plugin"] == (found or "")
    assert "jax" not in sources.software()


def test_software_says_what_models_and_compilers_read(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=0")
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("MY_XLA_FLAGS", "unseen")
    found = sources.software()
    assert found["python"] == platform.python_version()
    assert "JAX_ENABLE_X64=1" in found["environment"]
    assert "XLA_FLAGS=--xla_gpu_autotune_level=0" in found["environment"]
    assert "unseen" not in found["environment"]
