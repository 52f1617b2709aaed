import itertools
import json

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.generate import MAX_TOKENS, generate
from pytest_af3mem.inputs.job import Job, Ligand, Protein, chain_ids
from pytest_af3mem.inputs.tokens import count, ligand_tokens

RESIDUES = set("ACDEFGHIKLMNPQRSTVWY")


KNOWN = {  # code: heavy atoms, type, one of the atoms
    "ATP": (31, "NON-POLYMER", "PG"),
    "BMA": (12, "D-saccharide, beta linking", "O1"),
    "MG": (1, "NON-POLYMER", "MG"),
    "PHB": (10, "NON-POLYMER", "O1"),
    "PSX": (5, "polysaccharides of mine", "O1"),
    "SUX": (7, "SACCHARIDE", "O2"),
    "UNL": (0, "NON-POLYMER", ""),
}


class Components:
    def heavy_atoms(self, code):
        return KNOWN[code][0]

    def __getitem__(self, code):
        _, kind, atom = KNOWN[code]
        return {"_chem_comp.type": [kind], "_chem_comp_atom.atom_id": [atom]}


@pytest.mark.parametrize("options", [{}, {"chains": 7, "ligand": "MG", "seed": 3}, {"msa_depth": 2}])
@pytest.mark.parametrize("tokens", [40, 41, 5120, MAX_TOKENS])
def test_exactly_so_many_tokens(tokens, options):
    assert count(generate(tokens, components=Components(), **options), Components()) == tokens


@pytest.mark.parametrize(("tokens", "chains", "lengths"), [(10, 3, [4, 3, 3]), (5, 5, [1] * 5), (1, 1, [1])])
def test_chains_are_of_equal_length_give_or_take_one_and_the_ligand_comes_last(tokens, chains, lengths):
    *proteins, ligand = generate(tokens + 31, chains=chains, ligand="ATP", components=Components()).sequences
    assert [len(protein.sequence) for protein in proteins] == lengths
    assert [protein.ids for protein in proteins] == [(chain,) for chain in "ABCDE"[:chains]]
    assert ligand == Ligand(("ABCDEF"[chains],), ("ATP",))


@pytest.mark.parametrize("options", [{"seed": 1}, {"msa_depth": 3}, {"chains": 2}, {"ligand": "MG"}])
def test_a_job_is_a_function_of_all_arguments(options):
    options |= {"components": Components()}
    job, other, seeded = generate(64, **options), generate(64), generate(64, **{**options, "seed": 9})
    assert job == generate(64, **options)
    assert len({job, other, seeded}) == len({one.sequences[0].sequence for one in (job, other, seeded)}) == 3


def test_a_job_is_the_same_with_every_python():
    assert generate(12).sequences == (Protein(("A",), "CAQVPDRYKFVL"),)
    msa = ">row0\nYIYNKWIGPILL\n>row1\nQNYNQIIGDILL\n>row2\nYILNKWIGPILL\n"
    assert generate(12, msa_depth=3).sequences == (Protein(("A",), "YIYNKWIGPILL", msa),)


@pytest.mark.parametrize("depth", [0, 1, 50])
def test_msa(depth):
    proteins = generate(120, chains=2, msa_depth=depth).sequences
    assert set("".join(protein.sequence for protein in proteins)) == RESIDUES
    assert proteins[0].sequence != proteins[1].sequence
    for protein in proteins:
        lines = protein.unpaired_msa.splitlines()
        assert lines[::2] == [f">row{index}" for index in range(depth)]
        rows = lines[1::2]
        assert rows[:1] == [protein.sequence][:depth]
        assert {len(row) for row in rows} <= {60}
        assert set("".join(rows)) <= RESIDUES
        assert len(set(rows)) == len(rows) == depth


TOKENS = "tokens={!r} must be a whole number from 1 to 100,000"
NONE = {"ligand": "ATP", "components": None}
LEAST = "{} must be a whole number of at least {}"


@pytest.mark.parametrize(
    ("tokens", "options", "text"),
    [
        *((tokens, {}, TOKENS.format(tokens)) for tokens in (0, MAX_TOKENS + 1, 5.0, "5", True)),
        (5, {"chains": 0}, LEAST.format("chains=0", 1)),
        (5, {"chains": "A"}, LEAST.format("chains='A'", 1)),
        (5, {"msa_depth": -1}, LEAST.format("msa_depth=-1", 0)),
        (5, {"seed": True}, LEAST.format("seed=True", 0)),
        (5, {"chains": 6}, "tokens=5 is too few for 6 protein chains: at least 6"),
        (31, {"ligand": "ATP"}, "tokens=31 is too few for 1 protein chain and ATP (31 tokens): at least 32"),
        (32, {"ligand": "ATP", "chains": 2}, "tokens=32 is too few for 2 protein chains and ATP (31 tokens): at least 33"),
        (50, {"ligand": 5}, "ligand=5 must be a CCD code, like 'ATP'"),
        (50, {"ligand": ""}, "ligand='' must be a CCD code, like 'ATP'"),
        (50, {"ligand": "UNL"}, "ligand 'UNL' has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it"),
        (50, {"ligand": "atp"}, "ligand 'atp' is not a code of the chemical component dictionary (CCD), like 'ATP'"),
        (50, NONE, "ligand 'ATP' cannot be counted: this model has no chemical component dictionary"),
    ],
)
def test_refused(tokens, options, text):
    with pytest.raises(UsageError) as caught:
        generate(tokens, **{"components": Components(), **options})
    assert str(caught.value) == text


def test_count_of_copies_and_compounds():
    job = Job("mine", (Protein(("A", "B"), "ACDEF"), Ligand(("C", "D", "E"), ("ATP", "MG"))))
    assert count(job, Components()) == 2 * 5 + 3 * (31 + 1)


@pytest.mark.parametrize(("code", "tokens"), [("BMA", 11), ("PHB", 10), ("PSX", 5), ("SUX", 7)])
def test_a_saccharide_that_is_bound_to_nothing_loses_its_o1(code, tokens):
    assert ligand_tokens(code, Components()) == tokens


def test_chain_ids():
    ids = list(itertools.islice(chain_ids(), 26 + 26**2 + 1))
    assert (ids[0], ids[25], ids[26], ids[27], ids[52], ids[-2], ids[-1]) == ("A", "Z", "AA", "BA", "AB", "ZZ", "AAA")
    assert len(set(ids)) == len(ids)


def test_json_that_alphafold3_reads():
    msa = ">query\nACD\n"
    job = Job("mine", (Protein(("A", "B"), "ACD", msa), Ligand(("C",), ("ATP",))), seeds=(1, 2))
    protein = {"id": ["A", "B"], "sequence": "ACD", "unpairedMsa": msa, "pairedMsa": "", "templates": []}
    assert json.loads(job.to_json()) == {
        "dialect": "alphafold3",
        "version": 1,
        "name": "mine",
        "modelSeeds": [1, 2],
        "sequences": [{"protein": protein}, {"ligand": {"id": ["C"], "ccdCodes": ["ATP"]}}],
    }
