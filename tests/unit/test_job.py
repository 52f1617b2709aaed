import itertools
import json

from pytest_af3mem.inputs.chains import Ligand, Protein, chain_ids
from pytest_af3mem.inputs.job import Job


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


def test_chain_ids():
    ids = list(itertools.islice(chain_ids(), 26 + 26**2 + 1))
    assert (ids[0], ids[25], ids[26], ids[27], ids[52], ids[-2], ids[-1]) == ("A", "Z", "AA", "BA", "AB", "ZZ", "AAA")
    assert len(set(ids)) == len(ids)
