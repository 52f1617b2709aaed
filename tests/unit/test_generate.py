"""Jobs of exactly so many tokens; tests/alphafold3/test_inputs.py asks the featuriser whether they are."""

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.chains import Dna, Ligand, Protein, Rna
from pytest_af3mem.inputs.generate import MAX_TOKENS, generate
from pytest_af3mem.inputs.tokens import count

RESIDUES = set("ACDEFGHIKLMNPQRSTVWY")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chains": 7, "ligands": "MG", "seed": 3},
        {"kinds": "protein+rna+dna", "chains": 4, "msa_depth": 2},
        {"modifications": "SEP+PSU+SEP", "kinds": "rna+protein"},
        {"copies": 3, "ligands": "MG+ATP"},
        {"msa_depth": 2, "paired_msa_depth": 3, "templates": 2},
    ],
)
@pytest.mark.parametrize("tokens", [62, 5120, MAX_TOKENS - 2])
def test_exactly_so_many_tokens(tokens, options, components):
    assert count(generate(tokens, **options, components=components), components) == tokens


def test_every_size_from_the_least_to_ten_thousand(components):
    for tokens in range(1, 10_001):
        assert count(generate(tokens)) == tokens
    mixed = {"kinds": "protein+dna", "ligands": "ATP+MG", "modifications": "SEP", "components": components}
    least = 31 + 1 + 10 + 2
    for tokens in range(least, 2000):
        assert count(generate(tokens, **mixed), components) == tokens


def test_chains_are_of_equal_length_give_or_take_one_and_ligands_come_last(components):
    *chains, first, second = generate(10 + 32, chains=3, kinds="protein+rna", ligands="ATP+MG", components=components).sequences
    assert [len(chain.sequence) for chain in chains] == [4, 3, 3]
    assert [type(chain) for chain in chains] == [Protein, Rna, Protein]
    assert [chain.ids for chain in chains] == [("A",), ("B",), ("C",)]
    assert (first, second) == (Ligand(("D",), ("ATP",)), Ligand(("E",), ("MG",)))


def test_copies_are_one_chain_with_several_ids():
    protein, dna = generate(60, kinds=("protein", "dna"), copies=3).sequences
    assert (protein.ids, len(protein.sequence)) == (("A", "B", "C"), 10)
    assert (dna.ids, len(dna.sequence)) == (("D", "E", "F"), 10)


def test_modified_residues_stand_in_chains_of_their_kind_with_the_letter_of_their_parent(components):
    job = generate(40, kinds="protein+rna", modifications="SEP+PSU", components=components)
    protein, rna = job.sequences
    assert (protein.modifications, protein.sequence[0]) == ((("SEP", 1),), "S")
    assert (rna.modifications, rna.sequence[1]) == ((("PSU", 2),), "U")


@pytest.mark.parametrize("options", [{"seed": 1}, {"msa_depth": 3}, {"chains": 2}, {"templates": 1}])
def test_a_job_is_a_function_of_all_arguments(options):
    job, other, seeded = generate(64, **options), generate(64), generate(64, **{**options, "seed": 9})
    assert job == generate(64, **options)
    assert len({job, other, seeded}) == len({one.sequences[0].sequence for one in (job, other, seeded)}) == 3


def test_a_job_is_the_same_with_every_python():
    assert generate(12).sequences == (Protein(("A",), "PEKQQCKQFNYT"),)


@pytest.mark.parametrize("depth", [0, 1, 50])
def test_msa(depth):
    proteins = generate(120, chains=2, msa_depth=depth).sequences
    assert set("".join(protein.sequence for protein in proteins)) <= RESIDUES
    assert proteins[0].sequence != proteins[1].sequence
    for protein in proteins:
        lines = protein.unpaired_msa.splitlines()
        assert lines[::2] == [f">{index}" for index in range(depth)]
        rows = lines[1::2]
        assert rows[:1] == [protein.sequence][:depth]
        assert {sum(letter.isupper() or letter == "-" for letter in row) for row in rows} <= {60}
        assert set("".join(rows)) <= RESIDUES | set("-ac")
        assert len(rows) == depth


def test_dna_has_neither_msa_nor_templates_and_rna_no_templates():
    protein, rna, dna = generate(30, kinds="protein+rna+dna", msa_depth=4, paired_msa_depth=3, templates=2).sequences
    assert (protein.unpaired_msa.count(">"), protein.paired_msa.count(">"), len(protein.templates)) == (4, 3, 2)
    assert rna.unpaired_msa.count(">") == 4
    assert dna == Dna(("C",), dna.sequence)


TOKENS = "tokens={!r} must be a whole number from 1 to 100,000"
NONE = {"ligands": "ATP", "components": None}
LEAST = "{} must be a whole number of at least {}"
WORDS = "{} must be like {!r}, or a list of such words"


@pytest.mark.parametrize(
    ("tokens", "options", "text"),
    [
        *((tokens, {}, TOKENS.format(tokens)) for tokens in (0, MAX_TOKENS + 1, 5.0, "5", True)),
        (5, {"chains": 0}, LEAST.format("chains=0", 1)),
        (5, {"chains": "A"}, LEAST.format("chains='A'", 1)),
        (5, {"msa_depth": -1}, LEAST.format("msa_depth=-1", 0)),
        (5, {"seed": True}, LEAST.format("seed=True", 0)),
        (5, {"chains": 6}, "tokens=5 is too few for 6 chains: at least 6"),
        (3, {"ligands": "ATP"}, "tokens=3 is too few for 1 chain and ATP (31 tokens): at least 32"),
        (32, {"ligands": "ATP", "chains": 2}, "tokens=32 is too few for 2 chains and ATP (31 tokens): at least 33"),
        (9, {"modifications": ["SEP"]}, "tokens=9 is too few for 1 chain and SEP (10 tokens): at least 11"),
        (7, {"copies": 3}, "tokens=7 is not possible with copies=3 of each chain, 3 chains: the nearest is 6 or 9"),
        (
            35,
            {"copies": 2, "ligands": "ATP+MG"},
            "tokens=35 is not possible with copies=2 of each chain, 2 chains and ATP+MG (32 tokens): the nearest is 34 or 36",
        ),
        (50, {"ligands": 5}, WORDS.format("ligands=5", "ATP+MG")),
        (50, {"ligands": ""}, WORDS.format("ligands=''", "ATP+MG")),
        (50, {"smiles": 5}, "smiles=5 must be a SMILES, like 'CCO', or a list of them"),
        (50, {"kinds": "protein+xna"}, "kinds='protein+xna' must be of protein, rna, dna, like 'protein+rna'"),
        (50, {"kinds": ()}, "kinds=() must be of protein, rna, dna, like 'protein+rna'"),
        (50, {"kinds": "protein+rna", "chains": 1}, "chains=1 are too few for 2 kinds: protein, rna"),
        (50, {"kinds": "dna", "msa_depth": 2}, "msa_depth=2: only proteins and RNA have that, and kinds is dna"),
        (50, {"kinds": "rna", "templates": 2}, "templates=2: only proteins have that, and kinds is rna"),
        (50, {"modifications": "PSU"}, "modification 'PSU' is one of RNA, and there is no such chain: kinds=..."),
        (
            50,
            {"modifications": "ATP"},
            "modification 'ATP' is not a residue of a protein, RNA or DNA in the chemical component dictionary (CCD)",
        ),
        (50, {"ligands": "UNL"}, "ligand 'UNL' has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it"),
        (50, {"ligands": "atp"}, "ligand 'atp' is not a code of the chemical component dictionary (CCD), like 'ATP'"),
        (50, NONE, "ligand 'ATP' cannot be counted: this model has no chemical component dictionary"),
        (
            50,
            {"ligand": "ATP"},
            "'ligand' is not an option of a generated job; did you mean ligands or kinds? (options: chains, ",
        ),
    ],
)
def test_refused(tokens, options, text, monkeypatch, components, a_session):
    if options is NONE:
        monkeypatch.setattr(a_session, "components", None)
    with pytest.raises(UsageError) as caught:
        generate(tokens, **options)
    assert str(caught.value).startswith(text) if text.endswith(", ") else str(caught.value) == text


@pytest.mark.parametrize(("code", "tokens"), [("BMA", 11), ("PHB", 10), ("PSX", 5), ("SUX", 7)])
def test_a_saccharide_that_is_bound_to_nothing_loses_its_o1(code, tokens, components):
    assert count(generate(20, ligands=code, components=components), components) == 20
    with pytest.raises(UsageError, match=rf"{code} \({tokens} tokens\): at least {tokens + 1}$"):
        generate(1, ligands=code, components=components)
