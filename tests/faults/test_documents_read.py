"""Documents are read as AlphaFold 3 reads them: null, empty texts, keys twice. What it mistakes is noted; strict refuses it."""

import copy
import json

import pytest

from pytest_af3mem.errors import InputError, UsageError
from pytest_af3mem.inputs import synthesis
from pytest_af3mem.inputs.chains import Ligand, Protein
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.reading import from_json, read
from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

PROTEIN = {"id": "A", "sequence": "MKTANIAGSS", "unpairedMsa": "", "pairedMsa": "", "templates": []}
JOB = {"name": "x", "modelSeeds": [1], "sequences": [{"protein": PROTEIN}], "dialect": "alphafold3", "version": 1}
TEMPLATE = synthesis.template("GAST").mmcif
SERVER = {"name": "x", "sequences": [{"proteinChain": {"sequence": "MKTANIAGSS"}}]}


def job(*sequences, **fields):
    return json.dumps({**JOB, **({"sequences": list(sequences)} if sequences else {}), **fields})


def protein(**fields):
    return job({"protein": {**PROTEIN, **fields}})


def server(chain=None, **fields):
    sequences = {"sequences": [{"proteinChain": {"sequence": "MKTANIAGSS", **chain}}]} if chain else {}
    return json.dumps([{**SERVER, **sequences, **fields}])


def refusal(text, **how):
    with pytest.raises(InputError) as caught:
        from_json(text, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_second_kind_of_chain_that_is_null():
    text = job({"protein": PROTEIN, "rna": None})
    assert refusal(text) == "sequences[0]: {...} must have one key of protein, rna, dna, ligand"


@pytest.mark.parametrize(
    "text",
    [
        job(bondedAtomPairs=None, userCCD=None, userCCDPath=None),
        protein(**dict.fromkeys(("unpairedMsa", "unpairedMsaPath", "pairedMsa", "pairedMsaPath", "templates", "description"))),
        job({"rna": {"id": "A", "sequence": "ACGU", "unpairedMsa": None, "unpairedMsaPath": None, "description": None}}),
        job({"dna": {"id": "A", "sequence": "ACGT", "description": None}}),
        job({"ligand": {"id": "A", "ccdCodes": ["ATP"], "smiles": None, "description": None}}),
        server(modelSeeds=None),
    ],
)
def test_null_is_absent_where_alphafold_3_reads_it_so(text):
    (job,) = from_json(text, strict=True)
    assert job.notes == ()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (job(name=None), "name: null must be a text"),
        (job(modelSeeds=None), "modelSeeds: null must be a list"),
        (job(sequences=None), "sequences: null must be a list"),
        (job(version=None), "version: null must be 1, 2, 3 or 4"),
        (job({"protein": None}), "sequences[0].protein: null must be an object"),
        (protein(id=None), "sequences[0].protein.id: null must be a text"),
        (protein(sequence=None), "sequences[0].protein.sequence: null must be a text"),
        (protein(modifications=None), "sequences[0].protein.modifications: null must be a list"),
        (
            protein(modifications=[{"ptmType": None, "ptmPosition": 1}]),
            "sequences[0].protein.modifications[0].ptmType: null must be a text",
        ),
        (
            protein(templates=[{"mmcif": TEMPLATE, "queryIndices": [], "templateIndices": None}]),
            "sequences[0].protein.templates[0].templateIndices: null must be a list",
        ),
        (
            job({"rna": {"id": "A", "sequence": "ACGU", "modifications": None}}),
            "sequences[0].rna.modifications: null must be a list",
        ),
        (
            job({"ligand": {"id": "A", "ccdCodes": None, "smiles": "CC"}}),
            "sequences[0].ligand: {...} must have one of ccdCodes and smiles",
        ),
        (server(dialect=None, version=None), "[0].dialect: null must be 'alphafoldserver' in a list"),
        (
            server({"glycans": None}),
            "[0].sequences[0].proteinChain.glycans: null is not supported by AlphaFold 3",
        ),
        (server({"count": None}), "[0].sequences[0].proteinChain.count: null must be a whole number"),
    ],
)
def test_null_is_refused_where_alphafold_3_fails_on_it(text, rule):
    assert refusal(text).startswith(rule)


@pytest.mark.parametrize(
    "text",
    [
        protein(unpairedMsa=">q\nMKTANIAGSS\n", unpairedMsaPath=""),
        protein(unpairedMsaPath="", pairedMsaPath=""),
        job(userCCD="", userCCDPath=""),
        job({"ligand": {"id": "A", "ccdCodes": ["ATP"], "smiles": ""}}),
    ],
)
def test_an_empty_text_is_absent(text):
    assert from_json(text, strict=True)


def test_an_empty_msa_stays_one_that_is_not_searched():
    (read,) = from_json(protein(unpairedMsa="", pairedMsa=None))
    assert (read.sequences[0].unpaired_msa, read.sequences[0].paired_msa) == ("", None)


TWICE = job().replace('"name": "x"', '"name": "y", "name": "x"')


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (TWICE, "name: 'name' is a key that appears twice in one object"),
        (
            protein(modifications=[{"ptmType": "SEP", "ptmPosition": 9}, {"ptmType": "TPO", "ptmPosition": 9}]),
            "sequences[0].protein.modifications[1].ptmPosition: 9 is modified twice: AlphaFold 3 takes the last",
        ),
        (
            protein(modifications=[{"ptmType": "SEP", "ptmPosition": 9, "why": "?"}]),
            "sequences[0].protein.modifications[0].why: 'why' is not a key here",
        ),
        (
            protein(modifications=[{"ptmType": "SEP", "ptmPosition": True}]),
            "sequences[0].protein.modifications[0].ptmPosition: True",
        ),
        (job(modelSeeds=[1.5]), "modelSeeds[0]: 1.5 must be a whole number: AlphaFold 3 reads it as 1"),
        (job(version=True), "version: True must be 1, 2, 3 or 4"),
        (protein(description=["x"]), "sequences[0].protein.description: [...] must be a text; AlphaFold 3 does not read it"),
        (job(bondedAtomPairs=[[["A", 1, "CA"]] * 2]), "bondedAtomPairs[0]: [...] is a bond of an atom to itself"),
        (
            server({"useStructureTemplate": None}),
            "[0].sequences[0].proteinChain.useStructureTemplate: null must be true or false",
        ),
        (
            json.dumps([{**SERVER, "sequences": [{**SERVER["sequences"][0], "ion": {"ion": "MG"}}]}]),
            "[0].sequences[0]: {...} must have one key of proteinChain, rnaSequence, dnaSequence, ion, ligand: AlphaFold 3 reads",
        ),
    ],
)
def test_what_alphafold_3_mistakes_is_noted_and_refused_if_strict(text, note):
    (read,) = from_json(text)
    (noted,) = read.notes
    assert noted.startswith(note)
    assert refusal(text, strict=True).startswith(note)
    assert read == Job.from_json(read.to_json()), "what is written is what AlphaFold 3 takes"


def test_the_last_of_two_modifications_stands():
    text = protein(modifications=[{"ptmType": "SEP", "ptmPosition": 9}, {"ptmType": "TPO", "ptmPosition": 9}])
    assert Job.from_json(text).sequences[0].modifications == (("TPO", 9),)


def test_a_chain_of_the_server_without_copies_is_left_out():
    sequences = [{"proteinChain": {"sequence": "MKT", "count": 0}}, {"ligand": {"ion": "MG"}}]
    (read,) = from_json(json.dumps([{**SERVER, "sequences": sequences}]))
    assert read.sequences == (Ligand(("A",), ("MG",)),)
    assert read.notes == ("[0].sequences[0].proteinChain.count: 0 must be at least 1: AlphaFold 3 leaves the chain out",)


def test_notes_of_one_job_are_not_those_of_another():
    one, other = copy.deepcopy(SERVER), copy.deepcopy(SERVER)
    one["sequences"][0]["proteinChain"]["sequence"] = "MKTU"
    found = from_json(json.dumps([one, other]))
    assert [len(job.notes) for job in found] == [1, 0]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ({"unpairedMsa": "name.txt"}, "unpairedMsaPath"),
        ({"templates": [{"mmcif": "name.txt", "queryIndices": [], "templateIndices": []}]}, "mmcifPath"),
    ],
)
def test_the_name_of_a_file_where_its_text_belongs(tmp_path, monkeypatch, text, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "name.txt").write_text("")
    assert refusal(protein(**text)).endswith(f"'name.txt' is the name of a file: give it as {key}")


def test_the_name_of_a_file_of_components(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.cif").write_text("")
    assert refusal(job(userCCD="own.cif")) == "userCCD: 'own.cif' is the name of a file: give it as userCCDPath"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_brackets_that_are_nested_too_deeply(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(InputError, match=r"^is not JSON that can be read: its brackets are nested too deeply$"):
        read(tmp_path / "job.json")
    with pytest.raises(UsageError, match=r"is not JSON that can be read: its brackets are nested too deeply$"):
        baseline_file.read(tmp_path / "job.json")


def test_templates_are_checked_where_alphafold_3_reads_them():
    broken = [{"mmcif": "HEADER", "queryIndices": [0], "templateIndices": [0]}]
    whole = [{"mmcif": TEMPLATE, "queryIndices": [0], "templateIndices": [3]}]
    unread = [*broken, {"queryIndices": [9], "templateIndices": [9]}]
    short = {"protein": {**PROTEIN, "id": "B", "sequence": "GAST", "templates": unread}}
    again = {"protein": {**PROTEIN, "id": "C", "templates": broken}}
    assert refusal(job(again)).startswith("sequences[0].protein.templates[0].mmcif: 'HEADER'")
    (read,) = from_json(job({"protein": {**PROTEIN, "templates": whole}}, short, again))
    (note,) = read.notes
    assert note.startswith("sequences[2].protein.templates: [...] are not read: AlphaFold 3 takes those of the first protein")


class _NoModel:
    """The pool of a machine without AlphaFold 3."""

    def __init__(self, settings):
        pass

    def __getattr__(self, name):
        raise UsageError("AlphaFold 3 is not installed")

    def close(self):
        pass


def test_tokens_and_bucket_of_a_plain_protein_need_no_alphafold_3():
    session = Session(Settings(buckets=(8, 16)), pool=_NoModel)
    try:
        job = Job.from_json(protein())
        assert job == Job("x", (Protein(("A",), "MKTANIAGSS"),))
        assert (job.tokens, job.bucket) == (10, 16)
    finally:
        session.close()
