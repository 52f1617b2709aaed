import json

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError
from pytest_af3mem.records.identity import batch_identity, parameters_identity, peak_identity
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.storage.cache import digest


@pytest.mark.parametrize(("tokens", "bucket"), [(1, 256), (256, 256), (257, 512), (1024, 1024), (1025, 1025), (7777, 7777)])
def test_bucket_is_the_first_that_holds_all_tokens_or_the_exact_count(a_request, tokens, bucket):
    assert a_request(tokens=tokens, buckets=(256, 512, 768, 1024)).bucket == bucket


def test_json_round_trip(a_request):
    request = a_request(settings=(("attention", "xla"), ("bfloat16", None), ("sizes", (1, (2.5, True)))))
    again = Request.from_json(json.loads(json.dumps(request.to_json())))
    assert again == request
    assert hash(again) == hash(request)


@pytest.mark.parametrize("value", [{}, {1}, b"x", object, 1j, [1, [{}]], float("inf"), float("nan")])
def test_only_what_json_can_hold_is_frozen(value):
    with pytest.raises(UsageError, match=r"^x=.* must be a finite number, a text, true, false, none, or a list of these$"):
        freeze({"x": value})


@pytest.mark.parametrize("value", [2**63, -(10**5000), [1, 2**64]], ids=["above", "far below", "inside"])
def test_a_number_that_no_reader_takes_is_not_frozen(value):
    with pytest.raises(UsageError, match=r"^x=.* must be from -\(2\*\*63 - 1\) to 2\*\*63 - 1$"):
        freeze({"x": value})


def of_batch(installation, request):
    return digest(batch_identity(installation, request))


def of_parameters(installation, request):
    return digest(parameters_identity(installation, request))


def of_peak(installation, request, signature="s"):
    return digest(peak_identity(installation, request, signature))


IDENTITIES = (of_batch, of_parameters, of_peak)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_identity_of_an_installation(an_installation, a_request, identity):
    installation, settings = an_installation(), (("a", 1), ("b", 2))
    one = identity(installation, a_request(settings=settings))
    again = an_installation(software=dict(reversed(installation.software.items())))
    assert identity(again, a_request(settings=settings[::-1])) == one
    for change in (
        {"spec": "mine:Mine"},
        {"model": "other"},
        {"distribution": "alphafold3 3.0.2"},
        {"fingerprint": "sha256:0124"},
        {"buckets": (256,)},
        {"software": {"jax": "0.9.1"}},
    ):
        assert identity(an_installation(**change), a_request(settings=settings)) != one


@pytest.mark.parametrize(
    ("changes", "of"),
    [
        ({"job": "{}"}, {of_batch}),
        ({"buckets": (1024,)}, {of_batch}),
        ({"tokens": 999}, set()),
        ({"target": "h200-141gb"}, {of_peak}),
        ({"target": "a100-80gb"}, {of_parameters, of_peak}),
        ({"method": "run"}, {of_peak}),
        ({"settings": (("num_samples", 1),)}, {of_parameters, of_peak}),
    ],
)
def test_another_request_is_another_identity(an_installation, a_request, changes, of):
    before, after = a_request(), a_request(**changes)
    assert {one for one in IDENTITIES if one(an_installation(), before) != one(an_installation(), after)} == of


def test_what_makes_another_peak(an_installation, a_request, monkeypatch):
    values = [1, 2, "1", True, None, (1, 2)]
    identities = {of_peak(an_installation(), a_request(settings=(("x", value),))) for value in values}
    identities |= {of_peak(an_installation(), a_request(), signature) for signature in "st"}
    monkeypatch.setattr(gpus.Gpu, "target_config", lambda self: "a corrected catalogue")
    identities.add(of_peak(an_installation(), a_request()))
    assert len(identities) == len(values) + 2 + 1
