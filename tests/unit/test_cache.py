import fcntl
import os

import pytest

from pytest_af3mem.errors import SetupError
from pytest_af3mem.records.identity import find_peak
from pytest_af3mem.storage.cache import Cache, digest
from pytest_af3mem.storage.files import prepared, written_atomically

IDENTITY = {"model": "alphafold3", "tokens": 512}
PREPARATION = "from pathlib import Path; from pytest_af3mem.storage.cache import Cache"


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


@pytest.fixture
def path(tmp_path):
    """Where the entry of IDENTITY lies."""
    return tmp_path / "peaks" / f"{digest(IDENTITY)}.json"


def test_what_was_put_is_found_and_nothing_else(cache, tmp_path):
    assert cache.get("peaks", IDENTITY) is None
    cache.put("peaks", IDENTITY, {"total_bytes": 5})
    assert cache.get("peaks", IDENTITY) == {"total_bytes": 5}
    assert Cache(tmp_path).get("peaks", dict(reversed(IDENTITY.items()))) == {"total_bytes": 5}
    for kind, identity in (("signatures", IDENTITY), ("peaks", {**IDENTITY, "tokens": 513}), ("peaks", {**IDENTITY, "x": None})):
        assert cache.get(kind, identity) is None
    assert cache.problems == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda entry: entry[:-10], "Unterminated string"),
        (lambda entry: b"\xff", "'utf-8' codec can't decode"),
        (lambda entry: b"[]", "list indices must be integers"),
        (lambda entry: b"{}", "'value'"),
        (lambda entry: entry.replace(b'"value": 5', b'"value": 6'), "its checksum does not match"),
    ],
)
def test_a_damaged_entry_is_said_and_replaced(cache, path, damage, reason):
    cache.put("peaks", IDENTITY, 5)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("peaks", IDENTITY) is None
    (problem,) = cache.problems
    assert problem.startswith(f"cache entry {path} is damaged ({reason}")
    assert problem.endswith("); measured again")
    cache.put("peaks", IDENTITY, 5)
    assert cache.get("peaks", IDENTITY) == 5


def test_an_entry_that_can_neither_be_read_nor_written_is_said(cache, path):
    path.mkdir(parents=True)
    assert cache.get("peaks", IDENTITY) is None
    cache.put("peaks", IDENTITY, 5)
    assert cache.problems == [
        f"cache entry {path} is damaged ([Errno 21] Is a directory: '{path}'); measured again",
        f"cache entry {path} cannot be written (Is a directory); it will be measured again",
    ]
    assert list(path.parent.iterdir()) == [path]


def test_a_peak_is_said_of_the_request_that_asks(cache, a_peak, a_request):
    assert find_peak(cache, IDENTITY, a_request()) is None
    cache.put("peaks", IDENTITY, a_peak(tokens=1000).to_json())
    found = find_peak(cache, IDENTITY, a_request(tokens=1024))
    assert vars(found) == vars(a_peak(tokens=1024, seconds=0.0, cached=True))


def test_only_one_of_two_processes_is_in(at_once, tmp_path):
    code = """
for _ in range(200):
    with Cache(Path(sys.argv[1])).only_one("peaks", {}):
        for what in ("in", "out"):
            with open(sys.argv[2], "a") as file:
                print(what, file=file)
"""
    at_once(PREPARATION, code, tmp_path, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "in\nout\n" * 400


def test_a_lock_is_released_when_its_owner_is_killed(start, tmp_path):
    code = f"""{PREPARATION}
with Cache(Path(sys.argv[1])).only_one("peaks", {{}}):
    print("in", flush=True)
    sys.stdin.read()
"""
    owner = start(code, tmp_path)
    assert owner.stdout.readline() == "in\n"
    (path,) = tmp_path.rglob("*.lock")
    with path.open("a") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    owner.kill()
    owner.wait()
    assert start(code, tmp_path).communicate(timeout=30)[0] == "in\n"


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with written_atomically(path) as unfinished:
        unfinished.write_text("whole")
        assert unfinished.parent == tmp_path
        assert not path.exists()
    with pytest.raises(TypeError), written_atomically(path) as unfinished:
        unfinished.write_text("half") + "fails"
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_prepared(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "b"
    assert prepared(folder) == prepared(folder) == folder
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(os, "access", lambda place, _: place != folder)  # as chmod makes it for anyone but root
    for place, reason in ((tmp_path / "file", "File exists"), (folder, "Permission denied")):
        with pytest.raises(SetupError) as caught:
            prepared(place)
        assert str(caught.value) == (
            f"the cache folder {place} cannot be written ({reason}): choose another with --af3-cache-dir or $AF3MEM_CACHE_DIR"
        )
