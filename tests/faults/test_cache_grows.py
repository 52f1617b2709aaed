"""What the cache folder gathers can be freed, and nothing that is in use or of somebody else goes with it."""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from pytest_af3mem.commands import OK, USAGE, cli
from pytest_af3mem.session.pool import Pool
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.storage.files import TAG, alone, prepared
from pytest_af3mem.storage.housekeeping import DAY

SECONDS = 60
USING = "from pathlib import Path; from pytest_af3mem.storage.files import in_use"
CLEARING = ["--clear", "--older-than=1h", "--keep-under=1 B"]


@pytest.fixture
def folder(tmp_path, temporary):
    """A cache folder with a peak and a dictionary, which nobody used for long."""
    folder = prepared(tmp_path / "cache")
    Cache(folder).put("peaks", {}, 5)
    (folder / "ccd-1.sqlite").write_text("a dictionary")
    for path in (folder / "ccd-1.sqlite", *folder.glob("peaks/*")):
        os.utime(path, (0, 0))
    return folder


@pytest.fixture
def af3mem(capsys, folder):
    def run(*arguments, where=folder):
        status = cli.main(["cache", "--cache-dir", str(where), *arguments])
        return status, *capsys.readouterr()

    return run


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() and path.name != TAG)


@pytest.mark.parametrize("option", CLEARING)
def test_each_way_frees_the_folder(af3mem, folder, option):
    status, output, errors = af3mem(option)
    assert (status, errors, files(folder)) == (OK, "", [])
    heading, *_, total = output.splitlines()[2:]
    assert heading.split() == ["kind", "entries", "size", "oldest", "newest", "removed", "freed"]
    assert (total.split()[:2], total.split()[8]) == (["all", "2"], "2")


def test_as_json(af3mem, folder):
    status, output, _ = af3mem("--clear", "--json=-")
    report = json.loads(output)
    rows = {row.pop("kind"): row for row in report["kinds"]}
    assert (status, report["cache"], report["dry_run"], report["problems"]) == (OK, str(folder), False, [])
    assert rows["dictionaries"] == {
        "entries": 1,
        "size_bytes": 12,
        "oldest": "1970-01-01T00:00:00+00:00",
        "newest": "1970-01-01T00:00:00+00:00",
        "in_use": 0,
        "removed": 1,
        "freed_bytes": 12,
    }
    assert (rows["scratch"]["entries"], rows["scratch"]["oldest"]) == (0, None)


@pytest.mark.parametrize("tag", [None, "Signature: 8a477f597d28d172789f06886806bc55\n# Made by cargo\n"])
def test_a_folder_of_somebody_else_is_refused(af3mem, folder, tag):
    (folder / TAG).unlink()
    if tag:
        (folder / TAG).write_text(tag)
    before = files(folder)
    assert af3mem(*CLEARING) == (
        USAGE,
        "",
        f"af3mem: {folder} is no cache folder: it holds no CACHEDIR.TAG of pytest-af3mem, and nothing is removed there; "
        "name another with --cache-dir or $AF3MEM_CACHE_DIR\n",
    )
    assert files(folder) == before


def test_a_folder_that_others_may_write_is_refused(af3mem, folder):
    folder.chmod(0o777)
    status, _, errors = af3mem(*CLEARING)
    assert (status, len(files(folder))) == (USAGE, 2)
    assert "may be written by others (chmod go-w mends that)" in errors


def test_files_of_others_and_links_are_not_touched(af3mem, folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / "peaks", elsewhere)
    (folder / "peaks").symlink_to(elsewhere)
    (folder / "ccd-2.sqlite").symlink_to(folder / "notes")
    for name in ("notes", "ccd-notes.txt", "peaks.json"):
        (folder / name).write_text("mine")
    assert af3mem(*CLEARING)[0] == OK
    assert sorted(os.listdir(folder)) == [TAG, "ccd-2.sqlite", "ccd-notes.txt", "notes", "peaks", "peaks.json"]  # noqa: PTH208
    assert (folder / "notes").read_text() == "mine"
    assert len(files(elsewhere)) == 1


def test_a_held_lock_stays_and_a_free_one_goes(af3mem, folder, start):
    cache = Cache(folder)
    with cache.only_one("programs", {}):
        pass
    holder = start(
        "from pathlib import Path; from pytest_af3mem.storage.cache import Cache\n"
        "with Cache(Path(sys.argv[1])).only_one('peaks', {}): print(flush=True); sys.stdin.read()",
        folder,
    )
    holder.stdout.readline()
    assert len(list(folder.glob("*/*.lock"))) == 2
    assert af3mem(*CLEARING)[0] == OK
    (held,) = folder.glob("*/*.lock")
    assert held.parent.name == "peaks"
    with held.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder.kill()
    holder.wait()
    assert af3mem(*CLEARING)[0] == OK
    assert files(folder) == []


def test_what_a_running_session_uses_stays(af3mem, folder):
    session = Pool(Settings(cache_dir=folder))
    with Cache(folder).only_one("peaks", {}):
        pass
    status, output, _ = af3mem(*CLEARING)
    assert status == OK
    assert "a running session uses the folder: its dictionaries and locks stay" in output
    assert [name.rpartition(".")[2] for name in files(folder)] == ["sqlite", "lock"]
    session.close()
    assert af3mem(*CLEARING)[0] == OK
    assert files(folder) == []


def test_a_session_begins_when_the_clearing_has_ended(folder, start):
    code = f"{USING}\nprint(flush=True)\nin_use(Path(sys.argv[1]))"
    with alone(folder) as is_alone:
        assert is_alone
        session = start(code, folder)
        session.stdout.readline()
        time.sleep(0.2)
        assert session.poll() is None
    assert session.wait(SECONDS) == 0


def test_a_session_that_was_killed_uses_nothing(folder, start):
    session = start(f"{USING}\nlock = in_use(Path(sys.argv[1]))\nprint(flush=True)\nsys.stdin.read()", folder)
    session.stdout.readline()
    with alone(folder) as is_alone:
        assert not is_alone
    session.kill()
    session.wait()
    with alone(folder) as is_alone:
        assert is_alone


def test_what_cannot_be_removed_is_said(af3mem, folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refused)
    status, output, _ = af3mem("--clear")
    assert status == USAGE
    assert f"{folder / 'ccd-1.sqlite'} cannot be removed: Permission denied" in output
    assert len(files(folder)) == 2


def test_what_was_used_meanwhile_stays(af3mem, folder, monkeypatch):
    """An entry that a session asks for between the looking and the removing."""
    from pytest_af3mem.storage import housekeeping

    plan = housekeeping.to_remove

    def slowly(*arguments):
        going = plan(*arguments)
        assert Cache(folder).get("peaks", {}) == 5
        return going

    monkeypatch.setattr(housekeeping, "to_remove", slowly)
    assert af3mem("--older-than=1h")[0] == OK
    assert Cache(folder).get("peaks", {}) == 5


def test_a_session_tidies_at_its_end_once_a_day(folder):
    Pool(Settings(cache_dir=folder)).close()
    assert len(files(folder)) == 2
    os.utime(folder / TAG, (time.time() - 2 * DAY,) * 2)
    Pool(Settings(cache_dir=folder)).close()
    assert files(folder) == []


def test_of_sessions_at_once_the_last_tidies_what_the_others_used(folder):
    os.utime(folder / TAG, (time.time() - 2 * DAY,) * 2)
    first, last = (Pool(Settings(cache_dir=folder)) for _ in range(2))
    first.close()
    assert files(folder) == ["ccd-1.sqlite"]
    last.close()
    assert files(folder) == []


TREE = """
import subprocess
from pathlib import Path
from pytest_af3mem.planning import revisions
repository = Path(sys.argv[1])
repository.mkdir()
(repository / "model.py").write_text("v1")
for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -q -m v1"):
    subprocess.run(["git", *command.split()], cwd=repository, check=True)
print(revisions.tree(repository, "HEAD"), flush=True)
sys.stdin.read()
"""


def test_the_tree_of_a_revision_goes_when_its_process_was_killed(af3mem, start, tmp_path):
    process = start(TREE, tmp_path / "repository")
    tree = Path(process.stdout.readline().strip())
    assert af3mem("--older-than=1w")[0] == OK
    assert (tree / "model.py").read_text() == "v1"
    process.kill()
    process.wait()
    status, output, _ = af3mem("--older-than=1w")
    assert status == OK
    assert "git trees" in output
    assert not tree.parent.exists()


def test_a_dry_run_of_nothing_is_refused(af3mem):
    assert af3mem("--dry-run") == (
        USAGE,
        "",
        "af3mem: --dry-run says what would go: give --older-than, --keep-under or --clear too\n",
    )
