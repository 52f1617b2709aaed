"""Letters that are not residues are unknown ones to AlphaFold 3, one token each: counted, with a note."""

import json

import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.errors import InputError
from pytest_af3mem.inputs import tokens
from pytest_af3mem.inputs.chains import Dna, Ligand, Protein, Rna
from pytest_af3mem.inputs.job import Job


@pytest.mark.parametrize(
    ("chain", "note"),
    [
        (
            Protein(("A",), "MKTABIAGZS"),
            "sequences[0].protein.sequence: 'MKTABIAGZS' has 'B' at position 5, 'Z' at position 9, "
            "not of ARNDCQEGHILKMFPSTWYV: AlphaFold 3 takes it for X, unknown, one token each",
        ),
        (Protein(("A",), "MUUOJ"), "has 'U' at position 2, 'O' at position 4, 'J' at position 5, not of ARND"),
        (Protein(("A",), "mKTA"), "has 'm' at position 1, not of ARND"),
        (Protein(("A",), "McDeFgh"), "has 'c' at position 2, 'e' at position 4, 'g' at position 6 and 1 more, not of ARND"),
        (Rna(("A",), "ACGT"), "has 'T' at position 4, not of ACGU: AlphaFold 3 takes it for N, unknown"),
        (Dna(("A",), "IACG"), "has 'I' at position 1, not of ACGT: AlphaFold 3 takes it for N, unknown"),
    ],
)
def test_unknown_letters_are_counted_and_noted(chain, note):
    job = Job("x", (chain,))
    read = Job.from_json(job.to_json())
    assert read == job
    assert tokens.count(read) == len(chain.sequence)
    assert [note in noted for noted in read.notes] == [True]
    with pytest.raises(InputError, match="AlphaFold 3 takes it for"):
        Job.from_json(job.to_json(), strict=True)


@pytest.mark.parametrize("chain", [Protein(("A",), "MXA"), Rna(("A",), "ANC"), Dna(("A",), "NAC")])
def test_the_letters_for_unknown_residues_are_no_news(chain):
    assert Job.from_json(Job("x", (chain,)).to_json(), strict=True).notes == ()


def test_a_chain_of_unknown_letters_alone_is_left_out():
    job = Job("x", (Protein(("A",), "mkta"), Protein(("B",), "GA")))
    assert tokens.count(Job.from_json(job.to_json())) == 2


class _Components:
    """The dictionary, of two components alone."""

    atoms = {"UNK": "N CA C O CB CG OXT".split(), "GLY": "N CA C O OXT".split()}  # noqa: RUF012

    def heavy_atoms(self, code):
        return len(self.atoms[code])

    def letter(self, code):
        return ""

    def __getitem__(self, code):
        return {"_chem_comp_atom.atom_id": self.atoms[code], "_chem_comp_atom.type_symbol": ["C"] * len(self.atoms[code])}


@pytest.mark.parametrize("chain", [Rna(("A",), "ACG", modifications=(("UNK", 2),)), Ligand(("A",), ("UNK", "GLY"))])
def test_where_it_is_atoms_an_unknown_residue_has_those_of_glycine(chain):
    assert tokens.count(Job("x", (chain,)), _Components()) == (7 if isinstance(chain, Rna) else 10)


def test_what_is_not_a_letter_is_refused():
    with pytest.raises(InputError, match=r"'MK-A' has '-' at position 3: only letters are allowed"):
        Job.from_json(Job("x", (Protein(("A",), "MK-A"),)).to_json())


def test_the_commands_say_so_and_refuse_if_strict(tmp_path, capsys):
    path = tmp_path / "job.json"
    path.write_text(Job("x", (Protein(("A",), "MKTU"),)).to_json())
    ask = ["tokens", str(path), "--buckets", "8", "--json", "-"]

    assert cli.main(ask) == commands.OK
    output, errors = capsys.readouterr()
    ((noted,),) = (job["notes"] for job in json.loads(output)["jobs"])
    assert errors == f"af3mem: note: {path}: {noted}\n"

    assert cli.main([*ask, "--strict"]) == commands.USAGE
    assert capsys.readouterr().err == f"af3mem: '{path}': {noted}\n"

    assert cli.main(["measure", "--job", str(path), "--buckets", "8", "--strict"]) == commands.USAGE
    assert noted in capsys.readouterr().err
