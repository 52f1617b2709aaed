"""`af3mem history`: the peaks of a committed baseline from commit to commit, in a repository made for the test."""

import json
import re

import git_repository
import pytest

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning import history
from pytest_af3mem.planning.history import Commit
from pytest_af3mem.records.baseline import Baseline, Entry
from pytest_af3mem.reports import history as report

MIB = 2**20
SMALL, LARGE = "t.py::test_fits[512]", "t.py::test_fits[1024]"


@pytest.fixture
def an_entry(a_peak):
    """The entry of a test that needs so many MiB."""

    def entry(test=SMALL, mib=1000, settings=(), **changes):
        tokens = 1024 if test == LARGE else 512
        peak = a_peak(**{"tokens": tokens, "bucket": tokens, "total_bytes": mib * MIB, **changes})
        return Entry.of(test, peak, None if settings is None else dict(settings))

    return entry


@pytest.fixture
def text_of(an_entry):
    """A baseline file in which tests need so many MiB."""

    def text(small=None, large=None):
        sizes = {SMALL: small, LARGE: large}
        return Baseline(tuple(an_entry(test, mib) for test, mib in sizes.items() if mib)).render()

    return text


class Repository(git_repository.Repository):
    """One day passes from commit to commit."""

    day = 1

    @property
    def date(self):
        return f"2026-01-{self.day:02}T12:00:00Z"

    def commit(self, subject, text, name="memory.json"):
        made = super().commit(subject, {name: text})
        self.day += 1
        return made


@pytest.fixture
def repository(tmp_path, monkeypatch):
    found = Repository(tmp_path / "repository")
    monkeypatch.chdir(found.path)
    return found


@pytest.fixture
def run(capsys):
    def run(*arguments, file="memory.json"):
        status = cli.main(["history", file, *arguments])
        return status, *capsys.readouterr()

    return run


# -- What git has


def test_ten_revisions(repository, run, text_of):
    sizes = [(1700, None), (1700, 3800), (1700, 3800), (1701, 3800), (1970, 3800), (1970, 5080), (1970, 5080), (1840, 3810)]
    names = [repository.commit(f"Change {number}", text_of(*pair)) for number, pair in enumerate(sizes[:2])]
    names.append(repository.commit("Rewritten", text_of(*sizes[2]) + "\n"))
    names += [repository.commit(f"Change {number}", text_of(*pair)) for number, pair in enumerate(sizes[3:6], start=3)]
    names.append(repository.commit("Half a merge", "<<<<<<< main\n"))
    names.append(repository.commit("Change 6", text_of(*sizes[6])))
    names.append(repository.commit("Without the large one", text_of(1840)))
    names.append(repository.commit("Both", text_of(*sizes[7])))
    status, output, errors = run()
    assert (status, errors) == (commands.OK, "")
    short = [name[:7] for name in names]
    assert output.splitlines() == [
        f"memory.json: 9 revisions from {short[0]} 2026-01-01 to {short[9]} 2026-01-10",
        "1 revision skipped, with no valid baseline; what they moved shows in the next:",
        f"  {short[6]} 2026-01-07  has a merge conflict in line 1: take one side, then run with --af3-update-baseline",
        "",
        f"{SMALL} [alphafold3, bucket 512, h100-80gb, compiled]",
        "  ▁▁▁▁███▄▄  first 1.66 GiB, last 1.80 GiB, least 1.66 GiB, most 1.92 GiB",
        f"     +1.00 MiB (+0.1 %)  {short[3]} 2026-01-04  Change 3",
        f"  +269.00 MiB (+15.8 %)  {short[4]} 2026-01-05  Change 4",
        f"   -130.00 MiB (-6.6 %)  {short[8]} 2026-01-09  Without the large one",
        "",
        f"{LARGE} [alphafold3, bucket 1024, h100-80gb, compiled]",
        "   ▁▁▁▁██ ▁  first 3.71 GiB, last 3.72 GiB, least 3.71 GiB, most 4.96 GiB",
        f"  +1.25 GiB (+33.7 %)  {short[5]} 2026-01-06  Change 5",
        f"  -1.24 GiB (-25.0 %)  {short[9]} 2026-01-10  Both",
    ]


def test_a_name_that_the_file_had_before_is_followed(repository, text_of):
    repository.commit("First", text_of(1000), name="old [1] name.json")
    repository.git("mv", "old [1] name.json", "memory.json")
    repository.commit("Renamed", text_of(1001))
    repository.commit("Another file", "x", name="other.txt")
    (course,) = history.read(repository.path / "memory.json", 50).courses
    assert course.sizes == [1000 * MIB, 1001 * MIB]


def test_of_a_merge_counts_what_it_brought_into_the_branch(repository, text_of):
    repository.commit("First", text_of(1000, 3000))
    repository.git("checkout", "-q", "-b", "side")
    repository.commit("On the side", text_of(1000, 3500))
    repository.git("checkout", "-q", "main")
    repository.commit("On main", text_of(1100, 3000))
    repository.git("merge", "-q", "--no-commit", "-s", "ours", "side")
    merge = repository.commit("Merge the side", text_of(1100, 3500))
    small, large = history.read(repository.path / "memory.json", 50).courses
    assert small.sizes == [size * MIB for size in (1000, 1100, 1100)]  # the side's old 1,000 MiB are no step back
    assert [one.commit.name for one in large.jumps()] == [merge]


def test_the_newest_revisions_alone(repository, run, text_of):
    for size in (1000, 1001, 1002, 1003):
        repository.commit("Change", text_of(size))
    _, output, _ = run("--last", "2", "--json", "-")
    (test,) = json.loads(output)["tests"]
    assert [one["total_bytes"] for one in test["peaks"]] == [1002 * MIB, 1003 * MIB]


def test_a_file_that_was_removed_and_is_back(repository, run, text_of):
    repository.commit("First", text_of(1000))
    repository.git("rm", "-q", "memory.json")
    repository.commit("Gone", "x", name="other.txt")
    _, output, _ = run()  # also while it is gone
    assert "  was removed" in output
    repository.commit("Back", text_of(1001))
    (course,) = history.read(repository.path / "memory.json", 50).courses
    assert course.sizes == [1000 * MIB, 1001 * MIB]


def test_what_is_no_baseline_is_skipped_with_its_reason(repository, text_of):
    repository.commit("First", text_of(1000))
    repository.commit("Binary", b"\xff\xfe")
    repository.commit("Newer", '{"schema": 2, "measurements": []}')
    repository.commit("Negative", text_of(1000).replace(f'"total_bytes": {1000 * MIB}', '"total_bytes": -5'))
    repository.commit("Empty", "")
    repository.commit("Last", text_of(1001))
    found = history.read(repository.path / "memory.json", 50)
    assert [(one.commit.subject, one.reason) for one in found.skipped] == [
        ("Binary", "is not text in UTF-8"),
        ("Newer", "schema: 2 is newer than the 1 that this pytest-af3mem reads: upgrade it"),
        ("Negative", "measurements[0].total_bytes: -5 must be from 1 to 9,223,372,036,854,775,807"),
        ("Empty", "is not valid JSON: Expecting value (line 1, column 1)"),
    ]
    assert found.courses[0].sizes == [1000 * MIB, 1001 * MIB]


def test_a_part_of_the_history_says_so(repository, run, text_of, tmp_path):
    for size in (1000, 1001):
        repository.commit("Change", text_of(size))
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.path}", str(tmp_path / "shallow"))
    _, output, _ = run(file=str(tmp_path / "shallow" / "memory.json"))
    assert output.startswith("this clone has part of the history: git fetch --unshallow brings the rest (in actions/checkout, ")
    assert "1 revision from" in output


def test_a_link_leads_to_the_file_that_is_committed(repository, text_of, tmp_path):
    repository.commit("First", text_of(1000))
    (tmp_path / "link.json").symlink_to(repository.path / "memory.json")
    assert len(history.read(tmp_path / "link.json", 50).commits) == 1


# -- What cannot be shown


def test_not_in_git(run, tmp_path):
    (tmp_path / "memory.json").write_text("{}")
    file = str(tmp_path / "memory.json")
    line = f"af3mem: {file!r} is in no git repository: give the file of --af3-baseline where it is committed\n"
    assert run(file=file) == (commands.USAGE, "", line)


def test_no_history(repository, run, text_of):
    line = "af3mem: 'memory.json' has no revision in git: commit it first, or give the name by which it is committed\n"
    assert run() == (commands.USAGE, "", line)  # a repository without commits
    repository.commit("Other", "x", name="other.txt")
    (repository.path / "memory.json").write_text(text_of(1000))
    assert run() == (commands.USAGE, "", line)


def test_no_baseline_at_all(repository, run):
    name = repository.commit("Other", "x", name="other.txt")
    line = (
        f"af3mem: 'other.txt' is no baseline in any of the 1 revisions that were read ({name[:7]}: is not valid JSON: "
        "Expecting value (line 1, column 1)): give the committed file of --af3-baseline\n"
    )
    assert run(file="other.txt") == (commands.USAGE, "", line)


@pytest.mark.parametrize(("name", "reason"), [("none/memory.json", "is in no folder that there is"), (".", "is a folder")])
def test_no_file(run, tmp_path, name, reason):
    line = f"af3mem: {str(tmp_path / name)!r} {reason}: give the committed file of --af3-baseline\n"
    assert run(file=str(tmp_path / name)) == (commands.USAGE, "", line)


def test_an_unknown_test(repository, run, text_of):
    repository.commit("First", text_of(1000, 3000))
    nowhere = "is in no revision of 'memory.json' that was read"
    line = f"af3mem: --test 't.py::test_fit[512' {nowhere}; did you mean {SMALL} or {LARGE}?\n"
    assert run("--test", "t.py::test_fit[512") == (commands.USAGE, "", line)
    line = f"af3mem: --test '?' {nowhere}; without --test all 2 are shown\n"
    assert run("--test", "?") == (commands.USAGE, "", line)
    assert LARGE not in run("--test", "[512]")[1]


def test_two_reports_are_two_files(repository, run, text_of):
    repository.commit("First", text_of(1000))
    assert run("--json", "a.json", "--benchmark-json", "a.json")[0] == commands.USAGE


def test_names_from_outside_are_escaped(repository, run, an_entry):
    repository.commit("\x1b[31mred\x07", Baseline((an_entry("::error::\x1b[2J.py::test"),)).render())
    repository.commit("##[error] x", Baseline((an_entry("::error::\x1b[2J.py::test", 1001),)).render())
    _, output, _ = run()
    assert "\x1b" not in output
    assert r"\x3a:error::\x1b[2J.py::test" in output
    assert r"\x23#[error] x" in output


# -- Whose peak it was


def commit(number):
    return Commit(f"{number:040}", number * 86_400, f"Change {number}")


def courses(*baselines):
    """Of baselines, the oldest first."""
    revisions = [(commit(number), Baseline(tuple(entries))) for number, entries in enumerate(baselines)]
    return history.courses(revisions[::-1])


def test_entries_of_other_targets_buckets_and_settings_are_other_courses(an_entry):
    others = [an_entry(target="a100-40gb"), an_entry(bucket=1024), an_entry(settings={"num_samples": 1}), an_entry(method="run")]
    found = courses([an_entry()], [an_entry(), *others])
    assert [len(one.points) for one in found] == [2, 1, 1, 1, 1]
    assert len({report.title(one.entry) for one in found}) == 5


def test_an_entry_that_does_not_say_what_was_stated_is_the_same_test(an_entry):
    (one,) = courses([an_entry(settings=None)], [an_entry(settings=None, mib=1001)], [an_entry(mib=1002)])
    assert one.sizes == [1000 * MIB, 1001 * MIB, 1002 * MIB]


def test_tests_named_from_a_folder_below_are_the_same(an_entry):
    (one,) = courses([an_entry("tests/t.py::test")], [an_entry("pkg/tests/t.py::test", 1001)])
    assert one.sizes == [1000 * MIB, 1001 * MIB]
    found = courses([an_entry("tests/t.py::test")], [an_entry("a/tests/t.py::test"), an_entry("b/tests/t.py::test")])
    assert [len(one.points) for one in found] == [1, 1, 1]  # nobody knows whose it was


def test_a_test_that_is_gone_comes_last_and_says_so(an_entry):
    found = history.History("memory.json", (commit(0), commit(1)), courses([an_entry(), an_entry(LARGE)], [an_entry(LARGE)]))
    assert [one.entry.test for one in found.courses] == [LARGE, SMALL]
    assert report.render_text(found, None).splitlines()[-1].endswith("; not in 0000000 any more")
    assert [test["in_newest"] for test in json.loads(report.render_json(found, None))["tests"]] == [True, False]
    assert [one["name"] for one in json.loads(report.render_benchmark(found))] == [report.title(found.courses[0].entry)]


@pytest.mark.parametrize(
    ("sizes", "method", "tolerance", "jumps"),
    [
        ([1000, 1000, 1001, 999], "compiled", None, [MIB, -2 * MIB]),
        ([1000, 1000, 1001, 999], "compiled", Size(bytes=MIB), [-2 * MIB]),
        ([1000, 1010, 1021], "run", None, [11 * MIB]),  # 1 % of the peak before
        ([1000, 1010, 1021], "run", Size(bytes=0), [10 * MIB, 11 * MIB]),
        ([1000], "compiled", None, []),
    ],
)
def test_jumps_are_above_the_tolerance(an_entry, sizes, method, tolerance, jumps):
    (one,) = courses(*([an_entry(mib=size, method=method)] for size in sizes))
    assert [jump.difference_bytes for jump in one.jumps(tolerance)] == jumps


# -- How it is shown


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ([5], "▁"),
        ([5, 5], "▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([10, None, 20], "▁ █"),
        ([1] * 60 + [2] * 60, "▁" * 30 + "█" * 30),
        ([1] * 119 + [2], "▁" * 59 + "█"),  # a bar of two revisions shows the higher one
    ],
)
def test_sparkline(sizes, line):
    assert report.sparkline(sizes) == line


def test_of_many_jumps_the_newest_are_shown(an_entry):
    found = courses(*([an_entry(mib=1000 + number)] for number in range(13)))
    lines = report.render_text(history.History("m", tuple(map(commit, range(13))), found), None).splitlines()
    assert lines[4] == "  2 older commits moved it, which --json has"
    assert len(lines) == 15


def test_json(repository, run, text_of):
    names = [repository.commit(f"Change {size}", text_of(size)) for size in (1000, 1010)]
    _, output, _ = run("--json", "-", "--tolerance", "5 MiB")
    found = json.loads(output)
    assert (found["schema"], found["file"], found["tolerance"], found["skipped"]) == (1, "memory.json", "5.00 MiB", [])
    assert found["commits"][0] == {"commit": names[0], "day": "2026-01-01", "seconds": 1767268800, "subject": "Change 1000"}
    (test,) = found["tests"]
    assert {name: test[name] for name in ("test", "bucket", "target", "first_bytes", "last_bytes")} == {
        "test": SMALL,
        "bucket": 512,
        "target": "h100-80gb",
        "first_bytes": 1000 * MIB,
        "last_bytes": 1010 * MIB,
    }
    assert test["jumps"] == [
        {"commit": names[1], "before_bytes": 1000 * MIB, "after_bytes": 1010 * MIB, "difference_bytes": 10 * MIB}
    ]


def test_a_file_for_github_action_benchmark(repository, run, text_of):
    repository.commit("First", text_of(1000))
    name = repository.commit("Last", text_of(1010, 3000))
    assert run("--benchmark-json", "out/bench.json")[0] == commands.USAGE  # the folder is not made here
    assert run("--benchmark-json", "bench.json")[0] == commands.OK
    small, large = json.loads((repository.path / "bench.json").read_text())
    assert {key: small[key] for key in ("name", "unit", "value")} == {
        "name": f"{SMALL} [alphafold3, bucket 512, h100-80gb, compiled]",
        "unit": "bytes",
        "value": 1010 * MIB,
    }
    assert small["extra"].splitlines()[:2] == ["1010.00 MiB, 512 tokens", f"accepted in {name[:7]} 2026-01-02"]
    assert set(large) == {"name", "unit", "value", "extra"}


def test_the_page(repository, run, text_of):
    pytest.importorskip("jinja2")
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for size in (1000, 1100):
        repository.commit(f"<b>Change {size}", text_of(size))
    repository.commit("Broken", "")
    assert run("--html", "history.html")[0] == commands.OK
    page = (repository.path / "history.html").read_text()
    assert '<h2 id="over-commits">Memory over commits</h2>' in page
    assert "&lt;b&gt;Change 1100" in page
    assert "<b>Change" not in page
    assert "for the file is no baseline there: is not valid JSON" in page
    data = json.loads(page.partition('id="figures">')[2].partition("</script>")[0])
    (trace,) = data["history"]["data"]
    assert (trace["x"], trace["y"]) == ([0, 1], [100, 110])
    colored = json.loads(re.sub(r'"--[\w-]+"', '"#123456"', json.dumps(data["history"])))
    graph_objects.Figure(colored)  # raises for what is not of plotly.js's schema
