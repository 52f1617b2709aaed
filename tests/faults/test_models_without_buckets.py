"""A model that pads nothing has no buckets: every size is its own."""

import functools

import pytest

from pytest_af3mem import commands
from pytest_af3mem.errors import UsageError
from pytest_af3mem.planning import capacity


@pytest.fixture
def af3mem(af3mem, project, tmp_path):
    source = (project.models / "analytic.py").read_text()
    assert "return 128, 256, 512" in source
    (tmp_path / "exact").mkdir()
    (tmp_path / "exact" / "exact.py").write_text(source.replace("return 128, 256, 512", "return ()"))
    return functools.partial(af3mem, model="exact:Analytic", path=tmp_path / "exact")


def test_plan_looks_at_multiples_of_64(af3mem):
    assert capacity.candidates((), 200) == [64, 128, 192]
    with pytest.raises(UsageError, match="--up-to 50 is less than the smallest size to look at, 64"):
        capacity.candidates((), 50)
    status, output, errors = af3mem("plan", "--up-to", "256", "--fraction", "100 KiB", "--target", "l4-24gb")
    assert (status, errors) == (commands.OK, "")
    assert output.splitlines()[1].split()[:4] == ["l4-24gb", "21.99", "GiB", "128"]


def test_sweep_asks_for_sizes(af3mem):
    line = "af3mem: analytic has no buckets to sweep: say --tokens, or --buckets\n"
    assert af3mem("sweep") == (commands.USAGE, "", line)
