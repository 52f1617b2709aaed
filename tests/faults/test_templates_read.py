"""Templates are accepted where AlphaFold 3 reads them, and refused where its mmCIF parser or its featuriser fails."""

import json

import pytest
from mmcif_texts import COLUMNS, ENTITIES, a_template
from mmcif_texts import RESIDUES as ATOMS

from pytest_af3mem.errors import InputError
from pytest_af3mem.inputs.reading import from_json

SEQUENCE = {"entity_poly_seq": {"entity_id": ["1"] * 3, "num": ["1", "2", "3"], "mon_id": ["GLY", "ALA", "SER"]}}
SCHEME = "asym_id seq_id mon_id pdb_seq_num pdb_ins_code pdb_strand_id".split()


def read(mmcif, indices=(0, 1)):
    hit = {"mmcif": mmcif, "queryIndices": list(range(len(indices))), "templateIndices": list(indices)}
    protein = {"id": "A", "sequence": "MKTANIA", "unpairedMsa": "", "pairedMsa": "", "templates": [hit]}
    job = {"dialect": "alphafold3", "version": 1, "name": "x", "modelSeeds": [1], "sequences": [{"protein": protein}]}
    return from_json(json.dumps(job))


def refusal(mmcif, indices=(0, 1)):
    with pytest.raises(InputError) as caught:
        read(mmcif, indices)
    where, _, text = str(caught.value).partition(": ")
    assert where.startswith("sequences[0].protein.templates[0].")
    return text


def other(row, column, value):
    """An atom with another value in a column."""
    words = ATOMS[row].split()
    words[COLUMNS.index(column)] = value
    return [*ATOMS[:row], " ".join(words), *ATOMS[row + 1 :]]


ACCEPTED = {
    "with the tables of an entity": a_template(),
    "without any table": a_template(tables={}),
    "without element": a_template(without=["type_symbol"]),
    "without record, where there are tables": a_template(without=["group_PDB", "label_entity_id"]),
    "without numbers of the authors": a_template(without=["auth_seq_id"]),
    "with a loop that has no rows": a_template(start="data_1ABC\nloop_\n_citation.id\n_citation.title\n"),
    "with a comment, and lines of Windows": ("# made by hand\n" + a_template()).replace("\n", "\r\n"),
    "with names that are not ASCII": a_template(start="data_1ABC\n_citation_author.name M\xfcller\n"),
    "with a chain of the sequence that has no atoms": a_template(
        tables=ENTITIES | SEQUENCE | {"struct_asym": {"id": ["A", "B"], "entity_id": ["1", "1"]}}
    ),
    "with a second model": a_template([*ATOMS, *(f"{atom[:-1]}2".replace(" 1.0 5.0", " ? ?") for atom in ATOMS)]),
    "with water that has no coordinates": a_template(
        [*ATOMS, "HETATM 3 O O . HOH B 2 . . ? ? ? 1.0 5.0 1 A 1"],
        {
            "entity": {"id": ["1", "2"], "type": ["polymer", "water"]},
            "entity_poly": ENTITIES["entity_poly"],
            "struct_asym": {"id": ["A", "B"], "entity_id": ["1", "2"]},
        },
    ),
    "with a second conformation whose occupancy is unknown": a_template(
        [ATOMS[0], ATOMS[1].replace("CA .", "CA A"), ATOMS[1].replace("CA .", "CA B").replace(" 1.0 5.0", " 0.0 5.0")]
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_alphafold_3_reads_is_accepted(name):
    (job,) = read(ACCEPTED[name])
    assert job.sequences[0].templates[0].template_indices == (0, 1)


@pytest.mark.parametrize("column", sorted(set(COLUMNS) - {"group_PDB", "type_symbol", "label_entity_id", "auth_seq_id"}))
def test_a_column_of_atoms_that_alphafold_3_needs_is_named(column):
    assert refusal(a_template(without=[column])).endswith(f" has no _atom_site.{column}")


WITHOUT_TYPE = ENTITIES | {"entity": {"id": ["1"]}}
WITHOUT_ENTITY = ENTITIES | {"struct_asym": {"id": ["A"]}}
TWO_CHAINS = [*ATOMS, *(atom.replace(" A ", " B ") for atom in ATOMS)]
SECOND = ATOMS[1].replace("CA . ALA", "CA {} {}").replace("1.0 5.0", "{} 5.0")
LIGAND_ELSEWHERE = {"pdbx_nonpoly_scheme": {"asym_id": ["B"], "mon_id": ["ATP"], "pdb_seq_num": ["1"], "pdb_ins_code": ["."]}}
BACKWARDS = {"pdbx_poly_seq_scheme": dict(zip(SCHEME, ["AA", "21", ["ALA", "GLY"], "21", "..", "AA"], strict=True))}


@pytest.mark.parametrize(
    ("mmcif", "text"),
    [
        (a_template(start="DATA_1ABC\n"), "is not mmCIF: it does not start with data_ and a name, in small letters"),
        (a_template(start="data_\n"), "is not mmCIF: it does not start with data_ and a name, in small letters"),
        (a_template(start="data_1ABC\n_entry.id 'x\n"), "is not mmCIF: unterminated 'string' (line 2)"),
        (a_template() + a_template(), "must be one structure, and has 2 data blocks"),
        (a_template([]), "has no atoms: _atom_site has no rows"),
        (a_template(other(0, "Cartn_y", "?")), "has '?' for a coordinate in _atom_site.Cartn_y"),
        (a_template(other(0, "occupancy", "?")), "has '?' for an occupancy in _atom_site.occupancy"),
        (a_template(other(0, "occupancy", ".")), "has '.' for an occupancy in _atom_site.occupancy"),
        (a_template(other(1, "B_iso_or_equiv", "x")), "has 'x' for a B factor in _atom_site.B_iso_or_equiv"),
        (a_template(tables=WITHOUT_TYPE), "has _entity.id, and no _entity.type"),
        (a_template(tables=WITHOUT_ENTITY), "has _struct_asym.id, and no _struct_asym.entity_id"),
        (
            a_template(tables={}, without=["label_entity_id"]),
            "has neither _struct_asym nor _atom_site.label_entity_id, to tell chains by",
        ),
        (a_template(tables={}, without=["group_PDB"]), "has neither _entity nor _atom_site.group_PDB, to tell polymers by"),
        (a_template(TWO_CHAINS, {}), "must hold a single polymer chain with atoms, and has 2"),
        (a_template([atom.replace("ATOM", "HETATM") for atom in ATOMS], {}), "with atoms, and has 0"),
        (a_template(other(0, "label_seq_id", ".")), "has '.' for a position in the chain 'A', which must be a whole number"),
        (
            a_template(other(0, "label_seq_id", "."), ENTITIES | SEQUENCE),
            "has atoms of the residue 'GLY 1' of the chain 'A', which its tables of sequences and schemes do not list",
        ),
        (
            a_template([ATOMS[0], SECOND.format("A", "ALA", "0.4"), SECOND.format("B", "SER", "0.6")], ENTITIES | SEQUENCE),
            "has atoms of the residue 'SER 2' of the chain 'A', which its tables of sequences and schemes do not list",
        ),
        (
            a_template(tables=ENTITIES | LIGAND_ELSEWHERE),
            "lists residues of the chain 'B', which _struct_asym.id does not name",
        ),
        (a_template(tables=ENTITIES | BACKWARDS), "has atoms of the residue 'ALA 2' of the chain 'A' after those of a later one"),
    ],
)
def test_what_alphafold_3_fails_on_is_refused(mmcif, text):
    assert refusal(mmcif).endswith(text)


def test_indices_count_the_residues_of_the_sequence_those_without_atoms_included():
    assert read(a_template(tables=ENTITIES | SEQUENCE), indices=(0, 2))
    assert refusal(a_template(tables=ENTITIES | SEQUENCE), indices=(0, 3)) == "3 must be from 0 to 2"


def test_indices_count_the_residues_that_have_atoms_where_no_table_lists_others():
    assert refusal(a_template(tables={}), indices=(0, 2)) == "2 must be from 0 to 1"
