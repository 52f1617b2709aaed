"""Records that come from elsewhere are read with a look: they are what they must be, or refused with the place."""

import copy
import dataclasses
import json
import os
import random
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_af3mem.errors import InputError, UsageError
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.calibration import Calibration, Point
from pytest_af3mem.records.job_sequence import Step
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Holder, Kernels, Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.typed import Positive, Signed
from pytest_af3mem.worker.xla.attribution import attribute
from pytest_af3mem.worker.xla.executable import ALLOCATE, Allocation, Buffer, Event, Instruction, Program

CASES = int(os.environ.get("AF3MEM_FUZZ_CASES", "300"))


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str


@dataclasses.dataclass(frozen=True)
class Example:
    """One of everything that a record may have."""

    number: int
    signed: Signed
    least: Positive
    share: float
    maybe: int | None
    inners: tuple[Inner, ...]
    table: Mapping[str, int]
    row: tuple[str, Any]
    deeper: str = dataclasses.field(metadata=typed.at("place", "name"))
    switch: bool = False


GOOD = {
    "number": 0,
    "signed": -5,
    "least": 1,
    "share": 0.5,
    "maybe": None,
    "inners": [{"name": "a"}],
    "table": {"x": 1},
    "row": ["a", {"any": [None]}],
    "place": {"name": "deep"},
}


def test_an_example_of_everything():
    found = typed.read(Example, GOOD)
    assert found == Example(0, -5, 1, 0.5, None, (Inner("a"),), {"x": 1}, ("a", {"any": [None]}), "deep", False)
    without = {name: value for name, value in GOOD.items() if name != "maybe"}
    assert typed.read(Example, {**without, "switch": True, "share": 1}).switch is True


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"number": -1}, "x.number: -1 must be from 0 to 9,223,372,036,854,775,807"),
        ({"number": True}, "x.number: True must be a whole number"),
        ({"number": 2**63}, "x.number: 9223372036854775808 must be from 0 to"),
        ({"number": None}, "x.number: is missing"),
        ({"signed": "5"}, "x.signed: '5' must be a whole number"),
        ({"least": 0}, "x.least: 0 must be from 1 to"),
        ({"share": float("nan")}, "x.share: nan must be a number"),
        ({"share": "1"}, "x.share: '1' must be a number"),
        ({"maybe": 1.5}, "x.maybe: 1.5 must be a whole number"),
        ({"inners": {}}, "x.inners: {} must be a list"),
        ({"inners": [{"name": 5}]}, "x.inners[0].name: 5 must be a text"),
        ({"inners": [{"name": "a", "nam": "b"}]}, "x.inners[0].nam: 'nam' is not a key here; did you mean name? (keys: name)"),
        ({"inners": [None]}, "x.inners[0]: null must be an object"),
        ({"table": {"y": 1.0}}, "x.table.y: 1.0 must be a whole number"),
        ({"row": ["a"]}, "x.row: [...] must be a list of 2"),
        ({"place": {}}, "x.place.name: is missing"),
        ({"place": None}, "x.place: is missing"),
        ({"number": "5", "least": None}, "x.least: is missing"),
        ({"switch": 1}, "x.switch: 1 must be true or false"),
        ({"other": 1}, "x.other: 'other' is not a key here"),
    ],
)
def test_what_is_refused(changes, text):
    with pytest.raises(InputError) as caught:
        typed.read(Example, {**GOOD, **changes}, "x")
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("kind", [list, dict])
def test_what_could_not_be_written_again_is_refused(kind):
    deep = 5
    for _ in range(1500):
        deep = [deep] if kind is list else {"x": deep}
    with pytest.raises(InputError, match=r"^x.row\[1\]: is nested too deeply$"):
        typed.read(Example, {**GOOD, "row": ["a", deep]}, "x")


@pytest.mark.parametrize("data", [None, 5, [], "x", True])
def test_what_is_no_object_is_refused(data):
    for kind in (Peak, Request, Installation, Step, Calibration, Entry):
        with pytest.raises(InputError):
            typed.read(kind, data)


def test_records_come_back_as_they_were(a_run, a_request, an_installation):
    peak = a_run(holders=(Holder("x", "carry", -5, "f32[5]", "net.py:7", 2),), kernels=Kernels(1, ("a in b",)))
    calibration = Calibration("h100-80gb", "d", "1", "2026-11-24", "m", {}, (Point(1, 1, 1, 1, 1, 1, 1, None),))
    for record in (a_request(settings=(("a", (1, (True,))),)), an_installation(), Step(1, 1, None, -5, {"f32": 1}), calibration):
        data = json.loads(json.dumps(record.to_json() if hasattr(record, "to_json") else dataclasses.asdict(record)))
        again = type(record).from_json(data) if hasattr(record, "from_json") else typed.read(type(record), data)
        assert again == record
    assert vars(Peak.from_json(json.loads(json.dumps(peak.to_json())))) == vars(peak)


VALUES = (None, True, -5, 0, 1.5, 2**63, 1e400, "x", "", [], {}, [[]], {"x": None}, [None], "NaN", -(2**70))


def _changed(source, document):
    """A report of which one value, or key, or more was exchanged."""
    document = copy.deepcopy(document)
    for _ in range(source.randint(1, 3)):
        place = document
        while isinstance(place, dict | list) and place:
            key = source.choice(list(place)) if isinstance(place, dict) else source.randrange(len(place))
            if isinstance(place[key], dict | list) and place[key] and source.random() < 0.7:
                place = place[key]
                continue
            what = source.random()
            if what < 0.7:
                place[key] = copy.deepcopy(source.choice(VALUES))
            elif isinstance(place, dict) and what < 0.85:
                del place[key]
            elif isinstance(place, dict):
                place["other" if what < 0.92 else key.upper()] = place.pop(key)
            break
    return document


def test_changed_reports_raise_nothing_of_pythons(a_measurement, a_run, a_request, an_installation, a_peak):
    """10,000 with AF3MEM_FUZZ_CASES=10000. What is accepted has no wrong number."""
    source = random.Random(0)
    holders = (Holder("evoformer", "temporary", 5, "f32[5]", "net.py:7", 2), Holder("batch/msa", "input", 5))
    reports = [
        json.loads(json.dumps(one.to_json(None)))
        for one in (
            a_measurement(peak=a_peak(holders=holders, high_water={"evoformer": 9})),
            a_measurement(peak=a_run(holders=holders), method="run"),
            a_measurement(peak=a_peak(), baseline=Entry.of("t", a_peak(holders=holders))),
            a_measurement(peak=None),
        )
    ]
    others = [
        (Request, a_request(settings=(("a", 1),)).to_json()),
        (Installation, dataclasses.asdict(an_installation())),
        (Calibration, Calibration("t", "d", "1", "2026", "m", {}, (Point(1, 1, 1, 1, 1, 1, 1, None),)).to_json()),
    ]
    refused = 0
    for _ in range(CASES):
        document = _changed(source, source.choice(reports))
        for read in (Measurement.from_json, Peak.from_json):
            try:
                found = read(document)
            except InputError:
                refused += 1
                continue
            peak = found.peak if isinstance(found, Measurement) else found
            if peak is not None:
                assert type(peak.total_bytes) is int
                assert peak.total_bytes > 0
        for kind, data in others:
            try:
                kind.from_json(_changed(source, json.loads(json.dumps(data))))
            except UsageError:
                refused += 1
    assert refused > CASES


class _Counted(dict):
    """A dictionary that counts how often it is asked."""

    asked = 0

    def __getitem__(self, key):
        self.asked += 1
        return super().__getitem__(key)


def test_buffers_that_grow_and_grow_are_not_copied_at_each_new_peak():
    number = 1000
    program = Program(
        instructions={1: Instruction("x", "fusion", 1, "jit(program)/net/add", 0, (), (), b"")},
        roots={1: 1},
        entry=1,
        buffers=_Counted({one: Buffer(1000, 1, ()) for one in range(number)}),
        allocations=(Allocation(1000 * number, False, False, None, False, tuple(range(number))),),
        events=tuple(Event(ALLOCATE, one, "x", 0) for one in range(number)),
        frames={},
    )
    found = attribute(program, (), 1000 * number, 1000 * number)
    assert [(holder.bytes, holder.count) for holder in found.holders] == [(1000 * number, number)]
    assert program.buffers.asked < 20 * number
