import pytest

from pytest_af3mem.errors import first_line, near


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\nno shapes\nTraceback ..."), "ValueError: no shapes"),
        (KeyError("x" * 400), f"KeyError: '{'x' * 299}"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_first_line(error, line):
    assert first_line(error) == line


def test_near():
    assert near("num_sample", ("num_samples", "num_steps")) == "; did you mean num_samples or num_steps?"
    assert near("x", ["num_samples"]) == ""
