"""Components of a user's own are accepted where AlphaFold 3 builds them, and refused where it fails on them."""

import json

import pytest
from mmcif_texts import ATOMS, a_component

from pytest_af3mem.errors import InputError, UsageError
from pytest_af3mem.inputs.chains import Ligand, Protein
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.reading import from_json
from pytest_af3mem.inputs.tokens import count


def read(user_ccd, *used):
    ligand = {"ligand": {"id": "B", "ccdCodes": list(used or ["MY-1"])}}
    sequences = [{"protein": {"id": "A", "sequence": "MKTAN"}}, ligand]
    job = {"dialect": "alphafold3", "version": 2, "name": "x", "modelSeeds": [1], "sequences": sequences, "userCCD": user_ccd}
    return from_json(json.dumps(job))[0]


def refusal(user_ccd):
    with pytest.raises(InputError) as caught:
        read(user_ccd)
    where, _, text = str(caught.value).partition(": ")
    assert where == "userCCD"
    return text


@pytest.mark.parametrize(
    ("user_ccd", "tokens"),
    [
        (a_component(), 5 + 2),
        (a_component(bonds=()), 5 + 2),
        (a_component(["C1 C ? ? ? ?", *ATOMS[1:]]), 5 + 2),
        (a_component(["C1 C +1 0.0 0.0 0.0", *ATOMS[1:]], ["C1 O1 AROM ?"]), 5 + 2),
        (a_component(name="'\u03b2 of \"mine\"'").replace("\n", "\r\n"), 5 + 2),
        (a_component() + a_component(["C1 C 0.5 0.0 0.0 0.0"] * 2, code="MY-2"), 5 + 2),  # which no chain names
        (a_component([*ATOMS[:2], "H1 h 0 1.7 0.9 0.0"]), 5 + 3),
        (a_component([*ATOMS[:2], "H1 D 0 1.7 0.9 0.0"]), 5 + 2),
        (a_component(["H1 H 0 1.7 0.9 0.0"], ()), 5),
    ],
)
def test_what_alphafold_3_builds_is_counted_as_it_counts(user_ccd, tokens):
    assert count(read(user_ccd)) == tokens


@pytest.mark.parametrize(
    ("user_ccd", "text"),
    [
        (a_component([*ATOMS, ATOMS[1]]), "has two atoms of the name 'O1' in the component 'MY-1'"),
        (a_component(bonds=["C1 O9 SING N"]), "has a bond of C1 and O9, and no atom 'O9' in the component 'MY-1'"),
        (a_component(bonds=["C1 O1 SING N", "O1 C1 SING N"]), "has two bonds of O1 and C1 in the component 'MY-1'"),
        (a_component(bonds=["C1 C1 SING N"]), "has a bond of C1 to itself in the component 'MY-1'"),
        (
            a_component(["C1 C 1.0 0.0 0.0 0.0", *ATOMS[1:]]),
            "has '1.0' for a charge, which must be a whole number or '?', in the component 'MY-1'",
        ),
        (
            a_component(["C1 C 0 0.0 . 0.0", *ATOMS[1:]]),
            "has '.' for a coordinate, which must be a number or '?', in the component 'MY-1'",
        ),
        (
            a_component(["CARBON C 0 0.0 0.0 0.0"], ()),
            "has an atom 'CARBON', whose name must have one to four letters, in the component 'MY-1'",
        ),
        (
            a_component(name="''"),
            "has '' for _chem_comp.name, which must be '?' where it is unknown, in the component 'MY-1'",
        ),
        (a_component() * 2, "defines the component 'MY-1' twice: AlphaFold 3 would take the last"),
        (a_component(id="MY-2"), "names the component 'MY-2' in the block 'data_MY-1', whose name AlphaFold 3 takes"),
        ("\n" + a_component(), "is not mmCIF: it does not start with data_ and a name, in small letters, at its first character"),
        (
            a_component().replace("data_", "DATA_"),
            "is not mmCIF: it does not start with data_ and a name, in small letters, at its first character",
        ),
        (a_component(name="my_data_1"), "lacks _chem_comp.type for the component 'MY-1'"),
        (
            a_component() + a_component(code="MY-2").replace(".charge", ".x"),
            "lacks _chem_comp_atom.charge for the component 'MY-2'",
        ),
    ],
)
def test_what_alphafold_3_fails_on_or_mistakes_is_refused(user_ccd, text):
    assert refusal(user_ccd).endswith(text)


def test_a_hydrogen_in_small_letters_is_a_token_of_a_modified_residue_too():
    user_ccd = a_component([*ATOMS[:2], "H1 h 0 1.7 0.9 0.0"])
    job = Job("x", (Protein(("A",), "MKT", modifications=(("MY-1", 2),)),), user_ccd=user_ccd)
    assert count(job) == 2 + 3


class Deuterium:
    """A dictionary of a component of deuterium alone, as D8U is, and of one without atoms, as UNL is."""

    ELEMENTS = {"D8U": ["D"], "UNL": []}  # noqa: RUF012

    def heavy_atoms(self, code):
        return self.ELEMENTS[code].count("C")

    def __getitem__(self, code):
        return {"_chem_comp_atom.atom_id": self.ELEMENTS[code], "_chem_comp_atom.type_symbol": self.ELEMENTS[code]}


def test_a_component_of_deuterium_alone_is_left_out_and_one_without_atoms_is_refused():
    job = Job("x", (Protein(("A",), "MKT"), Ligand(("B",), ("D8U",))))
    assert from_json(job.to_json(), components=Deuterium()) == [job]
    assert count(job, Deuterium()) == 3
    with pytest.raises(InputError, match="'UNL' has no atoms in the chemical component dictionary"):
        from_json(job.to_json().replace("D8U", "UNL"), components=Deuterium())
    with pytest.raises(UsageError, match="ligand 'D8U' has no tokens: AlphaFold 3 leaves it out"):
        generate(9, ligands="D8U", components=Deuterium())
