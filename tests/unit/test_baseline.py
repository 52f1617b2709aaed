import dataclasses
import functools
import json
import os

import pytest

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.records.baseline import Baseline, Entry, changed_defaults, differing_versions
from pytest_af3mem.records.peak import Holder, Kernels, Model

GIB = 2**30


@pytest.fixture
def an_entry(a_peak):
    """An entry for a peak with two components, to be varied by keyword."""
    holders = tuple(Holder(component, "temporary", size) for component, size in [("diffuser/evoformer", GIB), ("input", 7 * GIB)])
    return functools.partial(dataclasses.replace, Entry.of("t.py::test_fits[1000]", a_peak(holders=holders)))


LINES = (
    '{"test": "t.py::test_fits[1000]", "tokens": 1000, "bucket": 1024, "target": "h100-80gb", "method": "compiled", '
    '"total_bytes": 8589934592, "live_bytes": 8053063680,',
    ' "kernels": {"triton": 47, "xla_fallbacks": [], "mosaic": 0},',
    ' "components": {',
    '  "diffuser/evoformer": 1073741824,',
    '  "input": 7516192768},',
    ' "model": {"name": "alphafold3", "distribution": "alphafold3-colabfold 3.1.18", "config": {"num_samples": 5}},',
    ' "software": {"cuda_plugin": "jax-cuda12-plugin 0.10.2", "jax": "0.10.2", "python": "3.12.1", '
    '"xla_flags": "--xla_gpu_autotune_level=0"}}',
)
ENTRY = "\n".join(LINES)


def test_entries_are_sorted_by_test_and_tokens_and_each_number_has_a_line_of_its_own(an_entry):
    entries = [
        an_entry(test="t.py::test_fits[1000]"),
        an_entry(test="t.py::test_fits[500]", tokens=500),
        an_entry(test="s.py::test_other", tokens=2000, live_bytes=None),
    ]
    text = Baseline(tuple(entries)).render()
    first, *lines, last = text.splitlines()
    assert (first, last) == ('{"schema": 1, "measurements": [', "]}")
    numbers = [line for line in lines if line.startswith("{")]
    assert [json.loads(line.rstrip(",") + "}")["tokens"] for line in numbers] == [2000, 500, 1000]
    assert tuple(lines[-len(LINES) :]) == LINES
    assert Baseline.parse(text).by_key == Baseline(tuple(entries)).by_key
    assert Baseline.parse(text).render() == text
    assert Baseline.parse(Baseline().render()) == Baseline()


def test_nothing_is_kept_that_changes_when_the_memory_does_not(a_peak):
    slow = a_peak(seconds=500.0, cached=True, model=Model("alphafold3", "alphafold3-colabfold 3.1.18", "sha256:other", {}))
    fast = a_peak(seconds=1.0, model=Model("alphafold3", "alphafold3-colabfold 3.1.18", "sha256:0123", {}))
    assert Entry.of("t", slow) == Entry.of("t", fast)


def test_inputs_of_one_bucket_share_the_largest(an_entry):
    measured = [an_entry(tokens=900), an_entry(tokens=1000), an_entry(tokens=950, total_bytes=9 * GIB), an_entry(bucket=512)]
    kept = Baseline().updated(measured).entries
    assert [(entry.tokens, entry.bucket, entry.total_bytes) for entry in kept] == [(950, 1024, 9 * GIB), (1000, 512, 8 * GIB)]
    assert Baseline().updated(measured[:2]).entries == (an_entry(tokens=1000),)


def test_updating_replaces_adds_and_removes(an_entry):
    old = Baseline((an_entry(), an_entry(test="kept"), an_entry(test="renamed")))
    new = old.updated([an_entry(total_bytes=1), an_entry(test="added")], orphans=[an_entry(test="renamed")])
    assert {(entry.test, entry.total_bytes) for entry in new.entries} == {
        ("t.py::test_fits[1000]", 1),
        ("kept", 8 * GIB),
        ("added", 8 * GIB),
    }


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"target": "a100-40gb"}, "another target (a100-40gb, now h100-80gb)"),
        ({"method": "run"}, "another method (run, now compiled)"),
        ({"bucket": 1280}, "another bucket (1280, now 1024)"),
        ({"model": "mine"}, "another model (mine, now alphafold3)"),
        ({"config": {"num_samples": 1}}, "another setting num_samples (1, now 5)"),
        ({"config": {"num_samples": 5, "a.b": [1]}}, "another setting a.b ([1], now none)"),
        ({"target": "a100-40gb", "bucket": 1280}, "another target (a100-40gb, now h100-80gb), another bucket (1280, now 1024)"),
    ],
)
def test_an_entry_of_other_conditions_is_not_compared(an_entry, changes, difference):
    found = Baseline((an_entry(target="l4-24gb", method="run", bucket=1), an_entry(**changes)))
    assert found.find(an_entry()) is None
    assert found.why_none(an_entry()) == f"the baseline is of {difference}: run with --af3-update-baseline"


def test_an_entry_of_other_versions_and_another_size_in_the_bucket_is_compared(an_entry):
    entry = an_entry(tokens=900, distribution="alphafold3 4.0", software={"jax": "0.11", "numpy": "2.0"})
    assert Baseline((entry,)).find(an_entry()) is entry
    assert differing_versions(entry, an_entry(software={"jax": "0.11", "rdkit": "1"})) == [
        "model alphafold3 4.0, now alphafold3-colabfold 3.1.18",
        "numpy 2.0, now none",
        "rdkit none, now 1",
    ]


def test_an_entry_is_found_by_what_was_stated_and_not_by_what_the_model_made_of_it(an_entry):
    entry, changed = an_entry(settings={}), an_entry(settings={}, config={"num_samples": 6, "depth": 1})
    assert Baseline((entry,)).find(changed) is entry
    assert changed_defaults(entry, changed) == ["the model's num_samples is 6, was 5", "the model's depth is 1, was none"]
    stated = an_entry(settings={"num_samples": 5})
    assert Baseline((entry,)).find(stated) is None
    reason = "the baseline is of another setting num_samples (none, now 5): run with --af3-update-baseline"
    assert Baseline((entry,)).why_none(stated) == reason
    both = Baseline((entry, stated))
    assert Baseline.parse(both.render()).by_key == both.by_key
    assert '\n "settings": {"num_samples": 5}},' in both.render()


def test_an_entry_that_does_not_say_what_was_stated_is_found_by_all_settings_and_replaced(an_entry):
    old, measured = an_entry(), an_entry(settings={"attention": "xla"}, total_bytes=9 * GIB)
    assert Baseline((old,)).find(measured) is old
    assert changed_defaults(old, measured) == []
    assert Baseline((old,)).updated([measured]).entries == (measured,)
    changed = dataclasses.replace(measured, config={"num_samples": 6})
    assert Baseline((old,)).find(changed) is None
    reason = "the baseline is of another setting num_samples (5, now 6): run with --af3-update-baseline"
    assert Baseline((old,)).why_none(changed) == reason
    newer = an_entry(settings={"attention": "xla"})
    assert Baseline((old, newer)).find(measured) is newer


def test_no_entry(an_entry):
    other_tests = an_entry(test="t.py::test_other"), an_entry(tokens=500, bucket=512)
    assert Baseline(other_tests).why_none(an_entry()) == "no baseline: run with --af3-update-baseline"


def changed(**changes):
    return f'{{"schema": 1, "measurements": [\n{json.dumps(json.loads(ENTRY) | changes)}\n]}}\n'


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is not valid JSON: Expecting value (line 1, column 1)"),
        ("[]", "[] must be an object"),
        ("{}", "schema: is missing"),
        ('{"schema": 1}', "measurements: is missing"),
        ('{"schema": "1", "measurements": []}', "schema: '1' must be a whole number"),
        ('{"schema": 2, "rows": []}', "schema: 2 is newer than the 1 that this pytest-af3mem reads: upgrade it"),
        ('{"schema": 1, "measurements": {}}', "measurements: {} must be a list"),
        ('{"schema": 1, "measurements": [{}]}', "measurements[0].test: is missing"),
        (changed(total_bytes="8 GiB"), "measurements[0].total_bytes: '8 GiB' must be a whole number"),
        (changed(total_bytes=0), "measurements[0].total_bytes: 0 must be from 1 to 9,223,372,036,854,775,807"),
        (changed(components={"input": 1.5}), "measurements[0].components.input: 1.5 must be a whole number"),
        (changed(software={"jax": 1}), "measurements[0].software.jax: 1 must be a text"),
        (changed(totl_bytes=5), "measurements[0].totl_bytes: 'totl_bytes' is not a key here; did you mean total_bytes"),
        (
            changed().replace("\n]}", f",\n{ENTRY}\n]}}"),
            "measurements[1]: is the same measurement as measurements[0]: remove one of them",
        ),
        (
            f"{{\n<<<<<<< HEAD\n{ENTRY}\n=======\n{ENTRY}\n>>>>>>> other\n}}",
            "has a merge conflict in line 2: take one side, then run with --af3-update-baseline",
        ),
    ],
)
def test_a_damaged_file_is_one_clear_error_and_stays_as_it_is(tmp_path, an_entry, text, rule):
    path = tmp_path / "memory.json"
    path.write_text(text)
    for use in (baseline_file.read, lambda path: baseline_file.change(path, lambda found: found.updated([an_entry()]))):
        with pytest.raises(UsageError) as caught:
            use(path)
        (line,) = str(caught.value).splitlines()
        assert line.startswith(f"baseline {str(path)!r}: {rule}")
    assert path.read_text() == text


def test_files_that_cannot_be_read_or_written(tmp_path, an_entry):
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        baseline_file.read(tmp_path)
    (tmp_path / "memory.json").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        baseline_file.read(tmp_path / "memory.json")
    with pytest.raises(SetupError, match="cannot be written: No such file or directory"):
        baseline_file.change(tmp_path / "no" / "memory.json", lambda found: found.updated([an_entry()]))


def test_a_change_is_written_whole_and_only_if_there_is_one(tmp_path, an_entry):
    path, link = tmp_path / "memory.json", tmp_path / "link.json"
    link.symlink_to(path)
    before, after = baseline_file.change(link, lambda found: found.updated([an_entry()]))
    assert (before, after.entries) == (Baseline(), (an_entry(),))
    assert link.is_symlink()
    assert baseline_file.read(path).by_key == after.by_key
    os.utime(path, ns=(5, 5))
    baseline_file.change(path, lambda found: found.updated([an_entry()]))
    assert path.stat().st_mtime_ns == 5
    baseline_file.change(tmp_path / "unneeded.json", lambda found: found)
    assert sorted(tmp_path.iterdir()) == [link, path]


def test_processes_that_change_it_at_once_lose_nothing(tmp_path, at_once):
    code = """
from pathlib import Path
from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.peak import Kernels
path = Path(sys.argv[1])
def entry(number):
    name = f"{__import__('os').getpid()} {number}"
    return Entry(name, 1, 1, "h100-80gb", "compiled", 1, 1, Kernels(0), {}, "m", "d", {}, {})
"""
    work = "for number in range(20): baseline_file.change(path, lambda found: found.updated([entry(number)]))"
    at_once(code, work, tmp_path / "memory.json")
    assert len(baseline_file.read(tmp_path / "memory.json").entries) == 40


def test_kernels_are_kept(an_entry):
    entry = an_entry(kernels=Kernels(3, ("attention in evoformer",)))
    assert Baseline.parse(Baseline((entry,)).render()).entries == (entry,)
