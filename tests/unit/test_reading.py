"""From JSON to jobs: what comes back as it was written, and what is refused with its path, value and rule."""

import copy
import gzip
import importlib.util
import json
import lzma
import random
import sys

import pytest
from mmcif_texts import ENTITIES, RESIDUES, a_component, a_template

from pytest_af3mem.errors import InputError, SetupError
from pytest_af3mem.inputs.chains import Dna, Ligand, Protein, Rna, Template
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.reading import check, from_json, read


def a_template_of(*chains):
    """Without the columns and tables that can be missing."""
    atoms = [atom.replace(" A ", f" {name} ").replace("4.0 2.0", "4.0 -2.0") for name in chains for atom in RESIDUES]
    sequence = {"entity_poly_seq": {"entity_id": "11", "num": "12", "mon_id": ["GLY", "ALA"]}}
    tables = ENTITIES | sequence | {"struct_asym": {"id": chains, "entity_id": ["1" for _ in chains]}}
    return a_template(atoms, tables, without=("group_PDB", "type_symbol", "label_entity_id", "auth_seq_id"))


TEMPLATE = a_template_of("A")
COMPONENT = a_component(
    ("C1 C 0 0.0 0.0 0.0  # a comment", "O1 O 0 1.2 0.0 0.0", "H1 H 0 1.2 1.0 0.0"),
    ("C1 O1 DOUB N", "C1 H1 SING N"),
    name="'mine; of \"two\" atoms'",
    pdbx_synonyms="\n;several\nlines\n;",
)
ATOMS = {
    "ATP": ["PG", "O1G"],
    "ASN": ["N", "CA", "ND2", "H"],
    "NAG": ["C1", "O1", "O4"],
    "SEP": ["N", "OXT"],
    "HHH": ["H"],
    "UNL": [],
    "PSU": ["X"],
    "5CM": ["X"],
    "2MG": ["X"],
    "MG": ["X"],
}


class Components:
    def heavy_atoms(self, code):
        return sum(not name.startswith("H") for name in ATOMS[code])

    def letter(self, code):
        return {"SEP": "S", "PSU": "U", "2MG": "G"}.get(code, "")

    def __getitem__(self, code):
        return {"_chem_comp.type": ["X"], "_chem_comp_atom.atom_id": ATOMS[code], "_chem_comp_atom.type_symbol": ATOMS[code]}


PROTEIN = Protein(
    ("A", "BA"),
    "NACDEF",
    unpaired_msa=">query\nNASDES\n>other\nNAabCDE-\n",
    paired_msa=">query\nNAS\nDES\n",
    modifications=(("SEP", 3), ("SEP", 6)),
    templates=(Template(TEMPLATE, (0, 5), (1, 0)),),
)
EVERYTHING = Job(
    "every kind",
    (
        PROTEIN,
        Protein(("B",), "XG", unpaired_msa=None, paired_msa=None, templates=None),
        Rna(("C",), "ACGUN", ">query\nACGUN\n", (("PSU", 4),)),
        Rna(("D",), "A", None),
        Dna(("E",), "ACGTN", (("5CM", 2),)),
        Ligand(("F", "G"), ("ATP",)),
        Ligand(("H",), ("NAG", "NAG", "MY-1")),
    ),
    seeds=(0, 2**32 - 1),
    bonded_atom_pairs=((("A", 1, "ND2"), ("H", 1, "C1")), (("H", 1, "O4"), ("H", 2, "C1"))),
    user_ccd=COMPONENT,
)
DOCUMENT = json.loads(EVERYTHING.to_json())


def document(edit):
    changed = copy.deepcopy(DOCUMENT)
    edit(changed)
    return json.dumps(changed)


def refusal(text, **how):
    with pytest.raises(InputError) as caught:
        from_json(text, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_again():
    assert from_json(EVERYTHING.to_json()) == [EVERYTHING]
    assert Job.from_json(EVERYTHING.to_json()) == EVERYTHING
    assert hash(EVERYTHING) == hash(Job.from_json(EVERYTHING.to_json()))


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (Job("x", ()), "sequences: [] must not be empty"),
        (
            Job("x", (Dna(("A",), "ACGT", (("5CM", 5),)),)),
            "sequences[0].dna.modifications[0].basePosition: 5 must be from 1 to 4",
        ),
        (Job("x", (Dna(("A",), b"ACGT"),)), "the job cannot be written as JSON: TypeError: "),
        (Job("x", ("ACGT",)), "the job cannot be written as JSON: AttributeError: "),
    ],
)
def test_a_job_that_was_built_by_hand(job, text):
    check(EVERYTHING)
    with pytest.raises(InputError) as caught:
        check(job)
    assert text in str(caught.value)


def test_the_lowest_version_that_can_say_it():
    assert DOCUMENT["version"] == 1
    job = Job("x", (Dna(("A",), "A", description=""), Ligand(("B",), ("ATP",), description="β")))
    assert json.loads(job.to_json())["version"] == 4
    assert from_json(job.to_json()) == [job]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_version_is_read(version):
    assert from_json(document(lambda job: job.update(version=version))) == [EVERYTHING]


def test_an_id_may_stand_alone_and_seeds_may_be_texts():
    def edit(job):
        job["sequences"][1]["protein"]["id"] = "B"
        job["modelSeeds"] = ["0", 2**32 - 1]

    assert from_json(document(edit)) == [EVERYTHING]


@pytest.mark.parametrize(
    "packed", [str.encode, lambda text: gzip.compress(text.encode()), lambda text: lzma.compress(text.encode())]
)
def test_files_are_named_from_where_the_document_lies(tmp_path, packed):
    def edit(job):
        job["version"] = 3
        protein = job["sequences"][0]["protein"]
        for fields, key in ((protein, "unpairedMsa"), (protein, "pairedMsa"), (protein["templates"][0], "mmcif")):
            (tmp_path / "data" / key).write_bytes(packed(fields.pop(key)))
            fields[f"{key}Path"] = f"data/{key}"
        (tmp_path / "data" / "ccd").write_bytes(packed(job.pop("userCCD")))
        job["userCCDPath"] = str(tmp_path / "data" / "ccd")

    (tmp_path / "data").mkdir()
    text = document(edit)
    (tmp_path / "job.json").write_text(text)
    assert read(tmp_path / "job.json") == [EVERYTHING]
    path = "sequences[0].protein.unpairedMsaPath: 'data/unpairedMsa'"
    assert refusal(text) == f"{path} must be an absolute path where the document is not a file"
    (tmp_path / "data" / "unpairedMsa").unlink()
    assert refusal(text, folder=tmp_path) == f"{path} does not exist"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"\xff\xfe", "is not text in UTF-8"),
        (gzip.compress(b">q\nNACDEF", mtime=0)[:-6], "cannot be unpacked"),
        (gzip.compress(b">q\nNACDEF", mtime=0)[:12] + b"x" * 40, "cannot be unpacked"),
        (lzma.compress(b">q\nNACDEF")[:40], "cannot be unpacked"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, rule):
    def edit(job):
        job["sequences"][0]["protein"] |= {"unpairedMsa": "", "unpairedMsaPath": "msa"}

    (tmp_path / "msa").write_bytes(content)
    assert refusal(document(edit), folder=tmp_path) == f"sequences[0].protein.unpairedMsaPath: 'msa' {rule}"


def test_a_document_that_cannot_be_read(tmp_path):
    for path, text in (
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "none", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(InputError, match=text):
            read(path)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        read(tmp_path / "binary")


SERVER = [
    {
        "name": "of the server",
        "modelSeeds": [],
        "sequences": [
            {
                "proteinChain": {
                    "sequence": "PSK",
                    "count": 2,
                    "modifications": [{"ptmType": "CCD_SEP", "ptmPosition": 2}],
                    "useStructureTemplate": False,
                }
            },
            {"rnaSequence": {"sequence": "GUAC", "modifications": [{"modificationType": "CCD_2MG", "basePosition": 1}]}},
            {"dnaSequence": {"sequence": "GATC", "count": 1}},
            {"ligand": {"ligand": "CCD_ATP", "count": 25}},
            {"ion": {"ion": "MG"}},
        ],
        "dialect": "alphafoldserver",
        "version": 1,
    },
    {"name": "another", "modelSeeds": ["7"], "sequences": [{"proteinChain": {"sequence": "PSK"}}]},
]


def test_jobs_of_the_server():
    one, other = from_json(json.dumps(SERVER))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert one == Job(
        "of the server",
        (
            Protein(("A", "B"), "PSK", None, None, (("SEP", 2),), ()),
            Rna(("C",), "GUAC", None, (("2MG", 1),)),
            Dna(("D",), "GATC"),
            Ligand((*letters[4:], "AA", "BA", "CA"), ("ATP",)),
            Ligand(("DA",), ("MG",)),
        ),
        seeds=(1,),
    )
    assert other == Job("another", (Protein(("A",), "PSK", None, None, templates=None),), seeds=(7,))
    with pytest.raises(InputError, match="holds 2 jobs where one is wanted"):
        Job.from_json(json.dumps(SERVER))


def at(*keys, value):
    """An edit of a document: the part at `keys` becomes `value`, or goes if that is `GONE`."""

    def edit(job):
        *way, last = keys
        for key in way:
            job = job[key]
        if value is GONE:
            del job[last]
        else:
            job[last] = value

    return edit


GONE = object()
NO_ATOMS = "has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it"
UNKNOWN = "is not a code of the chemical component dictionary (CCD) nor of userCCD"
FIRST = ("sequences", 0, "protein")
BOND = ("bondedAtomPairs", 0)
TEMPLATES = (*FIRST, "templates", 0)
CAPITALS = "must be capital letters"
CCD_RULE = "must be a CCD code, like 'ATP', without spaces, brackets or the prefix CCD_"


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (at("dialect", value="openfold"), "dialect: 'openfold' must be 'alphafold3'"),
        (at("dialect", value="alphafoldserver"), "dialect: 'alphafoldserver' must be 'alphafold3': its jobs stand in a list"),
        (at("dialect", value=GONE), "dialect: is missing"),
        (at("version", value=GONE), "version: is missing"),
        (at("version", value=5), "version: 5 must be 1, 2, 3 or 4"),
        (at("version", value=True), "version: True must be 1, 2, 3 or 4"),
        (at("version", value="1"), "version: '1' must be 1, 2, 3 or 4"),
        (at("name", value=GONE), "name: is missing"),
        (at("name", value="é"), "name: '\\xe9' must have a letter, a digit, a dot, a dash or an underscore"),
        (at("modelSeeds", value=[]), "modelSeeds: [] must not be empty"),
        (at("modelSeeds", value=[1.5]), "modelSeeds[0]: 1.5 must be a whole number"),
        (at("modelSeeds", value=[1, -1]), "modelSeeds[1]: -1 must be from 0 to 4,294,967,295"),
        (at("modelSeeds", value=["12345678901"]), "modelSeeds[0]: '12345678901' must be a whole number"),
        (at("modelSeed", value=[1]), "modelSeed: 'modelSeed' is not a key here; did you mean modelSeeds? (keys: dialect,"),
        (at("sequences", value=[]), "sequences: [] must not be empty"),
        (at("sequences", value={"protein": {}}), "sequences: {...} must be a list"),
        (at("sequences", 0, value={}), "sequences[0]: {} must have one key of protein, rna, dna, ligand"),
        (
            at("sequences", 0, value={"peptide": {}}),
            "sequences[0].peptide: 'peptide' is not a key here (keys: protein, rna, dna, ligand)",
        ),
        (at(*FIRST, "sequence", value=""), "sequences[0].protein.sequence: '' must not be empty"),
        (at(*FIRST, "sequence", value="NAcDEF"), "sequences[0].protein.sequence: 'NAcDEF' has 'c' at position 3, not of ARND"),
        (
            at("sequences", 2, "rna", "sequence", value="ACGTN"),
            "sequences[2].rna.sequence: 'ACGTN' has 'T' at position 4, not of ACGU",
        ),
        (
            at("sequences", 4, "dna", "sequence", value="ACGU"),
            "sequences[4].dna.sequence: 'ACGU' has 'U' at position 4, not of ACGT",
        ),
        (at(*FIRST, "sequence", value=GONE), "sequences[0].protein.sequence: is missing"),
        (at(*FIRST, "id", value=GONE), "sequences[0].protein.id: is missing"),
        (at(*FIRST, "id", value="a"), f"sequences[0].protein.id: 'a' {CAPITALS}"),
        (at(*FIRST, "id", value=["A", "A2"]), f"sequences[0].protein.id: 'A2' {CAPITALS}"),
        (at(*FIRST, "id", value=["A", "A"]), "sequences[0].protein.id: [...] has an id twice"),
        (at(*FIRST, "id", value=[]), "sequences[0].protein.id: [] must not be empty"),
        (at("sequences", 5, "ligand", "id", value=["A"]), "sequences[5].ligand.id: 'A' is the id of another chain"),
        (
            at(*FIRST, "modifications", 0, "ptmPosition", value=7),
            "sequences[0].protein.modifications[0].ptmPosition: 7 must be from 1 to 6",
        ),
        (
            at(*FIRST, "modifications", 0, "ptmPosition", value=0),
            "sequences[0].protein.modifications[0].ptmPosition: 0 must be from 1 to 6",
        ),
        (
            at(*FIRST, "modifications", 1, "ptmPosition", value=3),
            "sequences[0].protein.modifications[1].ptmPosition: 3 is modified twice",
        ),
        (
            at(*FIRST, "modifications", 0, "ptmType", value="CCD_SEP"),
            f"sequences[0].protein.modifications[0].ptmType: 'CCD_SEP' {CCD_RULE}",
        ),
        (at(*FIRST, "modifications", 0, "x", value=1), "sequences[0].protein.modifications[0].x: 'x' is not a key here"),
        (
            at(*FIRST, "unpairedMsa", value=">q\nNYCDEF\n"),
            "starts with another sequence than the query: 'Y' at position 2, where the query has 'A'",
        ),
        (
            at(*FIRST, "unpairedMsa", value=">q\nNACDEF\n>r\nNACDEFF"),
            "has 7 columns in row 2, and the query has 6: all rows must have as many",
        ),
        (at(*FIRST, "unpairedMsa", value=">q\nNACDEF\n>r\nNAC*EF"), "has '*' in row 2: only letters and hyphens are allowed"),
        (at(*FIRST, "unpairedMsa", value=5), "sequences[0].protein.unpairedMsa: 5 must be a text"),
        (
            at(*FIRST, "unpairedMsaPath", value="x"),
            "sequences[0].protein.unpairedMsaPath: 'x' is given beside unpairedMsa: only one",
        ),
        (
            at(*FIRST, "pairedMsa", value=">q\nNACDE"),
            "sequences[0].protein.pairedMsa: '>q\\nNACDE' has 5 columns in row 1, and the query has 6",
        ),
        (at(*FIRST, "templates", value="1ABC"), "sequences[0].protein.templates: '1ABC' must be a list"),
        (at(*TEMPLATES, "mmcif", value=GONE), "sequences[0].protein.templates[0]: {...} must have one of mmcif and mmcifPath"),
        (
            at(*TEMPLATES, "mmcif", value="HEADER"),
            "sequences[0].protein.templates[0].mmcif: 'HEADER' is not mmCIF: it does not start with data_ and a name",
        ),
        (at(*TEMPLATES, "mmcif", value=TEMPLATE[:-4]), "is not mmCIF: wrong number of values in loop _atom_site.* (line"),
        (at(*TEMPLATES, "mmcif", value=TEMPLATE.replace("-2.0", "?")), "has '?' for a coordinate in _atom_site.Cartn_y"),
        (
            at(*TEMPLATES, "mmcif", value=TEMPLATE.replace("1999-", "1999.")),
            "has no release date: state _pdbx_audit_revision_history",
        ),
        (at(*TEMPLATES, "mmcif", value=TEMPLATE.replace("label_asym_id", "asym")), "has no _atom_site.label_asym_id"),
        (at(*TEMPLATES, "mmcif", value=TEMPLATE + TEMPLATE.replace("1ABC", "2")), "must be one structure, and has 2 data blocks"),
        (at(*TEMPLATES, "mmcif", value=a_template_of("A", "B")), "must hold a single polymer chain with atoms, and has 2"),
        (
            at(*TEMPLATES, "queryIndices", value=[0, 6]),
            "sequences[0].protein.templates[0].queryIndices[1]: 6 must be from 0 to 5",
        ),
        (
            at(*TEMPLATES, "queryIndices", value=[5, 5]),
            "sequences[0].protein.templates[0].queryIndices: [...] has an index twice",
        ),
        (
            at(*TEMPLATES, "templateIndices", value=[0, 2]),
            "sequences[0].protein.templates[0].templateIndices[1]: 2 must be from 0 to 1",
        ),
        (
            at(*TEMPLATES, "templateIndices", value=[-1, 0]),
            "sequences[0].protein.templates[0].templateIndices[0]: -1 must be from 0 to 1",
        ),
        (
            at(*TEMPLATES, "templateIndices", value=[0]),
            "sequences[0].protein.templates[0].templateIndices: [...] must be as long as queryIndices: 1 against 2",
        ),
        (at("sequences", 5, "ligand", "ccdCodes", value=[]), "sequences[5].ligand.ccdCodes: [] must not be empty"),
        (at("sequences", 5, "ligand", "ccdCodes", value="ATP"), "sequences[5].ligand.ccdCodes: 'ATP' must be a list"),
        (at("sequences", 5, "ligand", "ccdCodes", value=["A)(B"]), f"sequences[5].ligand.ccdCodes[0]: 'A)(B' {CCD_RULE}"),
        (at("sequences", 5, "ligand", "smiles", value="CC"), "sequences[5].ligand: {...} must have one of ccdCodes and smiles"),
        (at("sequences", 5, "ligand", value={"id": "F"}), "sequences[5].ligand: {...} must have one of ccdCodes and smiles"),
        (at("sequences", 5, "ligand", "description", value=5), "sequences[5].ligand.description: 5 must be a text"),
        (at(*BOND, value=[["A", 1, "ND2"]]), "bondedAtomPairs[0]: [...] must be a pair of atoms, and has 1"),
        (
            at(*BOND, 0, value=["A", 1]),
            "bondedAtomPairs[0][0]: [...] must be an atom: [chain id, residue from 1, name of the atom]",
        ),
        (at(*BOND, 0, 0, value="Z"), "bondedAtomPairs[0][0][0]: 'Z' is not the id of a chain"),
        (at(*BOND, 0, 1, value=7), "bondedAtomPairs[0][0][1]: 7 must be from 1 to 6"),
        (at(*BOND, 1, 1, value=4), "bondedAtomPairs[0][1][1]: 4 must be from 1 to 3"),
        (at(*BOND, 1, value=["H", 3, "H1"]), "bondedAtomPairs[0][1][2]: 'H1' is a hydrogen: AlphaFold 3 ignores its bonds"),
        (at(*BOND, 1, value=["C", 2, "OP3"]), "bondedAtomPairs[0][1][2]: 'OP3' is an atom that AlphaFold 3 gives to the first"),
        (at(*BOND, 1, 2, value=""), "bondedAtomPairs[0][1][2]: '' must not be empty"),
        (at(*BOND, 1, value=["A", 1, "ND2"]), "bondedAtomPairs[0]: [...] is a bond of an atom to itself"),
        (at(*BOND, value=DOCUMENT["bondedAtomPairs"][1]), "bondedAtomPairs[1]: [...] is a bond that is given twice"),
        (at(*BOND, 1, value=["H", 3, "C9"]), "bondedAtomPairs[0][1][2]: 'C9' is not an atom of MY-1"),
        (
            at("userCCD", value=COMPONENT.replace("_chem_comp.type non-polymer\n", "")),
            "lacks _chem_comp.type for the component 'MY-1'",
        ),
        (at("userCCD", value=COMPONENT.replace("data_MY-1", "data_MY-2")), "names the component 'MY-1' in the block 'data_MY-2'"),
        (at("userCCD", value=COMPONENT.replace("?", "")), "is not mmCIF: _chem_comp.formula has no value"),
    ],
)
def test_refused_with_path_value_and_rule(edit, text):
    assert text in refusal(document(edit), strict=True)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (at(5, value=["atp"]), f"sequences[5].ligand.ccdCodes[0]: 'atp' {UNKNOWN}; did you mean ATP?"),
        (at(5, value=["XXX"]), f"sequences[5].ligand.ccdCodes[0]: 'XXX' {UNKNOWN}"),
        (at(5, value=["UNL"]), f"sequences[5].ligand.ccdCodes[0]: 'UNL' {NO_ATOMS}"),
        (at(6, value=["ATP", "NAG"]), "bondedAtomPairs[0][1][2]: 'C1' is not an atom of ATP"),
    ],
)
def test_codes_and_atoms_are_looked_up_where_there_is_a_dictionary(edit, text):
    def whole(job):
        codes = dict.fromkeys((5, 6))
        edit(codes)
        for index, value in codes.items():
            if value:
                job["sequences"][index]["ligand"]["ccdCodes"] = value

    assert refusal(document(whole), components=Components()) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is not valid JSON: Expecting value (line 1, column 1)"),
        ('{"dialect": "alphafold3",}', "is not valid JSON: "),
        ('{"version": NaN}', "is not valid JSON: NaN is not a number there"),
        ('{"version": 1, "version": 2}', "version: 'version' is a key that appears twice in one object"),
        ("[" * 100_000, "is not JSON that can be read"),
        (f'{{"version": {"9" * 5000}}}', "is not JSON that can be read"),
        ("5", "must be an object (dialect alphafold3) or a list of objects (dialect alphafoldserver)"),
        ("[]", "[] has no jobs"),
        ("[5]", "[0]: 5 must be an object"),
    ],
)
def test_what_is_no_job_at_all(text, rule):
    assert refusal(text, strict=True).startswith(rule)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (at("name", value=GONE), "[0].name: is missing"),
        (at("version", value=GONE), "[0]: {...} must state both dialect and version, or neither"),
        (at("version", value=2), "[0].version: 2 must be 1"),
        (at("dialect", value="alphafold3"), "[0].dialect: 'alphafold3' must be 'alphafoldserver' in a list"),
        (at("sequences", value=[]), "[0].sequences: [] must not be empty"),
        (at("sequences", 0, "proteinChain", "count", value=0), "[0].sequences[0].proteinChain.count: 0 must be at least 1"),
        (at("sequences", 0, "proteinChain", "glycans", value=[]), "[0].sequences[0].proteinChain.glycans: [] is not supported"),
        (
            at("sequences", 0, "proteinChain", "maxTemplateDate", value="x"),
            "[0].sequences[0].proteinChain.maxTemplateDate: 'x' is not",
        ),
        (at("sequences", 0, "proteinChain", "useStructureTemplate", value=1), "useStructureTemplate: 1 must be true or false"),
        (at("sequences", 0, "proteinChain", "sequence", value="PS-"), "[0].sequences[0].proteinChain.sequence: 'PS-' has '-' at"),
        (at("sequences", 3, "ligand", "ligand", value=5), "[0].sequences[3].ligand.ligand: 5 must be a text"),
        (at("sequences", 4, "ion", "charge", value=2), "[0].sequences[4].ion.charge: 'charge' is not a key here"),
    ],
)
def test_jobs_of_the_server_refused(edit, text):
    changed = copy.deepcopy(SERVER)
    edit(changed[0])
    assert text in refusal(json.dumps(changed), strict=True)


def test_smiles():
    pytest.importorskip("rdkit")
    job = Job("x", (Ligand(("A",), smiles="CC(=O)OC1C[NH+]2CCC1CC2"),))
    assert from_json(job.to_json()) == [job]
    for smiles, rule in (
        ("CC(", "is not a SMILES that RDKit reads"),
        ("[H][H]", "has no atoms but hydrogens"),
        ("", "must not be empty"),
    ):
        text = Job("x", (Ligand(("A",), smiles=smiles),)).to_json()
        assert refusal(text) == f"sequences[0].ligand.smiles: {smiles!r} {rule}"
    bonded = Job("x", (*job.sequences, Dna(("B",), "A")), bonded_atom_pairs=((("A", 1, "C1"), ("B", 1, "P")),))
    assert refusal(bonded.to_json()).startswith("bondedAtomPairs[0][0][0]: 'A' is a ligand by SMILES")


def test_smiles_without_rdkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(SetupError, match=r"a ligand given as SMILES needs RDKit, .*: pip install rdkit"):
        from_json(Job("x", (Ligand(("A",), smiles="CCCCCCCCCN"),)).to_json())


ODD = (
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    "",
    "A",
    "\ud800",
    "\x00",
    "é" * 70,
    "CC(",
    ">q\nACD",
    "data_x\n_a.b 1",
    [],
    [[]],
    {},
    {"a": 1},
)


def mutated(source, value):
    """A copy of a document with one part removed, doubled, replaced by something odd, by another part, or edited as text."""
    value = copy.deepcopy(value)
    places = [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    for owner, key in places:
        part = owner[key]
        if isinstance(part, dict | list):
            places += [(part, inner) for inner in (part if isinstance(part, dict) else range(len(part)))]
    for _ in range(source.randint(1, 3)):
        owner, key = source.choice(places)
        if key not in owner if isinstance(owner, dict) else key >= len(owner):
            continue
        part = owner[key]
        match source.randrange(6):
            case 0:
                del owner[key]
            case 1 if isinstance(owner, list):
                owner.insert(key, part)
            case 2 if isinstance(owner, dict):
                owner[source.choice(["id", "smiles", "mmcifPath", "x y", "\n"])] = owner.pop(key)
            case 3:
                other, inner = source.choice(places)
                if inner in other if isinstance(other, dict) else inner < len(other):
                    owner[key] = copy.deepcopy(other[inner])
            case 4 if isinstance(part, str) and part:
                cut = source.randrange(len(part))
                owner[key] = (
                    part[:cut] + source.choice(["", "'", '"', ";", "\n", "#", "_", "\x00", "loop_ ", "é"]) + part[cut + 1 :]
                )
            case _:
                owner[key] = copy.deepcopy(source.choice(ODD))
    return value


@pytest.mark.parametrize("seed", range(6))
def test_of_mutated_documents_come_jobs_or_errors_alone(seed, tmp_path):
    source = random.Random(seed)
    with_smiles = copy.deepcopy(DOCUMENT)
    if importlib.util.find_spec("rdkit"):
        with_smiles["sequences"].append({"ligand": {"id": "SM", "smiles": "CC(=O)[O-]"}})
    refused = []
    for _ in range(250):
        text = json.dumps(mutated(source, source.choice([DOCUMENT, with_smiles, SERVER])))
        if not source.randrange(4):
            cut = source.randrange(len(text))
            text = text[:cut] + source.choice(["", "{", '"', "\\u", "1e999", "]"]) + text[cut + source.randrange(5) :]
        try:
            jobs = from_json(text, components=source.choice([None, Components()]), folder=tmp_path)
        except InputError as error:
            refused.append(str(error))
        else:
            assert jobs
            assert [Job.from_json(job.to_json()) for job in jobs] == jobs
    assert all(len(text.splitlines()) == 1 for text in refused)
    assert 50 < len(refused) < 250
