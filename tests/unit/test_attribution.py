"""Who holds the peak, of a program small enough to be followed by hand."""

import dataclasses

import pytest

from pytest_af3mem.records.holders import Change, by_component, explained, grown
from pytest_af3mem.records.peak import Holder
from pytest_af3mem.records.timeline import Band, Stage
from pytest_af3mem.worker.xla import attribution as attributing
from pytest_af3mem.worker.xla.attribution import Attribution, attribute
from pytest_af3mem.worker.xla.executable import ALLOCATE, FREE, SHARE, Allocation, Buffer, Event, Instruction, Program

ENTRY, BODY, FUSED = 1, 2, 3
F32 = b"\x10\x0b"  # the shape f32[]
PAIR = b"\x10\x10\x1a\x02\x08\x08"  # bf16[8,8]
CALLS = ("/e/haiku/_src/module.py", "run_interceptors", 305)


def instruction(name, opcode, computation, op_name="", frame=0, operands=(), called=(), shape=PAIR):
    return Instruction(name, opcode, computation, op_name, frame, tuple(operands), tuple(called), shape)


def kept(size, buffer, **what):
    return Allocation(
        **{"thread_local": False, "constant": False, "parameter": None, "output": False, **what}, size=size, buffers=buffer
    )


# The loop in `net/trunk` carries a pair representation of 400 bytes, and its norm, which is a layer with weights of its own,
# makes 700 for a moment while a head's 100 wait; later the head takes 900 where the loop's 400 are gone.
PROGRAM = Program(
    instructions={
        10: instruction("p.0", "parameter", ENTRY, "parameters['net/trunk/norm']['scale']", shape=F32),
        11: instruction("p.1", "parameter", ENTRY, "features['msa']", shape=F32),
        12: instruction("wait", "fusion", ENTRY, "jit(program)/net/head/while/body/mul", frame=1),
        13: instruction("zeros", "fusion", ENTRY),
        14: instruction("loop", "while", ENTRY, "jit(program)/net/trunk/while", called=(BODY,)),
        15: instruction("wide", "fusion", ENTRY, called=(FUSED,)),
        16: instruction("tuple", "tuple", ENTRY, operands=(17,)),
        17: instruction("sums", "fusion", ENTRY, "jit(program)/net/head/reduce_sum", frame=3),
        18: instruction("c", "constant", ENTRY, shape=F32),
        20: instruction("carried", "parameter", BODY, "jit(program)/net/while/body"),
        21: instruction("normed", "custom-call", BODY, "jit(program)/net/while/body/trunk/norm/norm/mul", frame=4),
        22: instruction("updated", "fusion", BODY, "jit(program)/net/while/body/trunk/update/add"),
        30: instruction("inner", "add", FUSED, "jit(program)/net/head/add", frame=2),
    },
    roots={ENTRY: 16, BODY: 22, FUSED: 30},
    entry=ENTRY,
    buffers={
        1: Buffer(4, 10, ()),
        2: Buffer(6, 11, ()),
        3: Buffer(100, 12, ()),
        4: Buffer(400, 13, (), [14, 20]),
        5: Buffer(700, 21, ()),
        6: Buffer(400, 22, ()),
        7: Buffer(900, 15, ()),
        8: Buffer(50, 17, (), [16]),
        9: Buffer(50, 12, ()),
        99: Buffer(16, 18, ()),
    },
    allocations=(
        kept(4, (1,), parameter=0),
        kept(6, (2,), parameter=1),
        kept(50, (9, 8), output=True),
        kept(16, (99,), constant=True),
        kept(1_300, (3, 4, 5, 6, 7)),
        kept(12, (), thread_local=True),
    ),
    events=(
        Event(ALLOCATE, 3, "wait", 0),
        Event(ALLOCATE, 4, "zeros", 0),
        Event(ALLOCATE, 5, "normed", 0),
        Event(FREE, 5, "normed", 0),
        Event(SHARE, 6, "updated", 4),
        Event(FREE, 4, "updated", 0),
        Event(FREE, 6, "wide", 0),
        Event(ALLOCATE, 7, "wide", 0),
        Event(FREE, 7, "sums", 0),
        Event(FREE, 3, "sums", 0),
    ),
    frames={
        1: ("/net/lib/lib.py", "f", 1, 2),
        2: ("/net/lib/net/head.py", "Head.__call__", 20, 0),
        3: ("/net/lib/other.py", "g", 3, 0),
        4: ("/net/lib/net/layers.py", "Norm.__call__", 5, 5),
        5: (*CALLS, 6),
        6: (*CALLS, 7),
        7: ("/net/lib/net/layers.py", "Base.__call__", 9, 8),
        8: (*CALLS, 9),
        9: ("/net/lib/net/trunk.py", "Trunk.__call__", 7, 0),
    },
)
TOTAL, LIVE = 4 + 6 + 50 + 1_300, 4 + 6 + 50 + 16 + 1_200


@pytest.fixture
def attribution():
    return attribute(PROGRAM, ("/net/lib/net", "/net/lib/other.py"), TOTAL, LIVE)


def test_holders(attribution):
    assert attribution.holders == (
        Holder("net/trunk", "temporary", 700, "bf16[8,8]", "net/trunk.py:7"),
        Holder("net/trunk", "carry", 400, "bf16[8,8]"),
        Holder("fragmentation", "fragmentation", 100),
        Holder("net/head", "temporary", 100, "bf16[8,8]", "net/head.py:20"),
        Holder("net/head", "output", 50, "bf16[8,8]", "other.py:3"),
        Holder("batch/msa", "input", 6, "f32[]"),
        Holder("net/trunk", "parameter", 4, "f32[]"),
    )
    assert sum(holder.bytes for holder in attribution.holders) == TOTAL


def test_high_water_marks_are_of_each_component_wherever_it_has_its_own(attribution):
    assert attribution.high_water == {"net/head": 1_000, "net/trunk": 1_100, "net/trunk/update": 400}


def test_memory_over_program_order(attribution):
    """Each of the ten events is a step of its own; what passes from the loop's carry to its update is never counted twice."""
    timeline = attribution.timeline
    kept = 4 + 6 + 50 + 16  # parameter, feature, output and constant
    assert timeline.totals == [kept + size for size in (100, 500, 1_200, 500, 500, 500, 100, 1_000, 100, 0)]
    assert timeline.bands == (
        Band("net/trunk", ((1, 400), (2, 1_100), (3, 400), (4, 0)), "bf16[8,8]", "net/trunk.py:7"),
        Band("net/head", ((0, 100), (7, 1_000), (8, 100), (9, 0)), "bf16[8,8]", "net/head.py:20"),
        Band("net/trunk/update", ((4, 400), (6, 0)), "bf16[8,8]"),
    )
    assert (timeline.stages, timeline.pair_bytes, timeline.reason) == ((), None, "")


def test_the_largest_of_the_timeline_is_what_is_alive_at_the_peak(attribution):
    assert max(attribution.timeline.totals) == attribution.live_bytes == LIVE


def test_a_long_program_is_reduced_and_its_peaks_stay(monkeypatch):
    monkeypatch.setattr(attributing, "_MOST_STEPS", 4)
    timeline = attribute(PROGRAM, (), TOTAL, LIVE).timeline
    assert timeline.steps == 4
    assert timeline.totals == [76 + size for size in (1_200, 500, 1_000, 0)]  # the fullest of three events each


def test_a_restless_program_is_reduced_until_its_record_is_small(monkeypatch):
    monkeypatch.setattr(attributing, "_MOST_POINTS", 8)
    timeline = attribute(PROGRAM, (), TOTAL, LIVE).timeline
    assert timeline.totals == [76 + size for size in (500, 1_200, 500, 1_000, 100)]
    assert sum(len(band.points) for band in timeline.bands) <= 8


def test_few_bands_are_kept_and_the_others_count_to_the_module_that_they_stand_in(monkeypatch):
    monkeypatch.setattr(attributing, "_MOST_BANDS", 2)
    timeline = attribute(PROGRAM, (), TOTAL, LIVE).timeline
    assert [band.component for band in timeline.bands] == ["net/trunk", "net/head"]
    assert max(timeline.totals) == LIVE


def test_a_timeline_that_misses_the_peak_is_left_out_and_says_so(monkeypatch):
    monkeypatch.setattr(attributing, "bands", lambda *_: (Band("net/trunk", ((0, 1_199),)),))
    found = attribute(PROGRAM, (), TOTAL, LIVE)
    why = "ValueError: its peak is 1275 bytes, and 1276 are alive"
    assert found.timeline.reason == f"memory over program order is not known: {why}"
    assert (found.timeline.steps, found.timeline.bands) == (0, ())
    assert found.holders  # which are good without it


def test_stages_begin_where_the_model_says():
    named = {"trunk": ("net/trunk",), "head": ("net/head",), "never": ("net/other",)}
    assert attribute(PROGRAM, (), TOTAL, LIVE, named).timeline.stages == (Stage("trunk", 0), Stage("head", 8))


def test_constants_are_counted_where_the_total_does():
    assert Holder("model", "constant", 16, "f32[]") in attribute(PROGRAM, (), TOTAL + 16, LIVE).holders


def test_without_a_live_peak_the_total_is_checked_alone():
    assert attribute(PROGRAM, (), TOTAL, None).holders == attribute(PROGRAM, (), TOTAL, LIVE).holders


@pytest.mark.parametrize(("total", "live", "text"), [(TOTAL + 1, LIVE, "XLA says 1361"), (TOTAL, LIVE + 1, "XLA says 1277")])
def test_sums_that_xla_does_not_confirm_are_refused(total, live, text):
    with pytest.raises(ValueError, match=text):
        attribute(PROGRAM, (), total, live)


def test_alike_arrays_are_counted_and_small_ones_put_together():
    alike = [kept(4_000, (1,), parameter=0)] * 2 + [kept(3, (1,), parameter=0), kept(2, (2,), parameter=1)]
    program = dataclasses.replace(PROGRAM, allocations=tuple(alike), events=())
    assert attribute(program, (), 8_005, None).holders == (
        Holder("net/trunk", "parameter", 8_003, "f32[]", count=3),
        Holder("batch/msa", "input", 2, "", count=1),
    )


def test_a_program_without_temporaries():
    program = dataclasses.replace(PROGRAM, allocations=PROGRAM.allocations[:2], events=())
    assert attribute(program, (), 10, 10).high_water == {}
    assert attribute(program, (), 10, 10).timeline.totals == [10]


def test_sums_and_the_share_explained(a_peak):
    holders = (Holder("a", "parameter", 30), Holder("b", "carry", 50), Holder("a", "temporary", 20), Holder("model", "input", 10))
    peak = a_peak(total_bytes=120, holders=(*holders, Holder("fragmentation", "fragmentation", 10)))
    assert list(by_component(peak).items()) == [("a", 50), ("b", 50), ("fragmentation", 10), ("model", 10)]
    assert explained(peak) == pytest.approx(100 / 120)
    assert explained(a_peak(total_bytes=0)) == 0
    assert by_component(a_peak()) == {}


def test_grown():
    before, after = {"a": 10, "b": 5, "c": 7, "d": 1}, {"a": 10, "b": 8, "c": 4, "e": 9}
    assert grown(before, after) == [Change("e", 0, 9), Change("b", 5, 8), Change("c", 7, 4), Change("d", 1, 0)]
    assert [change.difference_bytes for change in grown(before, after)] == [9, 3, -3, -1]
    assert grown(after, after) == []


def test_nothing_is_attributed_by_default():
    assert Attribution() == Attribution((), {}, "")
