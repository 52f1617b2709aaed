"""Whom AlphaFold 3 refuses we refuse, whom it runs we count, and our count is its own: of documents with faults put into them.

A run of `pytest --hypothesis-profile=thorough tests/alphafold3/test_agreement.py` shows some thousands of documents to its loader
and featuriser; the usual one some hundreds.
"""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from mmcif_texts import a_component

from pytest_af3mem import jobs
from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs import reading, synthesis
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

REFERENCE = Path(__file__).with_name("reference.py")
DOCUMENTS_OF_AN_EXAMPLE = 10  # as many more than other tests show, for a document takes a tenth of a second

STRICTER = {
    r"must be (a text|a list|a whole number|an object)": "another type than a document should have, which Python takes too",
    r"must be from -?[\d,]+ to": "a number that counts from the end, or more copies than anybody folds",
    r"ccdCodes\[\d+\]: '' must not be empty": "an empty code, over which its sequences in brackets jump",
    r"must be capital letters": "another letter in the id of a chain that is left out, at which it looks no further",
    r"is not valid JSON: \S+ is not a number there": "NaN and Infinity, which JSON does not have",
    r"cannot be read|does not exist": "a path that AlphaFold 3 does not open, for the other dialect has none",
}
"""What we refuse and AlphaFold 3 runs, by our text, and why."""

LOOSER: dict[str, str] = {}
"""What we count and AlphaFold 3 refuses, by its text, and why."""

COMPONENT = a_component(("C1 C 0 0.0 0.0 0.0", "O1 O 0 1.4 0.0 0.0", "O2 O 0 -1.4 0.0 0.0"), ("C1 O1 SING N", "C1 O2 SING N"))


def _template(sequence, *hits):
    return {
        "mmcif": synthesis.template(sequence).mmcif,
        "queryIndices": [hit[0] for hit in hits],
        "templateIndices": [hit[1] for hit in hits],
    }


PROTEIN = {
    "id": "A",
    "sequence": "MKTANIAGSS",
    "modifications": [{"ptmType": "SEP", "ptmPosition": 9}],
    "unpairedMsa": "#10\t1\n>101\nMKTANIAGSS\n>b\nMKaaT-NIAGSS\n",
    "pairedMsa": ">q\nMKTANIAGSS\n",
    "templates": [_template("GASTGAST", (0, 0), (3, 2), (9, 7))],
}
SECOND = {"id": ["B", "C"], "sequence": "GASTX", "unpairedMsa": "", "pairedMsa": ">q\nGASTX\n>r\nGA-TA\n", "templates": []}
RNA = {"id": "R", "sequence": "ACGUNC", "modifications": [{"modificationType": "PSU", "basePosition": 4}], "unpairedMsa": None}
DNA = {"id": "D", "sequence": "ACGTA", "modifications": [{"modificationType": "5CM", "basePosition": 2}], "description": "x"}
LIGANDS = [{"ligand": {"id": ["L", "M"], "ccdCodes": ["NAG", "NAG"]}}, {"ligand": {"id": "S", "smiles": "CC(=O)O"}}]
BONDS = [[["L", 1, "O4"], ["L", 2, "C1"]], [["A", 5, "ND2"], ["L", 1, "C1"]]]


def _job(*sequences, version=1, **more):
    return {"name": "x", "modelSeeds": [1], "sequences": list(sequences), "dialect": "alphafold3", "version": version, **more}


VALID = [
    _job({"protein": PROTEIN}),
    _job({"protein": PROTEIN}, {"protein": SECOND}, version=2),
    _job({"protein": SECOND}, {"rna": RNA | {"unpairedMsa": ">q\nACGUNC\n>r\nACG-NCu\n"}}, {"dna": DNA}, version=4),
    _job({"protein": PROTEIN}, *LIGANDS, version=3, bondedAtomPairs=BONDS),
    _job({"rna": RNA}, {"ligand": {"id": "Y", "ccdCodes": ["MY-1"]}}, userCCD=COMPONENT, bondedAtomPairs=[]),
    [
        {
            "name": "of the server",
            "modelSeeds": [],
            "sequences": [
                {
                    "proteinChain": {
                        "sequence": "MKTAYIA",
                        "count": 2,
                        "modifications": [{"ptmType": "CCD_SEP", "ptmPosition": 2}],
                        "useStructureTemplate": False,
                    }
                },
                {"rnaSequence": {"sequence": "ACGU"}},
                {"ligand": {"ligand": "CCD_ATP"}},
            ],
            "dialect": "alphafoldserver",
            "version": 1,
        },
        {
            "name": "another",
            "modelSeeds": ["7"],
            "sequences": [
                {"dnaSequence": {"sequence": "ACGT", "modifications": [{"modificationType": "CCD_5CM", "basePosition": 2}]}},
                {"ion": {"ion": "MG", "count": 3}},
            ],
        },
    ],
]

ANYTHING = [None, "", " ", "x", "A", "1", [], {}, ["A"], [None], {"a": 1}, 0, 1, 2, -1, 3.0, 1.5, True, False, 10**12]
CODES = "SEP MSE ALA UNK sep CCD_SEP SEC ATP MG HOH UNX H D8U ZZZZZ MY-1 PSU 5CM A DA N TPO CCD_ATP NAG".split()
OF_KEY = {
    "id": ["B", "AB", "a", "A1", "Ab", "É", ["A", "B"], ["A", "A"], ["A", ""]],
    "sequence": ["M", "GAST", "XXXXX", "MKTANIAGSB", "mktania", "MKUOJ", "ACGU", "ACGI", "NNNN", "AC-GT", "AC GT", "MKT*", "ÄG"],
    "ptmType": CODES,
    "modificationType": CODES,
    "ligand": CODES,
    "ion": CODES,
    "ccdCodes": [["ATP"], ["MG", "MG"], ["ZZZZZ"], ["NAG", "ATP"], ["HOH"], ["UNK"], ["D8U"]],
    "smiles": ["C", "[H][H]", "C(", "*", "CC name", "[2H]C", "[Na+].[Cl-]"],
    "unpairedMsa": ["MKTANIAGSS\n", "msa.a3m", ">q\n", "\n", ">q\nMKTANIAGSB\n", ">q\nMKTANIAGXS\n", "/tmp"],
    "pairedMsa": ["MKTANIAGSS\n", ">q\nAAAAAAAAAA\n", ">q\nGASTA\n", ">q\nGAST\n"],
    "mmcif": ["data_x\n", "HEADER", "/tmp"],
    "userCCD": ["data_", "data_x\n", "HEADER", "/tmp"],
    "unpairedMsaPath": ["none.a3m"],
    "modelSeeds": [[1, 1], ["7"], [" 7 "], ["7.5"], [2**32], [2**32 - 1], "12"],
    "version": [1, 2, 3, 4, 5, "1"],
    "dialect": ["alphafold3", "alphafoldserver"],
    "name": ["é", "a/b", "..", "é x", "\n"],
    "count": [0, -1, 1, 4],
    "queryIndices": [[0], [0, 0, 1], [0, 3, 10], [-1, 0, 1], [0, 1, 2, 3]],
    "templateIndices": [[0], [0, 0, 1], [0, 3, 8], [-1, 0, 1], [0, 1, 2, 3]],
    "bondedAtomPairs": [
        [[["A", 1, "CA"], ["A", 1, "CA"]]],
        [[["A", 1, "HA"], ["A", 2, "CA"]]],
        [[["A", 1, "CA"], ["A", 2, "XX"]]],
        [[["A", 1, "CA"]]],
        [[["L", 1, "O1"], ["M", 1, "O1"]]] * 2,
        [[["S", 1, "C1"], ["A", 1, "CA"]]],
        [[["Z", 1, "C1"], ["A", 1, "CA"]]],
        [[["A", 9, "OG"], ["A", 11, "CA"]]],
        [[["R", 2, "OP3"], ["Y", 1, "C1"]]],
        [[["R", 1, "OP3"], ["Y", 1, "C1"]]],
    ],
}
KEYS = sorted({*OF_KEY, "protein", "rna", "dna", "proteinChain", "modifications", "templates", "description", "mmcifPath", "x"})
LETTERS = "BZUOJX*-.acé \t\r\v\f\xa0\u2028\x1c>#\n"


class Again(str):
    """A key that may stand in an object twice."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


def places(value, way=()):
    """Where every part of a document is."""
    found = [way] if way else []
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += places(part, (*way, key))
    return found


DRAWN = jobs(max_tokens=60, max_msa_depth=3, max_templates=1, max_ligands=2).map(lambda job: json.loads(job.to_json()))


@st.composite
def documents(draw):
    """A valid document with one to three faults, or what may be faults."""
    document = draw(DRAWN) if draw(st.integers(0, 3)) == 3 else copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3]))):
        found = places(document)
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        owner = document
        for key in way:
            owner = owner[key]
        _change(draw, owner, last)
    return json.dumps(document)


def _change(draw, owner, key):
    def one_of(choices):
        return copy.deepcopy(draw(st.sampled_from(choices)))

    value = owner[key]
    kinds = ["anything", "gone", *["its own"] * 3]
    kinds += ["twice", "twice", "renamed", "added"] if isinstance(owner, dict) else ["repeated"]
    kinds += ["letter", "line"] * 2 if isinstance(value, str) and value else ["number"] * 2 if type(value) is int else []
    match one_of(kinds):
        case "anything":
            owner[key] = one_of(ANYTHING)
        case "gone":
            del owner[key]
        case "its own":
            owner[key] = one_of(OF_KEY.get(key, ANYTHING))
        case "twice":
            owner[Again(key)] = one_of([value, *OF_KEY.get(key, ANYTHING)])
        case "renamed":
            owner[one_of(KEYS)] = owner.pop(key)
        case "added":
            added = one_of(KEYS)
            owner[added] = one_of([None, "", *OF_KEY.get(added, ANYTHING)])
        case "repeated":
            owner.insert(key, copy.deepcopy(value))
        case "letter":
            at = draw(st.integers(0, min(len(value), 60)))
            owner[key] = value[:at] + one_of(LETTERS) + value[at + draw(st.integers(0, 1)) :]
        case "line":
            lines = value.split("\n")
            at = draw(st.integers(0, len(lines) - 1))
            lines[at : at + draw(st.integers(0, 1))] = [one_of(["", ">", ">x", "#", "MKTANIAGSS", " ", lines[at]])]
            owner[key] = "\n".join(lines)
        case "number":
            owner[key] = one_of([value - 1, value + 1, -value, 0, 11, True, float(value), str(value)])


class Reference:
    """AlphaFold 3 in a process of its own, which is started again where a document ended it."""

    def __init__(self):
        self._process = None

    def ask(self, text, featurise=True):
        """What it says: `loads`, the `tokens` of each job, and its `error`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(REFERENCE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self._process.stdin.write(json.dumps({"text": text, "featurise": featurise}) + "\n")
        self._process.stdin.flush()
        if line := self._process.stdout.readline():
            return json.loads(line)
        self.close()
        return {"error": "the process ended"}

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def reference():
    reference = Reference()
    yield reference
    reference.close()


@pytest.fixture(scope="module")
def session():
    session = Session(Settings(target="h100-80gb"))
    yield session
    session.close()


def counted(text, session):
    """The tokens of each job as we count them, or why we do not."""
    try:
        jobs = reading.from_json(text, components=session.components, folder=Path("/none"))
        return [session.tokens(job) for job in jobs], ""
    except UsageError as error:
        return None, str(error)


def disagreement(text, session, reference):
    """What we and AlphaFold 3 do not agree in; empty where we do, or where it is known and meant."""
    ours, why = counted(text, session)
    answer = reference.ask(text)
    theirs, error = answer.get("tokens"), answer.get("error", "")
    known = {"we refuse": (STRICTER, why), "we count": (LOOSER, error)}
    if ours == theirs:
        event("both count" if ours else "both refuse")
        return ""
    side = "we refuse" if ours is None else "we count"
    if ours is None or theirs is None:
        for pattern, reason in known[side][0].items():
            if re.search(pattern, known[side][1]):
                event(f"{side}: {reason}")
                return ""
    return f"we: {ours or why}\nAlphaFold 3: {theirs or error}"


@pytest.mark.parametrize("index", range(len(VALID)))
def test_what_faults_are_put_into_is_valid(session, reference, index):
    text = json.dumps(VALID[index])
    assert counted(text, session)[0] == reference.ask(text)["tokens"] is not None


@settings(max_examples=DOCUMENTS_OF_AN_EXAMPLE * settings().max_examples)
@given(documents())
def test_we_accept_what_alphafold_3_accepts_and_count_what_it_counts(session, reference, text):
    note(text)
    assert not disagreement(text, session, reference)
