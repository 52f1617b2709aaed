"""An entry is what it says that it is, of the question that it was filed under, or it is measured again."""

import json
import os
import shutil

import pytest

from pytest_af3mem.records.identity import find_peak
from pytest_af3mem.storage.cache import Cache

ONE, OTHER = {"bucket": 128}, {"bucket": 512}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def path_of(cache, kind, identity):
    return cache._path(kind, identity)


def test_an_entry_that_was_copied_to_another_key_is_not_believed(cache):
    cache.put("peaks", ONE, 5)
    shutil.copy(path_of(cache, "peaks", ONE), path_of(cache, "peaks", OTHER))
    assert cache.get("peaks", OTHER) is None
    (problem,) = cache.problems
    assert "is damaged (it is of another question); measured again" in problem


def test_nor_is_one_of_another_kind(cache):
    cache.put("peaks", ONE, 5)
    path_of(cache, "signatures", ONE).parent.mkdir()
    shutil.copy(path_of(cache, "peaks", ONE), path_of(cache, "signatures", ONE))
    assert cache.get("signatures", ONE) is None
    assert "its checksum does not match" in cache.problems[0]


def test_nor_is_one_whose_identity_was_written_over(cache):
    cache.put("peaks", ONE, 5)
    entry = json.loads(path_of(cache, "peaks", ONE).read_text())
    path_of(cache, "peaks", OTHER).write_text(json.dumps({**entry, "identity": OTHER}))
    assert cache.get("peaks", OTHER) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total_bytes": -5}, "total_bytes: -5 must be from 1 to 9,223,372,036,854,775,807"),
        ({"total_bytes": 1.5}, "total_bytes: 1.5 must be a whole number"),
        ({"kernels": None}, "kernels: is missing"),
        ({"holders": [{"component": "x"}]}, "holders[0].kind: is missing"),
        ({"run": {}}, "run.device: is missing"),
        ({"software": {"jax": 1}}, "software.jax: 1 must be a text"),
        ({"high_water": []}, "high_water: [] must be an object"),
    ],
)
def test_a_value_of_another_form_is_damage(cache, a_peak, a_request, changes, reason):
    cache.put("peaks", ONE, {**a_peak().to_json(), **changes})
    assert find_peak(cache, ONE, a_request()) is None
    (problem,) = cache.problems
    assert problem.endswith(f"is damaged ({reason}); measured again")


def test_a_peak_that_is_no_answer_is_damage(cache, a_peak, a_request):
    cache.put("peaks", ONE, a_peak().to_json())
    assert find_peak(cache, ONE, a_request(), lambda peak: "it is of another card") is None
    assert cache.problems[0].endswith("is damaged (it is of another card); measured again")


def test_brackets_without_end_are_damage(cache):
    cache.put("peaks", ONE, 5)
    path_of(cache, "peaks", ONE).write_text("[" * 100_000)
    assert cache.get("peaks", ONE) is None
    assert "is damaged (" in cache.problems[0]


def test_an_entry_of_another_user_is_not_called_damaged(cache, monkeypatch):
    """As for anyone but root."""
    cache.put("peaks", ONE, 5)

    def refuse(path):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    assert cache.get("peaks", ONE) is None
    assert cache.problems == [f"cache entry {path_of(cache, 'peaks', ONE)} cannot be read (Permission denied); measured again"]


def test_infinities_are_kept_as_text(cache):
    cache.put("peaks", {"cutoff": float("inf")}, [float("nan")])
    assert cache.get("peaks", {"cutoff": float("inf")}) == ["nan"]
    assert "NaN" not in path_of(cache, "peaks", {"cutoff": float("inf")}).read_text()


def test_a_peak_is_said_of_the_bucket_that_asks(cache, a_peak, a_request):
    """Two buckets may have features of the same shapes."""
    cache.put("peaks", ONE, a_peak().to_json())
    found = find_peak(cache, ONE, a_request(tokens=200))
    assert (found.tokens, found.bucket) == (200, 256)


def test_a_wrong_entry_is_measured_again_in_a_session(cold_project, needed_bytes):
    """The entry of 128 tokens at the place of that of 512 would pass a budget that 512 break."""
    cold_project.gate("af3_tokens(100, 500)", 'af3_budget("100 KiB")')
    cold_project.run().assert_outcomes(passed=1, failed=1)
    entries = sorted(
        (cold_project.cache / "peaks").glob("*.json"), key=lambda path: json.loads(path.read_text())["value"]["bucket"]
    )
    shutil.copy(*entries)
    result = cold_project.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"cache entry {entries[1]} is damaged (it is of another question); measured again"])
    assert [row["total_bytes"] for row in cold_project.measurements()] == [needed_bytes(128), needed_bytes(512)]
