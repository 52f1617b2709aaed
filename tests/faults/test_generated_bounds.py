"""Options of generated jobs that no job can have are refused at once, before anything is made of them."""

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.generate import generate


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("chains", 10**9, "chains=1000000000 must be a whole number of at most 100,000"),
        ("copies", 10**9, "copies=1000000000 must be a whole number of at most 100,000"),
        ("msa_depth", 10**9, "msa_depth=1000000000 must be a whole number of at most 32,768"),
        ("paired_msa_depth", 40_000, "paired_msa_depth=40000 must be a whole number of at most 32,768"),
        ("templates", 21, "templates=21 must be a whole number of at most 20"),
    ],
)
def test_more_than_there_can_be(option, value, text):
    with pytest.raises(UsageError) as caught:
        generate(128, **{option: value})
    assert str(caught.value) == text


@pytest.mark.parametrize("option", ["chains", "seed"])
def test_a_number_too_large_for_python_to_write(option):
    with pytest.raises(UsageError, match=rf"^{option}=10\*\*20 or more must be a whole number of at most"):
        generate(128, **{option: 10**5000})
    with pytest.raises(UsageError, match=r"^tokens=10\*\*20 or more must be a whole number from 1 to 100,000$"):
        generate(10**5000)


def test_the_most_that_there_can_be():
    job = generate(40, chains=2, msa_depth=100, templates=20, seed=2**64 - 1)
    assert [len(chain.templates) for chain in job.sequences] == [20, 20]
