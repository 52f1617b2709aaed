"""What the cache folder holds, and what of it goes."""

import os
import sqlite3
import time

import pytest

from pytest_af3mem.commands import cache as command
from pytest_af3mem.errors import UsageError
from pytest_af3mem.reports.cache import render_text
from pytest_af3mem.storage import scratch
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.storage.files import TAG, in_use, prepared
from pytest_af3mem.storage.housekeeping import DAY, KINDS, Entry, Limits, free, tidy, to_remove

NOW = 1_000 * DAY


def entry(kind, days, size_bytes=10, **changes):
    """One that was last used so many days ago, named after both."""
    return Entry(kind, f"{kind}-{days}", size_bytes, NOW - days * DAY, **changes)


def names(entries, **limits):
    return [one.path for one in to_remove(entries, Limits(**limits), NOW)]


MIXED = [entry(kind, days) for days in (1, 40) for kind in ("peaks", "dictionaries", "kept inputs", "calibration records")]


def test_nothing_goes_unasked():
    assert names([*MIXED, entry("locks", 40), entry("scratch", 40)]) == []


def test_by_age():
    assert names(MIXED, unused_seconds=30 * DAY) == ["peaks-40", "dictionaries-40", "kept inputs-40"]
    assert names(MIXED, unused_seconds=40 * DAY) == []


def test_the_least_recently_used_go_first():
    peaks = [entry("peaks", days) for days in (3, 1, 2)]
    assert names(peaks, keep_bytes=30) == []
    assert names(peaks, keep_bytes=29) == ["peaks-3"]
    assert names(peaks, keep_bytes=15) == ["peaks-3", "peaks-2"]
    assert names(peaks, keep_bytes=1) == ["peaks-3", "peaks-1", "peaks-2"]


def test_what_goes_by_age_counts_for_the_size():
    peaks = [entry("peaks", days) for days in (1, 2, 40)]
    assert names(peaks, unused_seconds=30 * DAY, keep_bytes=20) == ["peaks-40"]
    assert names(peaks, unused_seconds=30 * DAY, keep_bytes=10) == ["peaks-2", "peaks-40"]


def test_what_stays_counts_for_the_size():
    held = entry("dictionaries", 40, size_bytes=100, in_use=True)
    assert names([held, entry("peaks", 1)], keep_bytes=105) == ["peaks-1"]


def test_all_that_can_be_made_again():
    assert names(MIXED, clear=True) == ["peaks-1", "dictionaries-1", "peaks-40", "dictionaries-40"]


def test_what_is_in_use_stays():
    entries = [entry("locks", 40, in_use=True), entry("dictionaries", 40, in_use=True), entry("locks", 41)]
    assert names(entries, clear=True, unused_seconds=DAY, keep_bytes=1) == ["locks-41"]


@pytest.mark.parametrize("limits", [{"clear": True}, {"unused_seconds": 30 * DAY}, {"keep_bytes": 10**9}])
def test_what_is_of_no_use_goes_with_anything(limits):
    assert names([entry(kind, 1) for kind in ("locks", "unfinished files", "git trees", "scratch")], **limits) == [
        "locks-1",
        "unfinished files-1",
        "git trees-1",
        "scratch-1",
    ]


@pytest.fixture
def folder(tmp_path, temporary):
    """A cache folder with something of each kind; what dead sessions left lies in the folder for temporary files."""
    folder = prepared(tmp_path / "cache")
    cache = Cache(folder)
    for kind in ("peaks", "programs", "parameters", "signatures"):
        cache.put(kind, {"tokens": 512}, 5)
    with cache.only_one("peaks", {"tokens": 512}):
        pass
    (entry,) = (folder / "peaks").glob("*.json")
    entry.with_name(f".{entry.name}.12345.678").write_text("half")
    for name in ("ccd-biotite-2.0.0-layout2.sqlite", "ccd-biotite-2.0.0-layout2.lock"):
        (folder / name).write_bytes(b"")
    sqlite3.connect(folder / "ccd-biotite-2.0.0-layout2.sqlite").close()
    for name in ("failing/test_fits_0123abcd.json", "calibration/h100-80gb.json"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("{}")
    (folder / "environments" / ("0" * 64)).mkdir(parents=True)
    for name in ("a", "b"):
        (temporary / f"{scratch._prefix()}{2**22 + 1}-{name}").mkdir()
    (temporary / f"{scratch._prefix()}{2**22 + 1}-b" / scratch.TREE).mkdir()
    return folder


def kinds(entries):
    return {kind: count for kind in KINDS if (count := sum(one.kind == kind for one in entries))}


def test_each_kind_is_found_and_nothing_else(folder):
    for name in ("notes.txt", "peaks/notes.json", "failing/notes.json", "ccd.sqlite"):
        (folder / name).write_text("mine")
    found = free(folder, Limits())
    assert kinds(found.entries) == {kind: 2 if kind == "locks" else 1 for kind in KINDS}
    assert (found.gone, found.problems) == ([], [])


def test_cleared_it_can_be_used_again(folder, temporary):
    cleared = free(folder, Limits(clear=True))
    assert kinds(cleared.entries).keys() - kinds(cleared.gone).keys() == {"kept inputs", "calibration records"}
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {TAG, "failing/test_fits_0123abcd.json", "calibration/h100-80gb.json"}
    assert list(temporary.iterdir()) == []
    cache = Cache(folder)
    assert cache.get("peaks", {"tokens": 512}) is None
    cache.put("peaks", {"tokens": 512}, 6)
    assert (cache.get("peaks", {"tokens": 512}), cache.problems) == (6, [])


def test_a_dry_run_says_the_same_and_removes_nothing(folder):
    files = sorted(folder.rglob("*"))
    would = free(folder, Limits(clear=True), dry_run=True)
    assert sorted(folder.rglob("*")) == files
    assert would.gone == free(folder, Limits(clear=True)).gone


def test_a_hit_counts_as_use(folder):
    for path in folder.glob("*/*.json"):
        os.utime(path, (0, 0))
    assert Cache(folder).get("peaks", {"tokens": 512}) == 5
    gone = kinds(free(folder, Limits(unused_seconds=DAY)).gone)
    assert "peaks" not in gone
    assert gone["programs"] == gone["signatures"] == 1


def test_a_folder_that_is_not_there_is_empty(tmp_path):
    assert free(tmp_path / "cache", Limits(clear=True)).entries == ()
    assert not (tmp_path / "cache").exists()


def test_once_a_day_what_was_long_not_used_goes_by_itself(folder):
    old, tag = next((folder / "programs").glob("*.json")), folder / TAG
    os.utime(old, (0, 0))
    tidy(folder)
    assert old.exists()  # the folder was made today
    os.utime(tag, (0, 0))
    tidy(folder)
    assert not old.exists()
    assert time.time() - tag.stat().st_mtime < DAY
    assert kinds(free(folder, Limits()).entries)["peaks"] == 1


def test_as_text(tmp_path):
    entries = [entry("peaks", 1, 2048), entry("peaks", 40, 1024), entry("dictionaries", 3, 2**20, in_use=True)]
    found = free(tmp_path / "none", Limits())
    assert render_text("/c", found, Limits(), NOW, dry_run=False).splitlines() == [
        "cache folder /c",
        "",
        "kind  entries  size",
        "all         0   0 B",
    ]
    limits = Limits(unused_seconds=30 * DAY, keep_bytes=10)
    freed = type(found)(entries, to_remove(entries, limits, NOW), ["it cannot be removed: Permission denied"])
    assert render_text("/c", freed, limits, NOW, dry_run=True).splitlines() == [
        "cache folder /c",
        "",
        "kind          entries      size  oldest  newest  would go  would free",
        "peaks               2  3.00 KiB    40 d    24 h         2    3.00 KiB",
        "dictionaries        1  1.00 MiB     3 d     3 d         -           -",
        "all                 3  1.00 MiB    40 d    24 h         2    3.00 KiB",
        "",
        "a running session uses the folder: its dictionaries stay",
        "",
        "1.00 MiB stay, which is more than 10 B",
        "it cannot be removed: Permission denied",
    ]


@pytest.mark.parametrize(("text", "seconds"), [("12h", 12 * 3600), ("30d", 30 * DAY), ("8w", 56 * DAY)])
def test_ages(text, seconds):
    assert command._seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0d", "d", "-1d", "1.5d", "30 d", "30D", "1234567d"])
def test_no_ages(text):
    with pytest.raises(UsageError) as caught:
        command._seconds(text)
    assert str(caught.value) == f"--older-than {text!r} must be hours, days or weeks, like 12h, 30d or 8w"


def test_a_share_is_no_amount():
    assert command._bytes("2 GiB") == 2**31
    with pytest.raises(UsageError, match=r"^--keep-under '95 %' must be an amount, like '2 GiB'"):
        command._bytes("95 %")


def test_in_use_until_it_is_closed(folder):
    session = in_use(folder)
    used = {"dictionaries", "environments", "locks", "unfinished files"}
    assert {one.kind for one in free(folder, Limits()).entries if one.in_use} == used
    session.close()
    assert not any(one.in_use for one in free(folder, Limits()).entries)
