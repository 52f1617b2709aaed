import dataclasses

from pytest_af3mem.records.job_sequence import JobSequence, Step

MIB = 2**20
FIRST, SECOND, ALONE = Step(256, 256, 5 * MIB, 0), Step(512, 512, 9 * MIB, 0), Step(512, 512, 8 * MIB, 0)
SEQUENCE = JobSequence((FIRST, SECOND), ALONE, "h100-80gb")


def test_excess_is_beyond_what_the_jobs_need_by_themselves():
    assert SEQUENCE.excess_bytes == MIB
    assert dataclasses.replace(SEQUENCE, steps=(dataclasses.replace(FIRST, peak_bytes=9 * MIB), SECOND)).excess_bytes == 0
    assert dataclasses.replace(SEQUENCE, steps=(FIRST, dataclasses.replace(SECOND, peak_bytes=8 * MIB))).excess_bytes == 0


def test_without_counters_nothing_is_claimed():
    uncounted = [dataclasses.replace(step, peak_bytes=None, left_bytes=None) for step in (FIRST, SECOND, ALONE)]
    sequence = JobSequence(tuple(uncounted[:2]), uncounted[2], "JAX's CPU device")
    assert (sequence.excess_bytes, sequence.leaks) == (None, False)
    assert str(sequence).splitlines()[-1] == "the last alone: peak not counted [JAX's CPU device]"


def test_leaks():
    assert not SEQUENCE.leaks
    for left in ({"left_bytes": 1}, {"left_arrays": {"float32[3]": 1}}):
        assert dataclasses.replace(SEQUENCE, steps=(FIRST, dataclasses.replace(SECOND, **left))).leaks


def test_text():
    leaking = dataclasses.replace(SECOND, left_bytes=MIB, left_arrays={"float32[9]": 2, "bfloat16[3,4]": 1})
    assert str(dataclasses.replace(SEQUENCE, steps=(FIRST, leaking))).splitlines() == [
        "1. 256 tokens: peak so far 5.00 MiB; 0 B stay in use; arrays left: none",
        "2. 512 tokens: peak so far 9.00 MiB; 1.00 MiB stay in use; arrays left: 1 x bfloat16[3,4], 2 x float32[9]",
        "the last alone: peak 8.00 MiB, 1.00 MiB more in the sequence [h100-80gb]",
    ]
