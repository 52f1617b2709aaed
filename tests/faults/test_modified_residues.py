"""The letter of a modified residue in an MSA is the one that AlphaFold 3 has for it, not the dictionary's or the user's."""

import json
import pickle

import pytest

from pytest_af3mem.errors import InputError
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.inputs.reading import from_json
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.models.ccd import Store, prepare

TYPES = {"SEC": "L-PEPTIDE LINKING", "NEW": "L-PEPTIDE LINKING", "ASX": "L-PEPTIDE LINKING", "6MZ": "RNA LINKING"}
LETTERS = {"SEC": "A", "ASX": "B", "6MZ": "N"}  # of residue_names.CCD_NAME_TO_ONE_LETTER; NEW stands for a code it lacks


def component(code, kind):
    atoms = {"_chem_comp_atom.atom_id": ["C1", "C2"], "_chem_comp_atom.type_symbol": ["C", "C"]}
    return {"_chem_comp.id": [code], "_chem_comp.type": [kind], "_chem_comp.one_letter_code": ["U"], **atoms}


@pytest.fixture
def store(tmp_path):
    """A dictionary in which every residue has the letter U, with AlphaFold 3's letters beside."""
    installed = tmp_path / "ccd.pickle"
    installed.write_bytes(pickle.dumps({code: component(code, kind) for code, kind in TYPES.items()}))
    opened = prepare(tmp_path / "cache", installed=installed, letters=LETTERS)
    yield opened
    opened.close()


def a_protein(first_row, *modifications, sequence="MKTAN"):
    listed = [{"ptmType": code, "ptmPosition": at} for code, at in modifications]
    chain = {"id": "A", "sequence": sequence, "modifications": listed, "unpairedMsa": f">q\n{first_row}\n"}
    job = {"dialect": "alphafold3", "version": 1, "name": "x", "modelSeeds": [1], "sequences": [{"protein": chain}]}
    return json.dumps(job)


@pytest.mark.parametrize(("code", "letter", "row"), [("SEC", "A", "A"), ("NEW", "X", "X"), ("ASX", "X", "B")])
def test_a_generated_protein_has_the_row_that_alphafold_3_compares(store, code, letter, row):
    job = generate(20, modifications=code, msa_depth=2, paired_msa_depth=2, components=store)
    (protein,) = job.sequences
    assert protein.sequence[0] == letter
    assert [msa.splitlines()[1] for msa in (protein.unpaired_msa, protein.paired_msa)] == [row + protein.sequence[1:]] * 2
    assert from_json(job.to_json(), components=store) == [job]


def test_a_generated_rna_has_an_unknown_letter_where_alphafold_3_has_one(store):
    (rna,) = generate(20, kinds="rna", modifications="6MZ", msa_depth=2, components=store).sequences
    assert rna.sequence[1] == "N"
    assert rna.unpaired_msa.splitlines()[1] == rna.sequence


def test_an_msa_with_the_users_letter_is_refused_where_there_is_a_dictionary(store):
    assert from_json(a_protein("AKTAX", ("SEC", 1), ("NEW", 5)), components=store)
    with pytest.raises(InputError) as caught:
        from_json(a_protein("MKTAN", ("SEC", 1)), components=store)
    assert str(caught.value) == (
        "sequences[0].protein.unpairedMsa: '>q\\nMKTAN\\n' starts with another sequence than the query: 'M' at position 1, "
        "where the query has 'A': AlphaFold 3's letter for the modified residue there"
    )


@pytest.mark.parametrize("row", ["MKTAN", "AKTAN"])
def test_any_letter_is_taken_where_there_is_none(row):
    assert from_json(a_protein(row, ("SEC", 1)))


def test_the_letters_are_those_of_the_installed_package_which_is_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "alphafold3"
    (package / "constants" / "converters").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "constants" / "residue_names.py").write_text(f"CCD_NAME_TO_ONE_LETTER: dict[str, str] = {LETTERS}\n")
    (package / "constants" / "converters" / "ccd.pickle").write_bytes(pickle.dumps({}))
    monkeypatch.syspath_prepend(tmp_path)
    opened = Store(AlphaFold3().components(tmp_path / "cache", print))
    assert [opened.letter(code) for code in ("SEC", "NEW")] == ["A", ""]
    opened.close()
