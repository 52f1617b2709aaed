import itertools
import json

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.generate import MAX_TOKENS, generate
from pytest_af3mem.inputs.job import Job, Ligand, Protein, chain_ids
from pytest_af3mem.inputs.tokens import count

RESIDUES = set("ACDEFGHIKLMNPQRSTVWY")


class Components(dict):
    """Codes with their heavy atoms, type and one atom."""

    def __init__(self):
        rows = {
            "ATP": (31, "NON-POLYMER", "PG"),
            "BMA": (12, "D-saccharide, beta linking", "O1"),
            "MG": (1, "NON-POLYMER", "MG"),
            "PHB": (10, "NON-POLYMER", "O1"),
            "PSX": (5, "polysaccharides of mine", "O1"),
            "SUX": (7, "SACCHARIDE", "O2"),
            "UNL": (0, "NON-POLYMER", ""),
        }
        super().__init__(
            {code: {"_chem_comp.type": [kind], "_chem_comp_atom.atom_id": [atom]} for code, (_, kind, atom) in rows.items()}
        )
        self.heavy_atoms = {code: row[0] for code, row in rows.items()}.__getitem__


@pytest.mark.parametrize("options", [{}, {"chains": 3}, {"ligand": "ATP"}, {"chains": 7, "ligand": "MG", "seed": 3}])
@pytest.mark.parametrize("tokens", [40, 41, 256, 257, 1000, 5120, MAX_TOKENS])
def test_exactly_so_many_tokens(tokens, options):
    assert count(generate(tokens, components=Components(), **options), Components()) == tokens


@pytest.mark.parametrize(("tokens", "chains", "lengths"), [(10, 1, [10]), (10, 3, [4, 3, 3]), (5, 5, [1] * 5), (1, 1, [1])])
def test_chains_are_of_equal_length_give_or_take_one(tokens, chains, lengths):
    sequences = generate(tokens, chains=chains).sequences
    assert [len(protein.sequence) for protein in sequences] == lengths
    assert [protein.ids for protein in sequences] == [(chain,) for chain in "ABCDE"[:chains]]


def test_chains_have_sequences_of_their_own():
    sequences = [protein.sequence for protein in generate(300, chains=3).sequences]
    assert len(set(sequences)) == 3
    assert set("".join(sequences)) == RESIDUES


def test_ligand_comes_last_and_takes_its_share():
    *proteins, ligand = generate(100, chains=2, ligand="ATP", components=Components()).sequences
    assert ligand == Ligand(("C",), ("ATP",))
    assert [len(protein.sequence) for protein in proteins] == [35, 34]


@pytest.mark.parametrize("options", [{}, {"seed": 1}, {"msa_depth": 3}, {"chains": 2}, {"ligand": "MG"}])
def test_the_same_arguments_give_the_same_job(options):
    job, again, seeded = (generate(64, **{"components": Components(), **options, **more}) for more in ({}, {}, {"seed": 9}))
    assert job == again
    assert hash(job) == hash(again)
    assert job.to_json() == again.to_json()
    assert job != seeded
    assert (len(job.sequences), count(job, Components())) == (len(seeded.sequences), 64)


def test_the_same_job_with_every_python():
    assert generate(12).sequences == (Protein(("A",), "CAQVPDRYKFVL"),)


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_msa(depth):
    for protein in generate(120, chains=2, msa_depth=depth).sequences:
        lines = protein.unpaired_msa.splitlines()
        assert lines[::2] == [f">row{index}" for index in range(depth)]
        rows = lines[1::2]
        assert len(rows) == depth
        assert rows[0] == protein.sequence
        assert {len(row) for row in rows} == {len(protein.sequence)}
        assert set("".join(rows)) <= RESIDUES
        assert len(set(rows)) == depth
        assert protein.unpaired_msa.endswith("\n")


TOKENS = "tokens={} must be a whole number from 1 to 100,000"
LEAST = "{} must be a whole number of at least {}"


@pytest.mark.parametrize(
    ("tokens", "options", "text"),
    [
        (0, {}, TOKENS.format("0")),
        (MAX_TOKENS + 1, {}, TOKENS.format("100001")),
        (5.0, {}, TOKENS.format("5.0")),
        ("5", {}, TOKENS.format("'5'")),
        (True, {}, TOKENS.format("True")),
        (5, {"chains": 0}, LEAST.format("chains=0", 1)),
        (5, {"chains": "A"}, LEAST.format("chains='A'", 1)),
        (5, {"msa_depth": -1}, LEAST.format("msa_depth=-1", 0)),
        (5, {"seed": -1}, LEAST.format("seed=-1", 0)),
        (5, {"chains": 6}, "tokens=5 is too few for 6 protein chains: at least 6"),
        (31, {"ligand": "ATP"}, "tokens=31 is too few for 1 protein chain and ATP (31 tokens): at least 32"),
        (32, {"ligand": "ATP", "chains": 2}, "tokens=32 is too few for 2 protein chains and ATP (31 tokens): at least 33"),
        (50, {"ligand": 5}, "ligand=5 must be a CCD code, like 'ATP'"),
        (50, {"ligand": "UNL"}, "ligand 'UNL' has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it"),
        (50, {"ligand": "nope"}, "ligand 'nope' is not a code of the chemical component dictionary (CCD), like 'ATP'"),
    ],
)
def test_refused(tokens, options, text):
    with pytest.raises(UsageError) as caught:
        generate(tokens, components=Components(), **options)
    assert str(caught.value) == text


def test_a_ligand_cannot_be_counted_without_components():
    with pytest.raises(UsageError) as caught:
        generate(50, ligand="ATP")
    assert str(caught.value) == "ligand 'ATP' cannot be counted: this model has no chemical component dictionary"


@pytest.mark.parametrize(("code", "tokens"), [("ATP", 31), ("BMA", 11), ("PHB", 10), ("PSX", 5), ("SUX", 7)])
def test_a_saccharide_that_is_bound_to_nothing_loses_its_o1(code, tokens):
    assert count(Job("mine", (Ligand(("A",), (code,)),)), Components()) == tokens
    assert count(generate(50, ligand=code, components=Components()), Components()) == 50


def test_count_of_copies_and_compounds():
    job = Job("mine", (Protein(("A", "B"), "ACDEF"), Ligand(("C", "D", "E"), ("ATP", "MG"))))
    assert count(job, Components()) == 2 * 5 + 3 * (31 + 1)


def test_chain_ids():
    ids = list(itertools.islice(chain_ids(), 26 + 26**2 + 1))
    assert (ids[0], ids[25], ids[26], ids[27], ids[52], ids[-2], ids[-1]) == ("A", "Z", "AA", "BA", "AB", "ZZ", "AAA")
    assert len(set(ids)) == len(ids)


def test_json_that_alphafold3_reads():
    job = Job("mine", (Protein(("A", "B"), "ACD", ">query\nACD\n"), Ligand(("C",), ("ATP",))), seeds=(1, 2))
    assert json.loads(job.to_json()) == {
        "dialect": "alphafold3",
        "version": 1,
        "name": "mine",
        "modelSeeds": [1, 2],
        "sequences": [
            {
                "protein": {
                    "id": ["A", "B"],
                    "sequence": "ACD",
                    "unpairedMsa": ">query\nACD\n",
                    "pairedMsa": "",
                    "templates": [],
                },
            },
            {"ligand": {"id": ["C"], "ccdCodes": ["ATP"]}},
        ],
    }
