"""Arrays of 2^31 elements and more, where 32-bit indexing ends, are named with their component and line."""

import dataclasses

import pytest

from pytest_af3mem.records.program_limits import LargeArray, ProgramLimits
from pytest_af3mem.reports import terminal


@pytest.fixture
def measured(project):
    def measured(side, target="h200-141gb"):
        project.gate("af3_tokens(100)", 'af3_budget("1 GiB")', f"af3_model(arrays=1, side={side})")
        result = project.run(f"--af3-target={target}", model="limited:Crowded")
        (row,) = project.measurements()
        return row["program_limits"]["large_arrays"], result.stdout.str()

    return measured


def test_one_of_2_31_elements_is_named(measured):
    (array, *others), output = measured(46_341)
    assert (array["array"], array["elements"], array["component"]) == ("f32[46341,46341]", 46_341**2, "squares")
    assert array["source"].startswith("limited.py:")
    assert others == []
    line = f"  2^31 elements or more, beyond 32-bit indexes: f32[46341,46341] in squares {array['source']}"
    assert line in output.splitlines()


def test_one_of_fewer_elements_is_not(measured):
    assert 46_340**2 < 2**31 < 46_341**2
    arrays, output = measured(46_340)
    assert arrays == []
    assert "2^31" not in output


@pytest.mark.parametrize(("count", "last"), [(5, "f32[5000000000] in model/5 model.py:5"), (7, "  and 2 more")])
def test_five_are_named(a_peak, a_measurement, count, last):
    arrays = tuple(LargeArray(f"f32[{n}000000000]", n * 10**9, f"model/{n}", f"model.py:{n}") for n in range(1, count + 1))
    peak = dataclasses.replace(a_peak(), program_limits=ProgramLimits(large_arrays=arrays))
    lines = terminal.section(a_measurement(peak=peak)).splitlines()
    named = [line for line in lines if "2^31" in line]
    assert len(named) == 5
    assert lines[lines.index(named[-1]) + (count > 5)].endswith(last)
