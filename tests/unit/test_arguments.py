import pytest

from pytest_af3mem.commands.arguments import axis, whole_numbers
from pytest_af3mem.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("msa_depth=0,100", "msa_depth", [0, 100]),
        ("ligands=none,ATP+MG", "ligands", [(), "ATP+MG"]),
        ("attention=xla", "attention", ["xla"]),
        ("a.b=((None,512),),((2048,None),(None,[1,2]))", "a.b", [((None, 512),), ((2048, None), (None, (1, 2)))]),
    ],
)
def test_values_of_an_axis(text, name, values):
    found, read = axis(text)
    assert (found, [value for _, value in read]) == (name, values)


def test_whole_numbers():
    assert whole_numbers("1024, 256,256") == [256, 1024]
    with pytest.raises(UsageError, match="--tokens '' must be a whole number of at least 1"):
        whole_numbers("256,")
