import importlib.metadata
import pickle
import sqlite3

import pytest

from pytest_af3mem.errors import SetupError
from pytest_af3mem.inputs import chemistry
from pytest_af3mem.models import ccd
from pytest_af3mem.models.ccd import prepare

WATER = {
    "_chem_comp.id": ["HOH"],
    "_chem_comp.name": ["WATER"],
    "_chem_comp_atom.atom_id": ["O", "H1", "H2"],
    "_chem_comp_atom.type_symbol": ["O", "H", "H"],
}
NOTHING = {"_chem_comp.id": ["UNL"], "_chem_comp.name": ["Unknown ligand é"]}
DICTIONARY = {
    "XHG": {"_chem_comp.id": ["XHG"], "_chem_comp_atom.type_symbol": ["CL", "HG", "h"]},
    "DOD": {"_chem_comp.id": ["DOD"], "_chem_comp_atom.type_symbol": ["O", "D", "d"]},
    "HOH": WATER,
    "UNL": NOTHING,
}
BUILDING = "building the chemical component dictionary from the installation's ccd.pickle, once"


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


def test_is_a_mapping_of_the_whole_dictionary(store):
    assert dict(store) == DICTIONARY
    assert len(store) == 4
    assert list(store) == list(store.headers()) == sorted(DICTIONARY)
    assert store.headers()["HOH"] == {"_chem_comp.id": ["HOH"], "_chem_comp.name": ["WATER"]}
    assert store.headers()["UNL"] == NOTHING
    assert store.headers()["XHG"].get("_chem_comp.name") is None
    assert "HOH" in store
    assert {store: 1}[store] == 1
    assert [store.heavy_atoms(code) for code in ("HOH", "DOD", "XHG", "UNL")] == [1, 1, 2, 0]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._database.execute("DELETE FROM component")


@pytest.mark.parametrize("code", ["XXX", "hoh"])
def test_unknown_code(store, code):
    assert code not in store
    for ask in (store.heavy_atoms, store.__getitem__):
        with pytest.raises(KeyError) as caught:
            ask(code)
        assert caught.value.args == (code,)


def test_is_built_once_for_an_installation(store, installed, tmp_path):
    before, said = store.path.stat(), []
    again = prepare(tmp_path / "cache", installed=installed, progress=said.append)
    again.close()
    assert (again.path, said) == (store.path, [])
    assert (store.path.stat().st_mtime_ns, store.path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    installed.write_bytes(pickle.dumps({"HOH": WATER}))
    new = prepare(tmp_path / "cache", installed=installed, progress=said.append)
    assert (list(new), said) == (["HOH"], [BUILDING])
    new.close()


def test_two_processes_that_start_together_build_once(at_once, tmp_path):
    installed = tmp_path / "ccd.pickle"
    installed.write_bytes(pickle.dumps({f"{number:05}": WATER for number in range(2000)}))
    preparation = "from pathlib import Path; from pytest_af3mem.models.ccd import prepare"
    code = """
store = prepare(Path(sys.argv[1]), installed=Path(sys.argv[2]), progress=print)
print(len(store), store.heavy_atoms("01999"))
"""
    assert sorted(at_once(preparation, code, tmp_path / "cache", installed)) == ["2000 1\n", f"{BUILDING}\n2000 1\n"]


def refused(folder, installed=None):
    with pytest.raises(SetupError) as caught:
        prepare(folder, installed=installed)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOFError: Ran out of input"),
        (b"<html>", "UnpicklingError: invalid load key, '<'."),
        (b"K\x01.", "TypeError: 'int' object is not iterable"),
    ],
)
def test_a_dictionary_that_cannot_be_read(tmp_path, content, reason):
    path = tmp_path / "ccd.pickle"
    path.write_bytes(content)
    text = f"{path} cannot be read ({reason}): build it again with AlphaFold 3's build_data"
    assert refused(tmp_path / "cache", path) == text
    assert [left.suffix for left in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_place_that_cannot_be_written(installed, tmp_path, monkeypatch):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    for folder, reason in ((installed, "File exists"), (tmp_path / "cache", "database or disk is full")):
        assert refused(folder, installed) == (
            f"the chemical component dictionary cannot be written to {folder} ({reason}): "
            "choose another place with --af3-cache-dir or $AF3MEM_CACHE_DIR"
        )


def test_neither_installed_nor_biotite(monkeypatch, tmp_path):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert refused(tmp_path / "cache") == (
        "AlphaFold 3 needs the chemical component dictionary, and neither AlphaFold 3's own (build_data) nor biotite's "
        "is installed: pip install biotite"
    )
    assert not (tmp_path / "cache").exists()


def test_a_damaged_store_is_built_again(installed, tmp_path):
    store = prepare(tmp_path / "cache", installed=installed)
    store.close()
    store.path.write_bytes(b"not a database" * 100)
    again = prepare(tmp_path / "cache", installed=installed)
    assert again.path == store.path
    assert len(again) > 0
    again.close()


def test_hydrogens_are_those_of_inputs():
    assert ccd.HYDROGENS == chemistry.HYDROGENS
