"""Errors and verbs that cross from the worker to pytest, and from a Dask worker to its client."""

import io
import json

import pytest

from pytest_af3mem import errors, gpus
from pytest_af3mem.errors import Af3memError, InputError, NotJudged, OutOfMemory, SetupError, UsageError
from pytest_af3mem.worker import main, protocol


class WidthError(UsageError):
    """As a model of one's own may have."""


class Flaky(OutOfMemory):
    pass


def across(error, detail=""):
    return protocol.error(json.loads(json.dumps(protocol.failure(error))), detail)


@pytest.mark.parametrize(
    ("error", "arrives_as"),
    [
        (UsageError("width=0 is too small"), UsageError),
        (WidthError("width=0 is too small"), UsageError),
        (gpus.UnknownTarget("no target h1000"), UsageError),
        (InputError("sequences[2]", "must be text", "5"), InputError),
        (SetupError("weights are missing"), SetupError),
        (NotJudged("the reason"), NotJudged),
        (OutOfMemory("out"), OutOfMemory),
        (Flaky("out"), OutOfMemory),
        (Af3memError("something"), Af3memError),
    ],
)
def test_an_error_arrives_as_itself_or_as_the_nearest_that_is_known(error, arrives_as):
    arrived = across(error)
    assert (type(arrived), str(arrived)) == (arrives_as, str(error))
    with pytest.raises(arrives_as):
        raise arrived


def test_every_error_of_ours_is_known():
    ours = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Af3memError)]
    assert {type(across(each.__new__(each, "text"))) for each in ours} == set(ours)


@pytest.mark.parametrize("fields", [None, [], "detail", 5])
def test_an_error_without_what_it_should_hold_arrives_all_the_same(fields):
    arrived = protocol.error({"error": "NotJudged", "text": "reason", "fields": fields}, "the log here")
    assert (type(arrived), str(arrived), arrived.detail) == (NotJudged, "reason", "the log here")


def test_what_an_error_holds_arrives_too():
    assert vars(across(OutOfMemory("out", "log", asked_bytes=5, limit_bytes=7))) == {
        "detail": "log",
        "asked_bytes": 5,
        "limit_bytes": 7,
    }
    assert vars(across(InputError("sequences[2]", "must be text"))) == {"path": "sequences[2]", "rule": "must be text"}
    assert across(NotJudged("reason"), "the log here").detail == "the log here"
    assert across(NotJudged("reason", "the log there"), "the log here").detail == "the log there"


@pytest.mark.parametrize("reply", [{"error": "KeyError"}, {"error": [1], "text": 5, "fields": None}])
def test_an_error_that_nobody_knows_is_not_judged(reply):
    assert type(protocol.error(reply, "log")) is NotJudged


@pytest.fixture
def served(project, monkeypatch, tmp_path):
    """The replies of a worker to messages, in this process."""
    monkeypatch.syspath_prepend(project.models)

    def serve(*messages):
        options = {"model": "analytic:Analytic", "folder": str(tmp_path), "results": str(tmp_path), "path": None}
        out = io.StringIO()
        main._serve(options, [json.dumps({"number": at, **one}) for at, one in enumerate(messages)], out)
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return serve


@pytest.mark.parametrize("verb", ["dance", "", "Measure", None])
def test_an_unknown_verb_is_refused(served, verb, a_request):
    (reply,) = served({"do": verb, "request": a_request().to_json()})
    assert type(protocol.error(reply)) is NotJudged
    assert reply["text"] == f"the worker does not know how to {verb!r}"


def test_every_verb_is_known_at_both_ends(served):
    for reply in served(*({"do": verb} for verb in protocol.VALUES)):
        assert "does not know how" not in reply.get("text", "")


def test_an_error_of_a_models_own_is_told_as_it_is(project):
    project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    project.run("--junitxml=junit.xml", model="misbehaving:Refusing").assert_outcomes(failed=1)
    reason = "width=32 is not a multiple of 5"
    assert project.junit() == {"test_any": f"Failed: GPU peak not judged: {reason} [100 tokens, bucket 128, h100-80gb, compiled]"}
