import json

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.request import Request, batch_identity, digest, parameters_identity, peak_identity


@pytest.mark.parametrize(
    ("tokens", "bucket"), [(1, 256), (256, 256), (257, 512), (1000, 1024), (1024, 1024), (1025, 1025), (7777, 7777)]
)
def test_bucket_is_the_first_that_holds_all_tokens_or_the_exact_count(a_request, tokens, bucket):
    assert a_request(tokens=tokens, buckets=(256, 512, 768, 1024)).bucket == bucket


@pytest.mark.parametrize("settings", [(), (("attention", "xla"), ("num_samples", 1)), (("bfloat16", None),)])
def test_json_round_trip(a_request, settings):
    request = a_request(settings=settings)
    again = Request.from_json(json.loads(json.dumps(request.to_json())))
    assert again == request
    assert hash(again) == hash(request)


def of_batch(installation, request, signature="s"):
    return digest(batch_identity(installation, request))


def of_parameters(installation, request, signature="s"):
    return digest(parameters_identity(installation, request))


def of_peak(installation, request, signature="s"):
    return digest(peak_identity(installation, request, signature))


IDENTITIES = (of_batch, of_parameters, of_peak)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_equal_requests_have_one_identity(an_installation, a_request, identity):
    settings = (("a", 1), ("b", 2))
    one = identity(an_installation(), a_request(settings=settings))
    assert identity(an_installation(), a_request(settings=settings[::-1])) == one
    software = dict(reversed(an_installation().software.items()))
    assert identity(an_installation(software=software), a_request(settings=settings)) == one


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other"},
        {"distribution": "alphafold3 3.0.2"},
        {"fingerprint": "sha256:0124"},
        {"buckets": (256,)},
        {"software": {"jax": "0.9.1"}},
    ],
)
@pytest.mark.parametrize("identity", IDENTITIES)
def test_another_installation_is_another_identity(an_installation, a_request, identity, changes):
    assert identity(an_installation(**changes), a_request()) != identity(an_installation(), a_request())


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


def test_settings_differ_by_value(an_installation, a_request):
    values = [1, 2, "1", True, None, (1, 2)]
    assert len({of_peak(an_installation(), a_request(settings=(("x", value),))) for value in values}) == len(values)


def test_another_signature_is_another_peak(an_installation, a_request):
    assert of_peak(an_installation(), a_request(), "s") != of_peak(an_installation(), a_request(), "t")


def test_a_corrected_catalogue_is_another_peak(an_installation, a_request, monkeypatch):
    before = of_peak(an_installation(), a_request())
    monkeypatch.setattr(gpus.Gpu, "target_config", lambda self: "corrected")
    assert of_peak(an_installation(), a_request()) != before
