"""The real AlphaFold 3 reads our JSON, and its featuriser counts the tokens that we count. Nothing is compiled."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from mmcif_texts import ENTITIES, a_component, a_template

from pytest_af3mem import jobs
from pytest_af3mem.errors import Af3memError, InputError, UsageError
from pytest_af3mem.inputs.chains import Dna, Ligand, Protein, Rna, Template
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HERE = Path(__file__).parent
MSA = ">query\nMKTAYIA\n>a\nMKTaaAY-A\n>b\n-------\n"
SCHEME = "asym_id entity_id seq_id mon_id auth_seq_num pdb_strand_id pdb_ins_code hetero".split()
TABLES = ENTITIES | {
    "entity_poly_seq": {"entity_id": "11", "num": "12", "mon_id": ["GLY", "ALA"], "hetero": "nn"},
    "pdbx_poly_seq_scheme": dict(zip(SCHEME, ["AA", "11", "12", ["GLY", "ALA"], "12", "AA", "..", "nn"], strict=True)),
}
TEMPLATE = a_template(tables=TABLES, start="data_1ABC\n_entry.id 1ABC\n_exptl.method 'X-RAY DIFFRACTION'\n")
ATOMS_ALONE = a_template(tables={})
COMPONENT = a_component(
    ("C1 C 0 0.0 0.0 0.0", "O1 O 0 1.4 0.0 0.0", "O2 O 0 -1.4 0.0 0.0", "H1 H 0 1.7 0.9 0.0"),
    ("C1 O1 SING N", "C1 O2 SING N", "O1 H1 SING N"),
    type="saccharide",
)
A = Protein(("A",), "MKTANIA")


def modified(*modifications, sequence="MKTAYIA"):
    return (Protein(("A",), sequence, modifications=modifications),)


def bonded(ligand, *pairs, chain=A):
    return {"sequences": (chain, ligand), "bonds": pairs}


JOBS = {
    "one residue": (Protein(("A",), "G"),),
    "copies with MSAs": (Protein(("A", "B", "CD"), "MKTAYIA", MSA, MSA),),
    "left to a search": (Protein(("A",), "MKTAYIA", None, None, templates=None), Rna(("B",), "ACGUU", None)),
    "with a template": (Protein(("A",), "MKTAYIA", templates=(Template(TEMPLATE, (0, 6), (1, 0)),)),),
    "unknown residues": (Protein(("A",), "MXXA"), Rna(("B",), "ANC"), Dna(("C",), "NNA")),
    "chains of unknown residues, dropped": (A, Protein(("B",), "XXX"), Rna(("C",), "NN"), Dna(("D",), "N")),
    "RNA": (Rna(("A", "B"), "ACGUACGU", ">q\nACGUACGU\n>r\nACGU--GU\n"),),
    "DNA": (Dna(("A",), "ACGTACGT"), Dna(("B",), "ACGTACGT")),
    "SEP inside": modified(("SEP", 3)),
    "SEP at both ends": modified(("SEP", 1), ("SEP", 7)),
    "MSE, PTR, TPO, MLY": modified(("MSE", 1), ("PTR", 5), ("TPO", 3), ("MLY", 2)),
    "a whole chain of modifications": modified(("HYP", 1), ("CSO", 2), sequence="PC"),
    "ALA for a modification": modified(("ALA", 3), ("UNK", 4)),
    "UNK in RNA and in DNA": (Rna(("A",), "ACGU", modifications=(("UNK", 3),)), Dna(("B",), "AC", (("UNK", 1),))),
    "UNK in a ligand": (A, Ligand(("B",), ("UNK", "MG"))),
    "a nucleotide in a protein": modified(("A", 3)),
    "ends of an amide and of an acetyl": modified(("ACE", 1), ("NH2", 7)),
    "modified RNA": (Rna(("A",), "ACGUAC", modifications=(("2MG", 1), ("PSU", 4), ("5MC", 6))),),
    "modified DNA": (Dna(("A",), "ACGTAC", modifications=(("5CM", 2), ("8OG", 3))), Dna(("B",), "CA", (("5CM", 1),))),
    "ligands and ions": (A, Ligand(("B", "C"), ("ATP",)), Ligand(("D",), ("MG",)), Ligand(("E",), ("HEM",))),
    "ligands alone": (Ligand(("A",), ("HOH",)), Ligand(("B",), ("ZN",)), Ligand(("C",), ("GOL",))),
    "SMILES": (A, Ligand(("B", "C"), smiles="CC(=O)OC1C[NH+]2CCC1CC2"), Ligand(("D",), smiles="[2H]C([2H])O[Na]")),
    "loose saccharides": (A, Ligand(("B",), ("NAG",)), Ligand(("C",), ("BMA",)), Ligand(("D",), ("GLC", "FRU"))),
    "several components, not bonded": (A, Ligand(("B",), ("ATP", "MG", "NAG"))),
    "a glycan": bonded(
        Ligand(("B",), ("NAG", "NAG", "BMA")),
        (("A", 5, "ND2"), ("B", 1, "C1")),
        (("B", 1, "O4"), ("B", 2, "C1")),
        (("B", 2, "O4"), ("B", 3, "C1")),
    ),
    "a saccharide bonded at O1": bonded(Ligand(("B",), ("GLC", "GLC")), (("B", 1, "O1"), ("B", 2, "C1"))),
    "copies of which one is bonded at O1": bonded(Ligand(("B", "C"), ("BMA",)), (("A", 3, "CB"), ("B", 1, "O1"))),
    "a second bond at one atom": bonded(
        Ligand(("B",), ("GLC", "GLC", "GLC")), (("B", 1, "O4"), ("B", 2, "C1")), (("B", 1, "O4"), ("B", 3, "O1"))
    ),
    "a bond inside a saccharide": bonded(Ligand(("B",), ("GLC",)), (("B", 1, "O1"), ("B", 1, "C6"))),
    "a covalent ligand": bonded(Ligand(("B",), ("ATP",)), (("A", 2, "NZ"), ("B", 1, "PG"))),
    "a bond at OXT keeps it": bonded(Ligand(("B",), ("MG",)), (("A", 3, "OXT"), ("B", 1, "MG")), chain=modified(("SEP", 3))[0]),
    "a bond elsewhere": bonded(Ligand(("B",), ("MG",)), (("A", 3, "O1P"), ("B", 1, "MG")), chain=modified(("SEP", 3))[0]),
    "a component of its own": {"sequences": (A, Ligand(("B",), ("MY-1",))), "user_ccd": COMPONENT},
    "one for one of the CCD": {
        "sequences": (A, Ligand(("B",), ("BMA",)), Ligand(("C",), ("ATP",))),
        "user_ccd": COMPONENT.replace("MY-1", "BMA"),
    },
    "a chain of which a hydrogen alone is bonded, dropped": bonded(Ligand(("B",), ("GOL",)), (("A", 3, "CB"), ("B", 1, "H11"))),
    "a bond to a hydrogen keeps no O1": bonded(Ligand(("B",), ("GLC", "GLC")), (("B", 1, "O1"), ("A", 3, "HA"))),
    "of which AlphaFold 3 sees a hydrogen alone, dropped": (A, Ligand(("B",), ("HNF",))),
    "with OXT as the first atom": modified(("4J5", 2)),
    "of deuterium alone, dropped": (A, Ligand(("B",), ("D8U",))),
    "a component with a hydrogen in small letters": {
        "sequences": (A, Ligand(("B",), ("MY-1",))),
        "user_ccd": COMPONENT.replace("H1 H", "H1 h"),
    },
    "with a template of atoms alone": (Protein(("A",), "MKTAYIA", templates=(Template(ATOMS_ALONE, (0, 6), (1, 0)),)),),
    "several seeds": {"sequences": (A,), "seeds": (1, 2, 3)},
}

MIXES = {
    "chains": st.integers(3, 5),
    "kinds": st.sampled_from(["rna+protein", "dna+protein", "protein+rna+dna"]),
    "copies": st.integers(1, 3),
    "ligands": st.sampled_from(["ATP", "MG+MG", "NAG+HEM"]),
    "smiles": st.just("CC(=O)O"),
    "modifications": st.sampled_from(["SEP", "MSE+TPO", "HYP+SEP+MLY"]),
    "msa_depth": st.integers(0, 50),
    "paired_msa_depth": st.integers(0, 20),
    "templates": st.integers(0, 5),
}


def job(name):
    told = JOBS[name] if isinstance(JOBS[name], dict) else {"sequences": JOBS[name]}
    return Job(name, told["sequences"], told.get("seeds", (1,)), tuple(told.get("bonds", ())), told.get("user_ccd"))


@pytest.fixture(scope="module")
def session():
    session = Session(Settings(target="h100-80gb"))
    yield session
    session.close()


@pytest.fixture(scope="module")
def signatures():
    return {}


@pytest.mark.parametrize("name", JOBS)
def test_the_featuriser_counts_what_we_count(session, signatures, name, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(job(name).to_json())
    request = replace(session.request(tokens=1), job=job(name).to_json(), tokens=session.tokens(job(name)), generated=False)
    if "bond" not in name or "hydrogen" not in name:  # which is refused
        assert session.read(path) == [job(name)]
        assert session.request(job(name)) == request

    found = session.pool.featurise(request)

    assert (found["tokens"], found["bucket"]) == (request.tokens, request.bucket)
    assert signatures.setdefault(request.bucket, found["signature"]) == found["signature"]


def templated(mmcif):
    return Job("x", (Protein(("A",), "MKTAYIA", templates=(Template(mmcif, (0, 6), (1, 0)),)),))


def with_component(user_ccd):
    return Job("x", (A, Ligand(("B",), ("MY-1",))), user_ccd=user_ccd)


@pytest.mark.parametrize(
    "job",
    [
        templated(TEMPLATE.replace("data_", "DATA_")),
        templated(TEMPLATE.replace("_atom_site.label_alt_id", "_atom_site.x")),
        templated(TEMPLATE.replace("1.0 5.0", "? 5.0")),
        templated(a_template(tables=TABLES | {"entity": {"id": ["1"]}})),
        templated(ATOMS_ALONE + "".join(ATOMS_ALONE.splitlines(keepends=True)[-2:]).replace(" A ", " B ")),
        templated(ATOMS_ALONE.replace("A 1 2", "A 1 .")),
        with_component(COMPONENT.replace("MY-1 O2", "MY-1 O1")),
        with_component(COMPONENT.replace("C1 O2 SING", "C1 O9 SING")),
        with_component(COMPONENT.replace("C1 C 0", "C1 C 1.0")),
        with_component(COMPONENT.replace("H1", "HYDROGEN")),
    ],
)
def test_what_we_refuse_of_templates_and_components_the_featuriser_fails_on(session, job):
    with pytest.raises(InputError):
        session.request(job)
    with pytest.raises(Af3memError):
        session.pool.featurise(replace(session.request(tokens=7), job=job.to_json()))


@pytest.mark.parametrize(("kinds", "code"), [("protein", "SEC"), ("protein", "ASX"), ("rna", "6MZ"), ("rna", "B8T")])
def test_the_featuriser_takes_the_msa_of_a_generated_modification(session, kinds, code):
    request = session.request(tokens=60, options={"kinds": kinds, "modifications": code, "msa_depth": 3})
    assert session.pool.featurise(request)["tokens"] == 60


def test_jobs_of_the_server(session, tmp_path):
    chains = [
        {"proteinChain": {"sequence": "MKTAYIA", "count": 2, "modifications": [{"ptmType": "CCD_SEP", "ptmPosition": 2}]}},
        {"rnaSequence": {"sequence": "ACGU"}},
        {"dnaSequence": {"sequence": "ACGT", "modifications": [{"modificationType": "CCD_5CM", "basePosition": 2}]}},
        {"ligand": {"ligand": "CCD_ATP"}},
        {"ion": {"ion": "MG", "count": 3}},
    ]
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps([{"name": "of the server", "modelSeeds": [], "sequences": chains}] * 2))
    jobs = session.read(path)
    assert len(jobs) == 2
    assert session.pool.featurise(session.request(jobs[0]))["tokens"] == session.tokens(jobs[0])


def features(job):
    """What a job has, for the statistics of `pytest --hypothesis-show-statistics`."""
    found = {type(sequence).__name__ for sequence in job.sequences} | ({"bonds"} if job.bonded_atom_pairs else set())
    for name in ("smiles", "modifications", "unpaired_msa", "paired_msa", "templates"):
        found |= {name} if any(getattr(sequence, name, None) for sequence in job.sequences) else set()
    return found | ({"copies"} if any(len(sequence.ids) > 1 for sequence in job.sequences) else set())


@given(jobs(max_tokens=300))
def test_the_featuriser_counts_what_we_count_of_any_job(session, signatures, job):
    for has in features(job):
        event(has)
    assert Job.from_json(job.to_json()) == job

    found = session.pool.featurise(session.request(job))

    assert (found["tokens"], found["bucket"]) == (job.tokens, job.bucket)
    assert signatures.setdefault(job.bucket, found["signature"]) == found["signature"]


@given(tokens=st.integers(1, 700), mix=st.fixed_dictionaries({"seed": st.integers(0, 9)}, optional=MIXES))
def test_generated_jobs_have_the_tokens_that_were_asked_for(session, tokens, mix):
    try:
        request = session.request(tokens=tokens, options=mix)
    except UsageError as error:
        tokens = int(re.search(r"(?:at least|nearest is) (\d+)", str(error))[1])
        request = session.request(tokens=tokens, options=mix)

    assert session.pool.featurise(request)["tokens"] == tokens


def test_the_example_finds_an_input_that_differs_from_its_bucket_where_there_is_one(session, pytester):
    shutil.copy(HERE.parents[1] / "examples" / "test_every_input.py", pytester.path)
    pytester.makeconftest(
        """
        from hypothesis import Phase, settings

        settings.register_profile(
            "first", phases=[Phase.generate], report_multiple_bugs=False, derandomize=True, database=None
        )
        settings.load_profile("first")
        """
    )
    model = ("--af3-model=trimmed:Trimmed", f"--af3-path={HERE.parent / 'models'}")
    dictionary = f"--af3-cache-dir={session.settings.cache_dir}"  # pytester gives this process another home
    result = pytester.runpytest_subprocess("--af3-gpu", *model, dictionary, "-k=no_input", "--af3-json=report.json", "-vv")

    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(["E *'msa': 'int8[[]*,*[]]'*", "AlphaFold 3 input: *.json"])
    (kept,) = Path("failing").glob("*.json")
    assert Job.from_json(kept.read_text()).tokens <= 512
