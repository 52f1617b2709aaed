"""The strategy of jobs; tests/alphafold3/test_inputs.py asks the featuriser about what it makes."""

import pytest
from hypothesis import Phase, example, find, given, settings
from hypothesis import strategies as st

from pytest_af3mem import jobs
from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs import ambient
from pytest_af3mem.inputs.chains import Dna, Ligand, Protein, Rna
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.strategies import BUCKETS
from pytest_af3mem.inputs.tokens import count
from pytest_af3mem.models.alphafold3_files import NEWEST_BUCKETS

PLAIN = {"ligands": (), "smiles": (), "modifications": ()}
CODES = {"ligands": ("ATP", "MG", ("BMA", "BMA")), "smiles": (), "modifications": ("SEP", "PSU")}
QUICK = settings(max_examples=50, derandomize=True, database=None, deadline=None)


def smallest(strategy, condition=lambda job: True):
    return find(strategy, condition, settings=settings(QUICK, max_examples=2000, phases=(Phase.generate, Phase.shrink)))


@pytest.fixture(scope="module", autouse=True)
def session(components):
    """Stands for the session that runs, of which the strategy takes the dictionary."""
    from types import SimpleNamespace

    session = SimpleNamespace(components=components)
    ambient.register(session)
    yield
    ambient.unregister(session)


@QUICK
@given(jobs(max_tokens=300, **CODES))
def test_a_job_has_tokens_within_the_bounds_and_comes_back_from_its_json(components, job):
    assert 1 <= count(job, components) <= 300
    assert Job.from_json(job.to_json()) == job


@QUICK
@given(st.integers(1, 2000).flatmap(lambda tokens: st.tuples(st.just(tokens), jobs(tokens=tokens, **CODES))))
def test_exact_tokens(components, drawn):
    tokens, job = drawn
    assert count(job, components) == tokens


@QUICK
@given(jobs(kinds="dna", min_chains=2, max_chains=2, max_copies=1, min_tokens=50, max_tokens=60, max_seeds=1, **PLAIN))
def test_bounds(job):
    assert [type(sequence) for sequence in job.sequences] == [Dna, Dna]
    assert {len(sequence.ids) for sequence in job.sequences} == {1}
    assert 50 <= count(job) <= 60
    assert job.seeds == (1,)


@QUICK
@example(job=Job("mine", (Protein(("A",), "M"),)))
@given(job=jobs(max_tokens=5, **PLAIN))
def test_an_example_of_ones_own_comes_first(job):
    assert count(job) <= 5


def is_one_of(kind):
    return lambda job: isinstance(job.sequences[-1], kind)


@pytest.mark.parametrize(
    ("condition", "sequences"),
    [
        (lambda job: True, (Protein(("A",), "A"),)),
        (is_one_of(Rna), (Rna(("A",), "A"),)),
        (lambda job: len(job.sequences[0].ids) > 1, (Protein(("A", "B"), "A"),)),
        (lambda job: len(job.sequences) > 1, (Protein(("A",), "A"), Protein(("B",), "A"))),
        (lambda job: count(job) > 40, (Protein(("A",), "A" * 41),)),
        (lambda job: getattr(job.sequences[0], "paired_msa", ""), (Protein(("A",), "A", paired_msa=">0\nA\n"),)),
    ],
)
def test_shrinks_to_the_smallest_readable_job(condition, sequences):
    job = smallest(jobs(max_tokens=100, **PLAIN), condition)
    assert (job.sequences, job.seeds, job.bonded_atom_pairs) == (sequences, (1,), ())


def test_ligands_modifications_and_bonds_shrink_away_and_to_the_fewest_tokens():
    assert len(smallest(jobs(max_tokens=100, **CODES)).sequences) == 1
    assert smallest(jobs(max_tokens=100, **CODES), is_one_of(Ligand)).sequences == (Protein(("A",), "A"), Ligand(("B",), ("MG",)))
    modified = smallest(jobs(max_tokens=100, **CODES), lambda job: getattr(job.sequences[0], "modifications", ()))
    assert modified.sequences == (Protein(("A",), "SA", modifications=(("SEP", 1),)),)
    bonded = smallest(jobs(max_tokens=100, **CODES), lambda job: job.bonded_atom_pairs)
    assert len(bonded.sequences) == 2


def test_buckets_are_those_of_the_newest_alphafold3():
    assert BUCKETS == NEWEST_BUCKETS


def test_edges_of_buckets_come_up_often():
    sizes = []

    @settings(QUICK, max_examples=200, phases=[Phase.generate])
    @given(jobs(max_tokens=1024, max_msa_depth=0, **PLAIN))
    def draw(job):
        sizes.append(count(job))

    draw()
    edges = {bucket + step for bucket in BUCKETS for step in (-1, 0, 1)}
    assert sum(size in edges for size in sizes) > len(sizes) // 4


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tokens": 0}, "min_tokens=0 must be a whole number from 1 to 100,000"),
        ({"tokens": 5, "max_tokens": 9}, "tokens=5 is exact: leave out min_tokens and max_tokens"),
        ({"min_tokens": 9, "max_tokens": 5}, "min_tokens=9 is more than max_tokens=5"),
        ({"max_tokens": 2.0}, "max_tokens=2.0 must be a whole number from 1 to 100,000"),
        ({"kinds": "xna"}, "kinds='xna' must be of protein, rna, dna"),
        ({"kinds": ()}, "kinds=() must be of protein, rna, dna"),
        ({"min_chains": 3, "max_chains": 2}, "min_chains=3 is more than max_chains=2"),
        ({"min_chains": 3}, "min_chains=3 is more than min_tokens=1"),
        ({"max_copies": 0}, "max_copies=0 must be a whole number from 1 to 100,000"),
        ({"max_ligands": -1}, "max_ligands=-1 must be a whole number from 0 to 100,000"),
        ({"max_msa_depth": True}, "max_msa_depth=True must be a whole number from 0 to 100,000"),
        ({"max_seeds": 0}, "max_seeds=0 must be a whole number from 1 to 100,000"),
    ],
)
def test_bounds_that_cannot_be(options, text):
    with pytest.raises(UsageError) as caught:
        jobs(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ligands": ("XXX",)}, "ligand 'XXX' is not a code of the chemical component dictionary (CCD), like 'ATP'"),
        ({"ligands": ("UNL",)}, "ligand 'UNL' has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it"),
        (
            {"modifications": ("MG",)},
            "modification 'MG' is not a residue of a protein, RNA or DNA in the chemical component dictionary (CCD)",
        ),
    ],
)
def test_codes_that_cannot_be_are_said_when_the_first_job_is_drawn(options, text):
    with pytest.raises(UsageError) as caught:
        smallest(jobs(**{**PLAIN, **options}))
    assert str(caught.value) == text
