import importlib.metadata
import pickle
import sqlite3

import pytest

from pytest_af3mem.errors import SetupError
from pytest_af3mem.models.ccd import prepare

WATER = {
    "_chem_comp.id": ["HOH"],
    "_chem_comp.name": ["WATER"],
    "_chem_comp_atom.atom_id": ["O", "H1", "H2"],
    "_chem_comp_atom.type_symbol": ["O", "H", "H"],
}
HEAVY_WATER = {"_chem_comp.id": ["DOD"], "_chem_comp_atom.type_symbol": ["O", "D", "d"]}
MERCURY_HYDRIDE = {"_chem_comp.id": ["XHG"], "_chem_comp_atom.type_symbol": ["CL", "HG", "h"]}
NOTHING = {"_chem_comp.id": ["UNL"], "_chem_comp.name": ["Unknown ligand é"]}
DICTIONARY = {"HOH": WATER, "DOD": HEAVY_WATER, "XHG": MERCURY_HYDRIDE, "UNL": NOTHING}


@pytest.fixture
def installed(tmp_path):
    path = tmp_path / "ccd.pickle"
    path.write_bytes(pickle.dumps(DICTIONARY))
    return path


@pytest.fixture
def store(installed, tmp_path):
    opened = prepare(tmp_path / "cache", installed=installed)
    yield opened
    opened.close()


@pytest.mark.parametrize(("code", "atoms"), [("HOH", 1), ("DOD", 1), ("XHG", 2), ("UNL", 0)])
def test_heavy_atoms_are_neither_hydrogen_nor_deuterium(store, code, atoms):
    assert store.heavy_atoms(code) == atoms


@pytest.mark.parametrize("code", ["XXX", "hoh", "", "HOH'; DROP TABLE component; --"])
def test_unknown_code(store, code):
    assert code not in store
    for ask in (store.heavy_atoms, store.__getitem__):
        with pytest.raises(KeyError) as caught:
            ask(code)
        assert caught.value.args == (code,)


def test_is_a_mapping_of_the_whole_dictionary(store):
    assert dict(store) == DICTIONARY
    assert len(store) == 4
    assert list(store) == sorted(DICTIONARY)
    assert "HOH" in store
    assert store.get("XXX") is None
    assert {store: 1}[store] == 1


def test_headers(store):
    headers = store.headers()
    assert list(headers) == sorted(DICTIONARY)
    assert headers["HOH"] == {"_chem_comp.id": ["HOH"], "_chem_comp.name": ["WATER"]}
    assert headers["UNL"] == NOTHING


def test_is_read_only(store):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._database.execute("DELETE FROM component")


def test_is_built_once(store, installed, tmp_path):
    before = store.path.stat()
    said = []
    again = prepare(tmp_path / "cache", installed=installed, progress=said.append)
    again.close()
    after = store.path.stat()
    assert again.path == store.path
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert said == []


def test_a_new_installation_is_built_anew(store, installed, tmp_path):
    installed.write_bytes(pickle.dumps({"HOH": WATER}))
    said = []
    new = prepare(tmp_path / "cache", installed=installed, progress=said.append)
    assert list(new) == ["HOH"]
    new.close()
    assert said == ["building the chemical component dictionary from the installation's ccd.pickle, once"]


def test_a_build_that_fails_leaves_no_store(installed, tmp_path):
    installed.write_bytes(pickle.dumps({"HOH": WATER, "XXX": {"_chem_comp.id": 5}}))
    with pytest.raises(TypeError):
        prepare(tmp_path / "cache", installed=installed)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_two_processes_that_start_together_build_once(at_once, tmp_path):
    installed = tmp_path / "ccd.pickle"
    installed.write_bytes(pickle.dumps({f"{number:05}": WATER for number in range(2000)}))
    preparation = "from pathlib import Path; from pytest_af3mem.models.ccd import prepare"
    code = """
store = prepare(Path(sys.argv[1]), installed=Path(sys.argv[2]), progress=print)
print(len(store), store.heavy_atoms("01999"))
"""
    outputs = at_once(preparation, code, tmp_path / "cache", installed)
    building = "building the chemical component dictionary from the installation's ccd.pickle, once\n"
    assert sorted(outputs) == ["2000 1\n", f"{building}2000 1\n"]


@pytest.mark.parametrize(("inside", "reason"), [("", "File exists"), ("cache", "Not a directory")])
def test_a_place_that_cannot_be_a_folder(installed, tmp_path, inside, reason):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / inside
    with pytest.raises(SetupError) as caught:
        prepare(folder, installed=installed)
    assert str(caught.value) == (
        f"the chemical component dictionary cannot be written to {folder}: {reason}; choose a writable place with --af3-cache-dir"
    )


def test_neither_installed_nor_biotite(monkeypatch, tmp_path):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(SetupError) as caught:
        prepare(tmp_path / "cache")
    assert str(caught.value) == (
        "AlphaFold 3 needs the chemical component dictionary, and neither AlphaFold 3's own (build_data) nor biotite's "
        "is installed: pip install biotite"
    )
    assert not (tmp_path / "cache").exists()
