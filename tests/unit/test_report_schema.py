"""The JSON Schema of the JSON report, which the package ships: all that is written is in it, and all that is in it is written."""

import json
from dataclasses import replace
from importlib.resources import files

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.gpus import described
from pytest_af3mem.gpus.size import EXACT
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.measurement import SCHEMA, Measurement
from pytest_af3mem.records.peak import Holder, Kernels, Phase, Phases
from pytest_af3mem.records.program_limits import LargeArray, Launch, ProgramLimits, Rematerialization
from pytest_af3mem.records.verdict import Outcome, Reference, judge, not_judged
from pytest_af3mem.reports import json as report

jsonschema = pytest.importorskip("jsonschema")

GIB = 2**30
TEXT = files("pytest_af3mem.reports").joinpath("report.schema.json").read_text()
PHASES = Phases(*[Phase(GIB, 2 * GIB)] * 6, steady_peak_bytes=GIB, gap_ms=1.5)
LIMITS = ProgramLimits(
    Rematerialization(4 * GIB, 5 * GIB, 6 * GIB),
    (LargeArray("s32[2147483648]", 2**31, "diffuser", "modules.py:9"),),
    Launch(40, "gemm_fusion", 2**16, 2**17),
)


def valid(document, schema):
    jsonschema.Draft202012Validator(schema).validate(document)


def exact(schema):
    """The same for a document with every key that there is: no other is allowed, and none may be left out."""
    if isinstance(schema, list):
        return [exact(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: exact(part) for key, part in schema.items() if key not in ("if", "then", "else")}
    if isinstance(schema.get("properties"), dict):
        strict |= {"additionalProperties": False, "required": list(schema["properties"])}
    return strict


@pytest.fixture
def schema():
    return json.loads(TEXT)


@pytest.fixture
def written():
    """The report of some measurements, read again."""
    return lambda *measurements: json.loads(report.render(measurements))


@pytest.fixture
def everything(a_run, a_measurement, a_peak, monkeypatch):
    """A measurement that has whatever one can have: of a run, with holders, limits, a baseline, a target of the user's own."""
    target = gpus.find("l4-24gb").target_config()
    name = "my-gpu-01234567"
    monkeypatch.setattr("pytest_af3mem.gpus.targets._learnt", {name: described.parse(target, name, "my-gpu.txtpb")})
    holders = (Holder("diffuser/evoformer", "temporary", GIB, "bf16[1024,1024,512]", "modules.py:121", 3),)
    changes = {"holders": holders, "high_water": {"diffuser": GIB}, "program_limits": LIMITS, "target": name}
    kernels = Kernels(47, ("attention in diffuser",), 2)
    peak = a_run(replace(a_run().run, cold=PHASES, warm=PHASES), **changes, kernels=kernels, least_bytes=GIB, tuning_bytes=GIB)
    entry = Entry.of("t.py::test_fits", peak, {"num_samples": 5})
    verdict = judge(peak, 9 * GIB, Reference(entry))
    texts = dict.fromkeys(("command", "input", "accept", "accept_all"), "af3mem")
    return a_measurement(
        peak=peak, verdict=verdict, target=name, method="run", baseline=entry, settings={"num_steps": 9}, **texts
    )


def test_it_is_a_schema_of_the_number_that_reports_have(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == SCHEMA
    assert schema["$id"].endswith(f":{SCHEMA}")


def test_every_key_that_is_written_is_in_it_and_no_other(schema, written, everything):
    document = written(everything)
    valid(document, schema)
    valid(document, exact(schema))


def test_a_key_that_the_schema_lacks_is_noticed(schema, written, everything):
    del schema["$defs"]["holder"]["properties"]["count"]
    with pytest.raises(jsonschema.ValidationError, match="'count' was unexpected"):
        valid(written(everything), exact(schema))


def test_a_key_that_nobody_writes_is_noticed(schema, written, everything):
    schema["$defs"]["holder"]["properties"]["owner"] = {"type": "string"}
    with pytest.raises(jsonschema.ValidationError, match="'owner' is a required property"):
        valid(written(everything), exact(schema))


def test_all_verdicts(schema, written, a_measurement, a_peak):
    entry = Entry.of("t.py::test_fits", a_peak(total_bytes=9 * GIB))
    lost = a_measurement(peak=None, verdict=not_judged("the worker died (SIGSEGV)", "[...]", GIB))
    below = judge(a_peak(), None, Reference(entry, tolerance_below=EXACT))
    judged = [a_measurement(), a_measurement(verdict=judge(a_peak(), GIB)), a_measurement(verdict=below), lost]
    document = written(*judged, a_measurement(verdict=None))
    valid(document, schema)
    assert {one["verdict"] for one in document["measurements"]} == {*(one.value for one in Outcome), None}


@pytest.mark.parametrize("verdict", ["within", "below"])
def test_nothing_that_was_not_measured_passes(schema, written, a_measurement, verdict):
    document = written(a_measurement(peak=None, verdict=not_judged("the worker died (SIGSEGV)", "[...]")))
    valid(document, schema)
    document["measurements"][0]["verdict"] = verdict
    with pytest.raises(jsonschema.ValidationError, match="None is not of type 'integer'"):
        valid(document, schema)


def test_what_was_not_measured_says_why(schema, written, a_measurement):
    document = written(a_measurement(peak=None, verdict=not_judged("the worker died (SIGSEGV)", "[...]")))
    document["measurements"][0]["reason"] = None
    with pytest.raises(jsonschema.ValidationError, match="None is not of type 'string'"):
        valid(document, schema)


def test_readers_leave_alone_what_they_do_not_know(schema, written, a_measurement):
    document = written(a_measurement())
    document["measurements"][0]["carbon_grams"] = 5
    valid(document, schema)


def test_a_measurement_read_again_is_the_same(schema, written, everything):
    (row,) = written(everything)["measurements"]
    assert json.loads(json.dumps(Measurement.from_json(row).to_json())) == row
