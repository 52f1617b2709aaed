"""With --af3-launch a kernel that asks for too much shared memory is not judged; no refusal reads as lack of memory."""

import dataclasses
import re

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.records.program_limits import Launch, ProgramLimits
from pytest_af3mem.reports import terminal
from pytest_af3mem.worker.xla.limits import refusals
from pytest_af3mem.worker.xla.tracing import translated

KIB = 2**10


@pytest.fixture
def shared(project):
    """What is measured of a kernel that loads so many blocks in advance, of 64 KiB each."""

    def measured(*options, stages, target):
        project.gate("af3_tokens(100)", 'af3_budget("1 GiB")', f"af3_model(stages={stages})")
        result = project.run(f"--af3-target={target}", *options, model="limited:Shared")
        (row,) = project.measurements()
        return row, result.stdout.str()

    return measured


def test_each_kernel_is_held_against_the_limit(shared):
    """Also where the same was measured before without it; and the other way round nothing is claimed."""
    for _ in range(2):
        row, _ = shared(stages=3, target="h100-80gb")
        assert (row["verdict"], row["program_limits"]["launch"]) == ("within", None)
        checked, _ = shared("--af3-launch", stages=3, target="h100-80gb")
        launch = checked["program_limits"]["launch"]
        assert (launch["kernel"], launch["limit_bytes"]) == ("product", 227 * KIB)
        assert 99 * KIB < launch["shared_memory_bytes"] <= 227 * KIB
        assert launch["kernels"] > 1
        assert "--launch" in checked["command"]
        assert [row[name] for name in ("total_bytes", "holders")] == [checked[name] for name in ("total_bytes", "holders")]


def test_a_kernel_that_does_not_run_is_no_lack_of_memory(shared):
    row, output = shared("--af3-launch", stages=3, target="l4-24gb")
    assert (row["verdict"], row["total_bytes"]) == ("not judged", None)
    assert re.fullmatch(
        r"does not run on l4-24gb: a kernel asks for 1\d\d,\d\d\d bytes of shared memory a block, and the limit is 101,376; "
        r"no lack of the GPU's memory",
        row["reason"],
    )
    assert f"GPU peak not judged: {row['reason']}" in output


def test_the_section_says_what_was_checked(a_peak, a_measurement):
    checked = dataclasses.replace(a_peak(), program_limits=ProgramLimits(launch=Launch(390, "fusion_7", 160 * KIB, 227 * KIB)))
    line = "  launch      390 kernels, of shared memory at most 160.00 KiB of 227.00 KiB a block, in fusion_7"
    assert line in terminal.section(a_measurement(peak=checked)).splitlines()
    assert "launch" not in terminal.section(a_measurement())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            "RESOURCE_EXHAUSTED: Shared memory size limit exceeded: requested 131072, available: 101376, context: []",
            "does not run on l4-24gb: a kernel asks for 131,072 bytes of shared memory a block, and the limit is 101,376; "
            "no lack of the GPU's memory",
        ),
        (
            "ptxas error   : Entry function 'fusion_3' uses too much shared data (0x1c000 bytes, 0xc000 max)",
            "does not run on l4-24gb: the kernel fusion_3 asks for 114,688 bytes of shared memory a block, and the limit is "
            "49,152; no lack of the GPU's memory",
        ),
        (
            "INTERNAL: Not supported on Tesla V100",
            "does not compile for l4-24gb: RuntimeError: INTERNAL: Not supported on Tesla V100",
        ),
    ],
)
def test_how_xla_refuses(error, reason):
    with pytest.raises(NotJudged) as caught, translated("does not compile for l4-24gb"), refusals("l4-24gb"):
        raise RuntimeError(error)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("by", "lead"),
    [("tokamax._src.ops.op", "does not compile for l4-24gb"), ("model", "the model does not trace")],
)
def test_what_tokamax_refuses_is_of_the_target(project, by, lead):
    project.gate("af3_tokens(100)", 'af3_budget("1 GiB")', f"af3_model(by={by!r})")
    project.run("--af3-target=l4-24gb", model="limited:Refused")
    (row,) = project.measurements()
    assert row["reason"] == f"{lead}: ValueError: no block size fits 99 KiB"
