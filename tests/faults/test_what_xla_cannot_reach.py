"""XLA computes arrays anew to stay below a limit of its own. Where it cannot, the report says so: a warning, and no error."""

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.records.program_limits import Rematerialization
from pytest_af3mem.worker.xla.limits import rematerialization

GPU = gpus.find("p100-16gb")
LINE = (
    "W1126 02:09:04.658387   10168 hlo_rematerialization.cc:3231] Can't reduce memory use below 12.08GiB (12970724691 bytes) by "
    "rematerialization; only reduced to 33.54GiB (36018120000 bytes), down from 33.55GiB (36018120001 bytes) originally"
)


def the_limit(memory_bytes, argument_bytes, output_bytes):
    return int(0.95 * (0.8 * memory_bytes - argument_bytes - output_bytes)) + output_bytes


@pytest.fixture
def crowded(project):
    """What is measured of ten squares of 30,000 by 30,000, 33.5 GiB together, and the lines on the terminal."""

    def measured(target):
        project.gate("af3_tokens(100)", 'af3_budget("1 GiB")', "af3_model(arrays=10, side=30_000)")
        result = project.run(f"--af3-target={target}", model="limited:Crowded")
        (row,) = project.measurements()
        return row, result.stdout.str()

    return measured


def test_what_is_above_the_limit_is_said(crowded):
    row, output = crowded("p100-16gb")
    found = row["program_limits"]["rematerialization"]
    assert found["limit_bytes"] == the_limit(GPU.memory_bytes, row["argument_bytes"], row["output_bytes"])  # as XLA prints it
    assert 10 * 4 * 30_000**2 <= found["reached_bytes"] <= found["original_bytes"] < 1.01 * 10 * 4 * 30_000**2
    assert (
        "  XLA came down to 33.53 GiB of temporaries and outputs, 21.45 GiB above its own limit of 12.08 GiB for p100-16gb: "
        "a warning of XLA's, no error (95 % of what arguments and outputs leave of 80 % of the memory)"
    ) in output


def test_what_is_below_the_limit_is_not_mentioned(crowded):
    row, output = crowded("h100-80gb")
    memory_bytes = gpus.find("h100-80gb").memory_bytes
    assert row["program_limits"]["rematerialization"] == {
        "limit_bytes": the_limit(memory_bytes, row["argument_bytes"], row["output_bytes"]),
        "reached_bytes": None,
        "original_bytes": None,
    }
    assert "XLA came down" not in output


def test_of_a_whole_compile_the_limit_alone_is_known(project):
    project.write(test_small='def test_any(gpu_peak): gpu_peak(tokens=100, target="p100-16gb")')
    assert project.run().ret == 0
    (row,) = project.measurements()
    limit_bytes = the_limit(GPU.memory_bytes, row["argument_bytes"], row["output_bytes"])
    assert row["program_limits"]["rematerialization"] == {
        "limit_bytes": limit_bytes,
        "reached_bytes": None,
        "original_bytes": None,
    }


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("nothing of it", Rematerialization(12_970_724_691)),
        (f"first\n{LINE}\nlast", Rematerialization(12_970_724_691, 36_018_120_000, 36_018_120_001)),
        (LINE.replace("12970724691", "9"), Rematerialization(9, 36_018_120_000, 36_018_120_001)),  # of another factor
    ],
)
def test_what_xla_prints_is_read(said, found):
    assert rematerialization(said, GPU, argument_bytes=120_000, output_bytes=120_000) == found


def test_arguments_beyond_all_of_it_leave_nothing():
    assert rematerialization("", GPU, argument_bytes=GPU.memory_bytes, output_bytes=120_000).limit_bytes == 120_000
