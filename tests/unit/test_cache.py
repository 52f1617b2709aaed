import fcntl
import json
import os

import pytest

from pytest_af3mem.cache import Cache, find_peak, prepared, written_atomically
from pytest_af3mem.errors import SetupError

IDENTITY = {"model": "alphafold3", "tokens": 512}
PREPARATION = "from pathlib import Path; from pytest_af3mem.cache import Cache"


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def entry_of(folder):
    (path,) = folder.rglob("*.json")
    return path


def test_what_was_put_is_found(cache, tmp_path):
    assert cache.get("peaks", IDENTITY) is None
    cache.put("peaks", IDENTITY, {"total_bytes": 5})
    assert cache.get("peaks", IDENTITY) == {"total_bytes": 5}
    assert Cache(tmp_path).get("peaks", dict(reversed(IDENTITY.items()))) == {"total_bytes": 5}
    assert cache.problems == []


def test_nothing_else_is_found(cache):
    cache.put("peaks", IDENTITY, 5)
    assert cache.get("signatures", IDENTITY) is None
    assert cache.get("peaks", {**IDENTITY, "tokens": 513}) is None
    assert cache.get("peaks", {**IDENTITY, "more": None}) is None


def edited(**changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:-10], "Unterminated string"),
        (lambda text: "", "Expecting value"),
        (lambda text: "\udcff", "'utf-8' codec can't decode"),
        (lambda text: "[]", "list indices must be integers"),
        (lambda text: "{}", "'value'"),
        (edited(value=6), "its checksum does not match"),
        (edited(checksum="0"), "its checksum does not match"),
    ],
)
def test_a_damaged_entry_is_said_and_replaced(cache, tmp_path, damage, reason):
    cache.put("peaks", IDENTITY, 5)
    path = entry_of(tmp_path)
    path.write_text(damage(path.read_text()), errors="surrogateescape")
    assert cache.get("peaks", IDENTITY) is None
    (problem,) = cache.problems
    assert problem.startswith(f"cache entry {path} is damaged ({reason}")
    assert problem.endswith("); measured again")
    cache.put("peaks", IDENTITY, 5)
    assert cache.get("peaks", IDENTITY) == 5


def test_disabled_neither_reads_nor_keeps(cache, tmp_path):
    cache.put("peaks", IDENTITY, 5)
    disabled = Cache(tmp_path, enabled=False)
    assert disabled.get("peaks", IDENTITY) is None
    disabled.put("peaks", IDENTITY, 6)
    with disabled.only_one("peaks", IDENTITY):
        pass
    assert cache.get("peaks", IDENTITY) == 5
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


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


HOLD = f"""{PREPARATION}
with Cache(Path(sys.argv[1])).only_one("peaks", {{}}):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_released_when_its_owner_is_killed(start, tmp_path):
    owner = start(HOLD, tmp_path)
    assert owner.stdout.readline() == "in\n"
    (path,) = tmp_path.rglob("*.lock")
    with path.open("a") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    owner.kill()
    owner.wait()
    heir = start(HOLD, tmp_path)
    assert heir.communicate(timeout=30)[0] == "in\n"
    assert heir.returncode == 0


def test_written_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with written_atomically(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
        assert unfinished.parent == tmp_path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError), written_atomically(path) as unfinished:
        unfinished.write_text("half") + "fails"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_prepared_makes_the_folder(tmp_path):
    folder = tmp_path / "a" / "b"
    assert prepared(folder) == folder
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert prepared(folder) == folder


REFUSAL = "the cache folder {} cannot be written ({}): choose another with --af3-cache-dir"


@pytest.mark.parametrize(("inside", "reason"), [("", "File exists"), ("cache", "Not a directory")])
def test_a_place_that_cannot_be_a_folder(tmp_path, inside, reason):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / inside
    with pytest.raises(SetupError) as caught:
        prepared(folder)
    assert str(caught.value) == REFUSAL.format(folder, reason)


def test_a_folder_that_is_read_only(tmp_path, monkeypatch):
    prepared(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as chmod makes it for anyone but root
    with pytest.raises(SetupError) as caught:
        prepared(tmp_path)
    assert str(caught.value) == REFUSAL.format(tmp_path, "Permission denied")
