"""Tables of shipped answers: found by their whole identity, or not at all. Numbers are invented."""

import dataclasses
import gzip
import json

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import InputError
from pytest_af3mem.records import shipped
from pytest_af3mem.records.identity import known_peak, peak_of
from pytest_af3mem.records.shipped import Row, Table
from pytest_af3mem.session.shipped import releases
from pytest_af3mem.storage.cache import Cache


@pytest.fixture
def table(an_installation, a_peak):
    config = gpus.find("h100-80gb").target_config()
    return Table(1, "h100-80gb", config, an_installation(), (Row("shapes", a_peak(tokens=1024)),))


@pytest.fixture
def folder(tmp_path, table):
    shipped.write(tmp_path / "answers", table)
    return tmp_path / "answers"


@pytest.fixture
def cache(tmp_path, folder):
    return Cache(tmp_path / "cache", folder)


def test_written_and_read(folder, table, a_peak):
    assert [path.name for path in folder.iterdir()] == ["h100-80gb.json.gz"]
    read = shipped.table(folder, "h100-80gb")
    assert read.installation.identity == table.installation.identity
    assert vars(read.by_bucket[1024].peak) == vars(a_peak(tokens=1024))
    before = (folder / "h100-80gb.json.gz").read_bytes()
    shipped.write(folder, read)
    assert (folder / "h100-80gb.json.gz").read_bytes() == before
    assert shipped.table(folder, "l4-24gb") is None
    assert shipped.place(folder, "h100-80gb/1g.10gb").name == "h100-80gb-1g.10gb.json.gz"


def test_of_the_same_identity_it_is_the_answer(cache, an_installation, a_request, a_peak):
    found = known_peak(cache, an_installation(), a_request(generated=True))
    assert vars(found) == vars(a_peak(tokens=1000, seconds=0.0, cached=True, shipped=True))
    assert peak_of(cache, an_installation(), a_request(), "shapes").shipped
    assert cache.problems == []


def test_features_of_a_job_of_ones_own_are_made_first(cache, an_installation, a_request):
    assert known_peak(cache, an_installation(), a_request()) is None


@pytest.mark.parametrize(
    "change",
    [
        {"spec": "boltz2"},
        {"distribution": "alphafold3 3.0.2"},
        {"fingerprint": "sha256:4567"},
        {"buckets": (256, 1024)},
        {"settings": ("num_samples",)},
        {"software": {"python": "3.12.2", "jax": "0.10.2", "cuda_plugin": "jax-cuda12-plugin 0.10.2"}},
        {"environment": "of XLA_FLAGS"},
    ],
)
def test_of_another_installation_it_is_not(cache, an_installation, a_request, change):
    other = an_installation(**change)
    assert known_peak(cache, other, a_request(generated=True)) is None
    assert peak_of(cache, other, a_request(), "shapes") is None


@pytest.mark.parametrize(
    "change",
    [
        {"target": "h100-80gb/7g.80gb"},
        {"method": "run"},
        {"launch": True},
        {"settings": (("num_samples", 5),)},
        {"settings": (("xla_flags", "default"),)},
    ],
)
def test_of_another_question_it_is_not(cache, an_installation, a_request, change):
    assert peak_of(cache, an_installation(), a_request(**change), "shapes") is None


def test_of_other_shapes_or_another_description_it_is_not(cache, folder, table, an_installation, a_request):
    assert peak_of(cache, an_installation(), a_request(), "other shapes") is None
    shipped.write(folder, dataclasses.replace(table, target_config="another"))
    assert peak_of(cache, an_installation(), a_request(), "shapes") is None


def test_a_cache_that_may_not_look_there_does_not(tmp_path, an_installation, a_request):
    assert peak_of(Cache(tmp_path), an_installation(), a_request(), "shapes") is None


def test_an_answer_that_cannot_be_is_not_used(cache, folder, table, a_peak, an_installation, a_request):
    shipped.write(folder, dataclasses.replace(table, rows=(Row("shapes", a_peak(total_bytes=5)),)))
    assert peak_of(cache, an_installation(), a_request(), "shapes") is None
    (problem,) = cache.problems
    assert problem.startswith(
        "the shipped answer for [1000 tokens, bucket 1024, h100-80gb, compiled] is not used: its parts add up to"
    )


@pytest.mark.parametrize(
    "content", [b"", b"{}", gzip.compress(b"{}"), gzip.compress(b"{}")[:-4], gzip.compress(b'{"schema": 2}')], ids=range(5)
)
def test_a_table_that_cannot_be_read_is_said(cache, folder, an_installation, a_request, content):
    (folder / "h100-80gb.json.gz").write_bytes(content)
    with pytest.raises(InputError):
        shipped.table(folder, "h100-80gb")
    assert known_peak(cache, an_installation(), a_request(generated=True)) is None
    assert cache.problems[0].startswith(f"shipped answers in {folder} are not used: ")
    assert list(shipped.tables(folder)) == []


def test_of_a_later_schema_it_is_not(folder, table):
    data = json.loads(gzip.decompress((folder / "h100-80gb.json.gz").read_bytes()))
    (folder / "h100-80gb.json.gz").write_bytes(gzip.compress(json.dumps({**data, "schema": 2}).encode()))
    with pytest.raises(InputError, match="2 is not 1"):
        shipped.table(folder, "h100-80gb")


@pytest.mark.parametrize(("release", "made_of"), [("wheel", "alphafold3-colabfold"), ("upstream", "alphafold3")])
def test_tables_of_the_package_can_be_read(release, made_of):
    """All files of it are some, each under the name of its target."""
    folder = releases()[release]
    assert sum(path.is_file() for path in folder.iterdir()) == len(list(shipped.tables(folder)))
    for one in shipped.tables(folder):
        assert one.installation.distribution.partition(" ")[0] == made_of
        assert one.target_config == gpus.find(one.target).target_config()
        assert shipped.table(folder, one.target) == one
        assert [row.peak.total_bytes for row in one.rows] == sorted(row.peak.total_bytes for row in one.rows)


def test_the_switch(monkeypatch):
    assert shipped.folder() == shipped.FOLDER
    monkeypatch.setenv("AF3MEM_SHIPPED", "no")
    assert shipped.folder() is None
    assert list(shipped.tables(shipped.folder())) == []


def test_citation(a_peak):
    assert shipped.citation(a_peak()) == "shipped answer, measured with alphafold3-colabfold 3.1.18, jax 0.10.2"
