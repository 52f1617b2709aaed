"""A3M as AlphaFold 3's parser reads it, which knows neither Unicode's spaces nor its line ends, and only what it uses."""

import json

import pytest

from pytest_af3mem.errors import InputError
from pytest_af3mem.inputs.chains import Protein, Rna
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.reading import from_json

QUERY = "MKTANIAGSS"


def job(unpaired="", paired="", sequence=QUERY, *others):
    return Job("x", (Protein(("A", "B"), sequence, unpaired, paired), *others)).to_json()


def refusal(text):
    with pytest.raises(InputError) as caught:
        from_json(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "a3m",
    [
        f"#{len(QUERY)}\t1\n>101\n{QUERY}\n",  # of MMseqs2 and ColabFold
        f"# a comment\n\n>q\n{QUERY}\n",
        f">q\r\n{QUERY}\r\n>r\r\nMK-ANIAGSS\r\n",
        f">q\n{QUERY[:5]}\n\n {QUERY[5:]}\t\v\f\n",
        f">q x\u2028Y\n{QUERY}\n",
        f">q x\x1cy\x85z\n{QUERY}\n",
        f"  >q\n{QUERY}\n>r\nMKTAéNIAGSS\n",
    ],
)
def test_what_alphafold_3_reads(a3m):
    (read,) = from_json(job(a3m))
    assert read.sequences[0].unpaired_msa == a3m
    assert read.notes == ()


def test_the_line_of_mmseqs_before_an_rna():
    a3m = "#8\t1\n>101\nACGUACGU\n"
    assert Job.from_json(Job("x", (Rna(("A",), "ACGUACGU", a3m),)).to_json()).notes == ()


@pytest.mark.parametrize(
    ("a3m", "rule"),
    [
        (f">q\r{QUERY}\r", "has 0 columns in row 1, and the query has 10"),
        (f">q\n{QUERY}\u00a0\n", r"has '\xa0' in row 1: only letters and hyphens are allowed"),
        (f">q\n{QUERY[:5]}\x1c{QUERY[5:]}\n", r"has '\x1c' in row 1"),
        (f">q\n{QUERY}\n>r\nMKT ANIAGS\n", "has ' ' in row 2"),
        (f">\n>q\n{QUERY}\n", "has 0 columns in row 1"),
        (f">q \ud800\n{QUERY}\n", "has half a character"),
    ],
)
def test_what_it_fails_on(a3m, rule):
    assert rule in refusal(job(a3m))


def test_text_before_the_first_row_is_noted():
    (read,) = from_json(job(f"{QUERY}\n>q\n{QUERY}\n"))
    (note,) = read.notes
    assert f"has '{QUERY}' before the first line that starts with '>', which AlphaFold 3 does not read" in note
    (read,) = from_json(job("msas/1.a3m"))
    (note,) = read.notes
    assert note.endswith("for it this MSA is empty (the name of a file is given as unpairedMsaPath)")


def test_an_unknown_letter_of_the_query_is_unknown_in_the_first_row():
    assert from_json(job(f">q\n{QUERY[:-1]}X\n", sequence=f"{QUERY[:-1]}U"))
    text = job(f">q\n{QUERY[:-1]}U\n", sequence=f"{QUERY[:-1]}U")
    assert "'U' at position 10, where the query has 'X', unknown" in refusal(text)


OTHER = f">q\n{QUERY[:-1]}A\n"


def test_a_paired_msa_is_read_where_there_are_several_proteins():
    assert from_json(job(paired=OTHER))
    assert from_json(job("", OTHER, QUERY, Protein(("C",), "XXX"), Rna(("D",), "ACGUA")))
    text = job("", OTHER, QUERY, Protein(("C",), "GAST"))
    assert refusal(text).startswith(
        r"sequences[0].protein.pairedMsa: '>q\nMKTANIAGSA\n' starts with another sequence than the query"
    )


@pytest.mark.parametrize("sequence", ["MKTA", "XXXXX"])
def test_msas_of_chains_that_are_short_or_unknown_are_not_read(sequence):
    chains = {"protein": json.loads(job(OTHER, OTHER, sequence))["sequences"][0]["protein"]}
    plain = json.loads(job())["sequences"][0]["protein"] | {"id": "C"}
    document = json.loads(job()) | {"sequences": [chains, {"protein": plain}]}
    assert from_json(json.dumps(document))
