"""The cache holds data. What is run or unpickled is made by the process that does so, and who else may write it is said."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_af3mem.errors import SetupError
from pytest_af3mem.models import ccd, fingerprint
from pytest_af3mem.session.settings import Settings, default_folder
from pytest_af3mem.storage import cache
from pytest_af3mem.storage.files import TRUST, prepared
from pytest_af3mem.worker.xla.target import toolchain


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_folder_that_others_may_write_is_refused(tmp_path, monkeypatch, mode):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(SetupError) as caught:
        prepared(folder)
    assert str(caught.value) == (
        f"the cache folder {folder} may be written by others (chmod go-w mends that), and whoever may write it decides what "
        "passes: choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR, or trust it with $AF3MEM_TRUST_CACHE=1"
    )
    monkeypatch.setenv(TRUST, "1")
    assert prepared(folder) == folder


def test_a_folder_of_another_user_is_refused_but_of_root(tmp_path, monkeypatch):
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        with pytest.raises(
            SetupError, match=rf"belongs to another user \({owner}\), and whoever may write it decides what passes"
        ):
            prepared(tmp_path)
    else:
        assert prepared(tmp_path) == tmp_path
        os.chown(tmp_path, 12345, -1)
        with pytest.raises(SetupError, match=r"belongs to another user \(12345\)"):
            prepared(tmp_path)


def test_a_new_folder_is_its_users_alone_whatever_the_umask(tmp_path):
    code = f"""
import os, sys
os.umask(0)
sys.path.insert(0, {str(Path(cache.__file__).parents[1])!r})
from pathlib import Path
from pytest_af3mem.storage.files import prepared
print(oct(prepared(Path(sys.argv[1])).stat().st_mode & 0o777))
"""
    made = subprocess.run([sys.executable, "-c", code, tmp_path / "new"], capture_output=True, text=True, check=True)
    assert made.stdout == "0o755\n"


def test_without_a_home_each_user_has_a_folder(monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert default_folder().name == f"pytest-af3mem-{os.getuid()}"
    assert default_folder() == Settings().cache_dir


def test_an_assembler_that_lies_there_is_not_run(tmp_path):
    planted = tmp_path / "toolchain" / "bin" / "ptxas"
    planted.parent.mkdir(parents=True)
    planted.write_text("#!/bin/sh\necho planted\n")
    ptxas = toolchain(tmp_path) / "bin" / "ptxas"
    assert ptxas == planted
    assert "planted" not in ptxas.read_text()


def test_nothing_that_can_be_run_is_left_in_the_cache(cold_project):
    cold_project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    assert cold_project.run().ret == 0
    files = [path for path in cold_project.cache.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".lock", ".TAG"}
    assert not any(path.stat().st_mode & 0o111 for path in files)


def test_a_store_of_which_components_are_missing_is_made_again(tmp_path):
    import pickle

    installed = tmp_path / "ccd.pickle"
    installed.write_bytes(pickle.dumps({code: {"_chem_comp.id": [code]} for code in ("HOH", "ATP")}))
    store = ccd.prepare(tmp_path / "cache", installed=installed)
    store.close()
    with sqlite3.connect(store.path) as database:
        database.execute("DELETE FROM component WHERE code = 'HOH'")
    database.close()
    again = ccd.prepare(tmp_path / "cache", installed=installed)
    assert list(again) == ["ATP", "HOH"]
    again.close()


def test_a_store_that_cannot_be_opened_is_one_line(tmp_path):
    import pickle

    installed = tmp_path / "ccd.pickle"
    installed.write_bytes(pickle.dumps({"HOH": {"_chem_comp.id": ["HOH"]}}))
    store = ccd.prepare(tmp_path / "cache", installed=installed)
    store.close()
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(SetupError, match=r"^the chemical component dictionary cannot be written to .*--af3-cache-dir"):
        ccd.prepare(tmp_path / "cache", installed=installed)


@pytest.fixture
def environment(monkeypatch):
    for name in os.environ:
        if name.startswith(("AF3_", "JAX_", "TOKAMAX_", "XLA_")):
            monkeypatch.delenv(name)
    return monkeypatch.setenv


def test_secrets_and_paths_stay_out_of_reports(environment):
    environment("AF3_TOKEN", "hunter2")
    environment("JAX_COMPILATION_CACHE_DIR", "/home/me/cache")
    environment("XLA_FLAGS", "--xla_dump_to=/home/me/dump --xla_gpu_enable_triton_gemm=false")
    environment("JAX_DEFAULT_MATMUL_PRECISION", "highest")
    environment("JAX_ENABLE_X64", "1")
    assert fingerprint.software()["environment"] == (
        "JAX_DEFAULT_MATMUL_PRECISION=highest JAX_ENABLE_X64=1 XLA_FLAGS=--xla_dump_to=... --xla_gpu_enable_triton_gemm=false"
    )


@pytest.mark.parametrize("name", ["AF3_TOKEN", "JAX_ANYTHING", "XLA_FLAGS", "TOKAMAX_CACHE"])
def test_what_is_not_shown_is_another_measurement_all_the_same(environment, name):
    environment(name, "/home/me/a")
    before = fingerprint.environment()
    environment(name, "/home/me/b")
    assert fingerprint.environment() != before
