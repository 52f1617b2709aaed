"""Counting by hand-made components; tests/alphafold3/test_inputs.py compares with the featuriser."""

import sys

import pytest

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.inputs.buckets import bucket
from pytest_af3mem.inputs.chains import Dna, Ligand, Protein, Rna
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.tokens import count, needs_components

ATOMS = {  # code: names of atoms, of which those with H are hydrogens
    "ACE": "C O CH3 H",
    "ALA": "N CA H",
    "ATP": "PG O1G O2G H1",
    "GLC": "C1 O1 O4 H1",
    "HIDE": "H N CA",
    "LYS": "N NZ H",
    "LAST": "OXT N CA",
    "PSU": "OP3 P C1'",
    "SEP": "N CA OXT H",
}
KINDS = {"GLC": "D-saccharide, beta linking"}


class Components:
    def heavy_atoms(self, code):
        return sum(not name.startswith("H") for name in ATOMS[code].split())

    def __getitem__(self, code):
        names = ATOMS[code].split()
        symbols = [name[0] for name in names]
        kind = [KINDS.get(code, "OTHER")]
        return {"_chem_comp.type": kind, "_chem_comp_atom.atom_id": names, "_chem_comp_atom.type_symbol": symbols}


def counted(*sequences, bonds=(), components=True):
    return count(Job("x", sequences, bonded_atom_pairs=bonds), Components() if components else None)


@pytest.mark.parametrize(
    ("sequence", "tokens"),
    [
        (Protein(("A",), "MKX"), 3),
        (Protein(("A", "B"), "MKX"), 6),
        (Protein(("A",), "XX"), 0),
        (Rna(("A",), "ACGUN"), 5),
        (Rna(("A",), "NN"), 0),
        (Dna(("A",), "ACGTN"), 5),
        (Dna(("A",), "N"), 0),
        (Protein(("A",), "XX", modifications=(("UNK", 1),)), 0),
        (Protein(("A",), "XX", modifications=(("ALA", 1),)), 2),
        (Protein(("A",), "MKA", modifications=(("MSE", 1), ("UNK", 2))), 3),
        (Protein(("A",), "MKA", modifications=(("SEP", 1),)), 2 + 2),
        (Protein(("A",), "MKA", modifications=(("SEP", 3),)), 2 + 3),
        (Protein(("A",), "MKA", modifications=(("LAST", 1),)), 2 + 3),
        (Protein(("A",), "MKA", modifications=(("ACE", 1),)), 2 + 3),
        (Rna(("A",), "ACU", modifications=(("PSU", 1),)), 2 + 3),
        (Rna(("A",), "ACU", modifications=(("PSU", 3),)), 2 + 2),
        (Dna(("A",), "ACT", modifications=(("DA", 1), ("DN", 2))), 3),
        (Ligand(("A", "B", "C"), ("ATP",)), 9),
        (Ligand(("A",), ("ATP", "GLC")), 3 + 2),
        (Ligand(("A",), ("N",)), 0),
        (Ligand(("A",), ("HIDE",)), 0),
        (Ligand(("A",), ("HIDE", "ATP")), 2 + 3),
        (Protein(("A",), "M", modifications=(("HIDE", 1),)), 0),
        (Protein(("A",), "MK", modifications=(("HIDE", 1),)), 2 + 1),
    ],
)
def test_one_sequence(sequence, tokens):
    assert counted(sequence) == tokens


GLYCANS = Ligand(("G", "H"), ("GLC", "GLC"))
CHAIN = Protein(("A",), "MKA", modifications=(("SEP", 1),))


@pytest.mark.parametrize(
    ("bonds", "tokens"),
    [
        ([], 4 + 8),
        ([("G", 1, "O4"), ("G", 2, "C1")], 4 + 8),
        ([("G", 1, "O1"), ("G", 2, "C1")], 4 + 9),
        ([("G", 1, "O1"), ("H", 1, "O1")], 4 + 10),
        ([("G", 1, "O1"), ("G", 1, "C1")], 4 + 8),
        ([("G", 1, "O1"), ("G", 2, "H1")], 4 + 0 + 4),
        ([("G", 1, "O1"), ("A", 3, "H")], 4 + 8),
        ([("A", 2, "H"), ("H", 1, "O4")], 4 + 8),
        ([("A", 2, "NZ"), ("H", 2, "O1")], 4 + 9),
        ([("G", 1, "O4"), ("G", 2, "C1"), ("G", 1, "O4"), ("H", 1, "O1")], 4 + 8),
        ([("A", 2, "NZ"), ("G", 1, "C1"), ("G", 1, "C1"), ("H", 1, "O1")], 4 + 9),
        ([("A", 1, "OXT"), ("G", 1, "C1")], 5 + 8),
        ([("A", 1, "CA"), ("G", 1, "C1")], 4 + 8),
    ],
)
def test_bonds(bonds, tokens):
    assert counted(CHAIN, GLYCANS, bonds=tuple(zip(bonds[::2], bonds[1::2], strict=True))) == tokens


def test_smiles(monkeypatch):
    pytest.importorskip("rdkit")
    assert counted(Ligand(("A", "B"), smiles="[2H]C([2H])O[Na]"), components=False) == 2 * 3
    with pytest.raises(UsageError, match="ligand 'CC\\(' is not a SMILES that RDKit reads"):
        counted(Ligand(("A",), smiles="CC("))
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(SetupError, match="pip install rdkit"):
        counted(Ligand(("A",), smiles="CCCCCCCCCCCO"))


@pytest.mark.parametrize(
    ("sequence", "text"),
    [
        (Protein(("A",), "MK", modifications=(("XXX", 1),)), "modification 'XXX' is not a code of the"),
        (Ligand(("A",), ("XXX",)), "ligand 'XXX' is not a code of the chemical component dictionary"),
    ],
)
def test_refused(sequence, text):
    with pytest.raises(UsageError, match=text):
        counted(sequence)
    with pytest.raises(UsageError, match="cannot be counted: this model has no chemical component dictionary"):
        counted(sequence, components=False)


def test_a_dictionary_is_needed_for_codes_alone():
    assert not needs_components(Job("x", (Protein(("A",), "M"), Dna(("B",), "A"), Ligand(("C",), smiles="C"))))
    assert needs_components(Job("x", (CHAIN,)))
    assert needs_components(Job("x", (GLYCANS,)))


@pytest.mark.parametrize(("tokens", "size"), [(1, 128), (128, 128), (129, 256), (256, 256), (257, 257)])
def test_bucket(tokens, size):
    assert bucket(tokens, (128, 256)) == size
