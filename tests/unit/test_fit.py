"""The search for settings, against a made-up model whose need is worked out here."""

import dataclasses
from types import SimpleNamespace

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.planning.fit import BUCKET, LESS_PADDING, MORE_RUNS, OTHER, SAME, SAVINGS, Saving, savings_of, search
from pytest_af3mem.reports.fit import render_text

KNOBS = (Saving("shard", (3, 2, 1), SAME), Saving("samples", (4, 2, 1), MORE_RUNS), Saving("rows", (50, 10), OTHER))
USUAL = {"shard": 4, "samples": 5, "rows": 100}


def _of(config, peak):
    return dataclasses.replace(peak, model=dataclasses.replace(peak.model, config=config))


@pytest.fixture
def found(a_request, a_peak, answered):
    """What the search finds when an input needs the larger of two parts of the model, and how often it measured."""

    def run(limit, knobs=KNOBS, fails=(), **how):
        def need(settings):
            return max(100 * settings["shard"], 50 * settings["samples"] + settings["rows"])

        def answer(request):
            settings = {**USUAL, **dict(request.settings)}
            if any(name in dict(request.settings) for name in fails):
                return NotJudged("it fails")
            return _of(settings, a_peak(total_bytes=need(settings)))

        return answered(search(a_request(), limit, knobs, **how), answer)

    return run


@pytest.mark.parametrize(
    ("limit", "changes"),
    [
        (400, {}),
        (350, {"shard": 3}),
        (300, {"shard": 3, "samples": 4}),
        (200, {"shard": 2, "samples": 2}),
        (150, {"shard": 1, "samples": 1}),
        (149, {"shard": 1, "samples": 1, "rows": 50}),
        (100, {"shard": 1, "samples": 1, "rows": 50}),
    ],
)
def test_no_change_can_be_left_out_or_made_milder(found, limit, changes):
    best = found(limit).best
    assert (dict(best.changes), best.fits(limit)) == (changes, True)


def test_a_change_that_costs_memory_makes_no_other_one_dearer(a_request, a_peak, answered):
    """`chunk` adds 30 to what is needed, and is dropped after the samples were tried."""
    knobs = (Saving("chunk", (1,), SAME), Saving("samples", (4, 3, 2, 1), MORE_RUNS))

    def answer(request):
        settings = {"chunk": 2, "samples": 5, **dict(request.settings)}
        return _of(settings, a_peak(total_bytes=50 * settings["samples"] + 30 * (2 - settings["chunk"])))

    found = answered(search(a_request(), 160, knobs), answer)
    assert dict(found.best.changes) == {"samples": 3}


def test_nothing_fits(found):
    fit = found(90)
    assert (fit.best, fit.is_judged) == (None, True)
    assert len(fit.attempts) == 4  # as it is, and with the changes of each cost


@pytest.mark.parametrize("fails", [["shard"], ["rows"]])
def test_what_fails_is_no_proof_that_nothing_fits(found, fails):
    fit = found(90, fails=fails)
    assert (fit.best, fit.is_judged) == (None, False)


def test_nothing_stronger_is_tried_where_what_is_not_judged_ends_it(found):
    """As of shipped answers, which are of no change; one that changes nothing is none."""
    knobs = (Saving("shard", (4,), LESS_PADDING), *KNOBS[1:])
    fit = found(90, knobs, fails=["samples", "rows"], until_unjudged=True)
    assert [dict(one.changes) for one in fit.attempts] == [{}, {"samples": 1}]
    assert (fit.best, fit.is_judged) == (None, False)


def test_no_settings_are_measured_twice(found):
    tried = [tuple(sorted(one.changes.items())) for one in found(149).attempts]
    assert len(tried) == len(set(tried))


def test_what_is_tried_without_being_told(an_installation, a_request):
    names = tuple(one.name for one in SAVINGS if "." not in one.name)
    session = SimpleNamespace(installation=an_installation(settings=names))
    closer, *settings = savings_of(session, {}, a_request(tokens=1050, target="h100-80gb"))
    assert closer == Saving(BUCKET, (1280, 1088), LESS_PADDING)
    assert tuple(settings) == SAVINGS
    assert "attention" not in {one.name for one in savings_of(session, {}, a_request(target="t4-16gb"))}


@pytest.mark.parametrize(
    ("limit", "changes"),
    [(1280, {}), (1279, {BUCKET: 1088}), (1087, {"samples": 1}), (544, {BUCKET: 1088, "samples": 1})],
)
def test_less_padding_comes_first(a_request, a_peak, answered, limit, changes):
    """1,050 tokens in a bucket of 1,280; of the closer ones, the multiple of 256 is the same one again."""
    knobs = (Saving(BUCKET, (1280, 1088), LESS_PADDING), Saving("samples", (1,), MORE_RUNS))

    def answer(request):
        samples = dict(request.settings).get("samples", 2)
        peak = a_peak(tokens=1050, bucket=request.bucket, total_bytes=request.bucket * samples // 2)
        return _of({"samples": 2}, peak)

    found = answered(search(a_request(tokens=1050, buckets=(256, 1024, 1280)), limit, knobs), answer)
    assert found.best.changes == changes
    assert [line for line in render_text(found).splitlines() if "buckets" in line] == (
        ["run_alphafold.py --buckets=256,1024,1088,1280", "pytest --af3-buckets=256,1024,1088,1280"] if BUCKET in changes else []
    )
