"""`af3mem bisect` on commits of real repositories, and a session that answers with the number that stands in the sources."""

import json
import subprocess
from types import SimpleNamespace

import git_repository
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.errors import NotJudged, SetupError
from pytest_af3mem.planning import bisect
from pytest_af3mem.records.peak import Holder
from pytest_af3mem.records.verdict import Outcome

KIB = 1024


class Repository(git_repository.Repository):
    """Each commit has the file `bytes`, what its model needs: a number of KiB, or why that is not known."""

    def commit(self, subject, needs):
        super().commit(subject, {"bytes": f"{needs}", "notes": subject})

    def hash(self, revision):
        return self.git("rev-parse", revision)[:12]


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


@pytest.fixture
def measured(monkeypatch, a_peak, a_request):
    """Stands for sessions; the sources that were measured, in this order."""
    known = []

    class Session:
        def __init__(self, settings):
            self.settings = settings
            self.pool = SimpleNamespace(notes=[], submit=lambda request: request)

        def request(self, tokens, options, model_settings):
            return a_request(tokens=tokens)

        def wait(self, request, show):
            text = (self.settings.path / "bytes").read_text()
            known.append(text)
            if not text.isdecimal():
                raise {"no model": SetupError, "Ctrl-C": KeyboardInterrupt}.get(text, NotJudged)(text)
            size = int(text) * KIB
            return a_peak(total_bytes=size, holders=(Holder("pairs", "temporary", size),), seconds=2.0)

        def close(self):
            pass

    monkeypatch.setattr(bisect, "Session", Session)
    return known


@pytest.fixture
def af3mem(capsys, measured):
    def run(*arguments):
        status = cli.main(["bisect", *map(str, arguments), "--tokens", "100"])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def eight(repository):
    """Eight commits: the sixth grows, the fourth is half an edit, the others change nothing."""
    for subject, needs in (
        ("The model", 64),
        ("A comment", 64),
        ("Notes", 64),
        ("Half an edit", "KeyError: 3"),
        ("The other half", 64),
        ("Keep two arrays", 128),
        ("Another comment", 128),
        ("More notes", 128),
    ):
        repository.commit(subject, needs)
    repository.git("tag", "v1", "HEAD~7")
    return repository


def test_the_first_commit_that_needs_more(af3mem, eight, measured):
    status, output, errors = af3mem(eight.path, "v1", "main")
    assert (status, errors) == (commands.OVER, "")
    first, parent = eight.hash("main~2"), eight.hash("main~3")
    assert output.splitlines() == [
        f"GOOD     {eight.hash('v1')}    64.00 KiB                    none  compiled, 2 s       The model",
        f"BAD      {eight.hash('main')}   128.00 KiB  +64.00 KiB (+100.00 %)  compiled, 2 s       More notes",
        f"skipped  {eight.hash('main~4')}  Half an edit: KeyError: 3",
        f"within   {parent}    64.00 KiB                    none  compiled, 2 s       The other half",
        f"over     {first}   128.00 KiB  +64.00 KiB (+100.00 %)  compiled, 2 s       Keep two arrays",
        "",
        f"the first commit that needs more is {first}, 2026-11-26, a@b <a@b>, Keep two arrays",
        "",
        f"from {parent} to {first}: +64.00 KiB (+100.00 %)",
        "     +64.00 KiB  pairs  64.00 KiB -> 128.00 KiB",
        "",
        f"af3mem compare {eight.path}@{parent} {eight.path}@{first} --tokens 100 --target h100-80gb",
        f"git -C {eight.path} show {first}",
    ]
    assert measured == ["64", "128", "KeyError: 3", "64", "128"]
    assert eight.git("status", "--porcelain") == ""


def test_where_the_commit_before_cannot_be_measured_it_may_be_that_one(af3mem, eight):
    eight.commit("Half of it", "no model")
    eight.commit("Three arrays", 192)
    status, output, _ = af3mem(eight.path, "main~2", "main")
    assert status == commands.OVER
    half, other = eight.hash("main~1"), eight.hash("main")
    lines = output.splitlines()
    assert f"skipped  {half}  Half of it: no model" in lines
    assert "the first commit that needs more is one of these 2; but for the last none is judged:" in lines
    assert f"  {half}, 2026-11-26, a@b <a@b>, Half of it" in lines
    assert f"from {eight.hash('main~2')} to {other}: +64.00 KiB (+50.00 %)" in lines


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("main~7", "main~3"), "BAD does not need more than GOOD: there is no commit to find"),
        (
            ("v1", "main", "--tolerance", "64 KiB"),
            "BAD does not need more than GOOD by more than 64.00 KiB: there is no commit to find",
        ),
    ],
)
def test_where_nothing_grew_there_is_nothing_to_find(af3mem, eight, measured, arguments, line):
    status, output, errors = af3mem(eight.path, *arguments)
    assert (status, errors) == (commands.OK, "")
    assert output.splitlines()[2:] == ["", line]
    assert len(measured) == 2


def test_an_end_that_is_not_judged(af3mem, eight):
    status, output, _ = af3mem(eight.path, "v1", "main~4")
    assert status == commands.NOT_JUDGED
    assert output.splitlines()[1:] == [
        f"BAD      {eight.hash('main~4')}  Half an edit: KeyError: 3",
        "",
        "BAD is not judged: KeyError: 3",
    ]


def test_an_end_without_a_model_is_something_to_mend(af3mem, repository):
    repository.commit("Nothing yet", "no model")
    repository.commit("The model", 64)
    assert af3mem(repository.path, "main~1", "main") == (
        commands.USAGE,
        "",
        f"af3mem: GOOD {repository.hash('main~1')}: no model\n",
    )


def test_interrupted_it_has_said_what_it_knew(af3mem, eight):
    eight.commit("Takes long", "Ctrl-C")
    eight.commit("Four arrays", 256)
    status, output, errors = af3mem(eight.path, "main~2", "main")
    assert (status, errors) == (commands.INTERRUPTED, "af3mem: interrupted\n")
    assert [line.split()[0] for line in output.splitlines()] == ["GOOD", "BAD"]


@pytest.fixture
def merged(repository):
    """A branch in which the second of three commits grows, while `main` changes nothing."""
    repository.commit("The model", 64)
    repository.git("checkout", "-q", "-b", "branch")
    for subject, needs in (("Prepare", 64), ("Keep two arrays", 128), ("Clean up", 128)):
        repository.commit(subject, needs)
    repository.git("checkout", "-q", "main")
    for number in range(3):
        repository.commit(f"Notes {number}", 64)
    repository.git("merge", "-q", "-X", "theirs", "-m", "Merge the branch", "branch")
    repository.commit("After", 128)
    return repository


def test_a_commit_of_a_merged_branch_is_found(af3mem, merged):
    _, output, _ = af3mem(merged.path, "main~5", "main")
    assert f"the first commit that needs more is {merged.hash('branch~1')}" in output


def test_the_merge_is_found_by_first_parents(af3mem, merged, measured):
    _, output, _ = af3mem(merged.path, "main~5", "main", "--first-parent")
    assert f"the first commit that needs more is {merged.hash('main~1')}" in output
    assert f"from {merged.hash('main~2')} to {merged.hash('main~1')}: +64.00 KiB" in output
    assert merged.hash("branch~1") not in output


def test_a_branch_that_left_before_good_is_held_against_where_it_left(af3mem, repository):
    """It lacks what GOOD saves, which is no growth of its own."""
    repository.commit("The model", 128)
    repository.git("checkout", "-q", "-b", "branch")
    repository.commit("An idea", 128)
    repository.commit("More of it", 128)
    repository.git("checkout", "-q", "main")
    repository.commit("Save half", 64)
    repository.git("tag", "good")
    repository.git("merge", "-q", "-X", "ours", "-m", "Merge the branch", "branch")
    repository.commit("Keep more", 96)
    status, output, _ = af3mem(repository.path, "good", "main")
    assert status == commands.OVER
    assert f"the first commit that needs more is {repository.hash('main')}" in output
    branch = [line for line in output.splitlines() if line.endswith(("The model", "An idea", "More of it"))]
    assert {line.split()[0] for line in branch} <= {"fork", "within"}


def test_foreign_text_colours_no_terminal(af3mem, repository):
    repository.commit("The model", 64)
    repository.commit("Two\x1b[31m arrays ##[error]", 128)
    _, output, _ = af3mem(repository.path, "main~1", "main")
    assert "\x1b" not in output
    assert "##[" not in output
    assert "Two\\x1b[31m arrays" in output


def test_json(af3mem, eight):
    status, output, errors = af3mem(eight.path, "v1", "main", "--json", "-")
    assert (status, errors) == (commands.OVER, "")
    report = json.loads(output)
    ends = eight.git("rev-parse", "v1"), eight.git("rev-parse", "main")
    assert (report["schema"], report["kind"], report["verdict"], report["good"], report["bad"]) == (1, "commit", "over", *ends)
    assert [one["revision"] for one in report["candidates"]] == [eight.git("rev-parse", "main~2")]
    assert report["grown"] == [{"component": "pairs", "before_bytes": 64 * KIB, "after_bytes": 128 * KIB}]
    assert [(one["role"], one["verdict"], one["difference_bytes"]) for one in report["tested"]] == [
        ("GOOD", "within", 0),
        ("BAD", "over", 64 * KIB),
        (None, "not judged", None),
        (None, "within", 0),
        (None, "over", 64 * KIB),
    ]
    assert [row["revision"] for row in report["measurements"]] == [one["revision"] for one in report["tested"]]


def test_ends_that_cannot_be_bisected(af3mem, eight):
    eight.git("checkout", "-q", "-b", "other", "v1")
    eight.commit("Elsewhere", 64)
    eight.git("checkout", "-q", "--orphan", "apart")
    eight.commit("Apart", 64)
    eight.git("checkout", "-q", "main")
    for good, bad, said in (
        ("main", "v1", "GOOD 'main' is not an ancestor of BAD 'v1' but comes after it: change their places, or give"),
        ("other", "main", f"not an ancestor of BAD 'main': give {eight.hash('v1')} as GOOD, the last commit that both have"),
        ("apart", "main", "and they have no commit in common: give an older commit of BAD's history as GOOD"),
        ("v1", "main~7", f"GOOD 'v1' and BAD 'main~7' are one commit, {eight.hash('v1')}: give two"),
        ("v2", "main", "has no revision 'v2'; did you mean v1?"),
    ):
        status, output, errors = af3mem(eight.path, good, bad)
        assert (status, output) == (commands.USAGE, "")
        assert said in errors


def test_a_shallow_clone_is_named(af3mem, eight, tmp_path):
    command = ["git", "clone", "-q", "--depth=2", "--no-single-branch", f"file://{eight.path}", "shallow"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    status, _, errors = af3mem(tmp_path / "shallow", "v1", "main")
    assert status == commands.USAGE
    assert "in this shallow clone: git fetch --unshallow gets the history" in errors


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("repository", "v1"), "GOOD 'v1' needs a BAD: af3mem bisect REPO GOOD BAD"),
        (("elsewhere", "v1", "main"), "REPO 'elsewhere' is no folder: give the one of the model's sources"),
        (("repository",), "'repository' says neither commits nor versions: give PACKAGE==GOOD..BAD"),
    ],
)
def test_arguments_that_say_no_history(af3mem, eight, monkeypatch, arguments, line):
    monkeypatch.chdir(eight.path.parent)
    status, output, errors = af3mem(*arguments)
    assert (status, output) == (commands.USAGE, "")
    assert errors.startswith(f"af3mem: {line}")


def searched(outcomes, parents=None):
    """What `search` finds where revision N has the Nth outcome, and how many it looked at."""
    looked = []

    def judge(one, left):
        looked.append(one)
        return outcomes[int(one)]

    parents = parents or {str(at): [str(at - 1)] for at in range(len(outcomes))}
    return bisect.search(parents, list(parents)[-1], judge), len(looked)


W, O, N = Outcome.WITHIN, Outcome.OVER, Outcome.NOT_JUDGED  # noqa: E741


def test_each_measurement_halves_what_is_left():
    for first in range(100):
        found, looked = searched([W] * first + [O] * (100 - first))
        assert found == [str(first)]
        assert looked <= 7


@settings(deadline=None)
@given(st.data())
def test_what_is_skipped_is_never_guessed(data):
    first = data.draw(st.integers(0, 20))
    outcomes = [data.draw(st.sampled_from([N, O if at >= first else W])) for at in range(20)] + [O]
    found, _ = searched(outcomes)
    assert str(first) in found or first == 20
    assert [outcomes[int(one)] for one in found] == [N] * (len(found) - 1) + [O]
    assert found == [str(at) for at in range(int(found[0]), int(found[-1]) + 1)]


def test_a_branch_is_searched_as_a_whole():
    """0 is the first commit, 1 and 2 a branch, 3 and 4 the other, 5 their merge."""
    parents = {"0": [], "1": ["0"], "2": ["1"], "3": ["0"], "4": ["3"], "5": ["4", "2"]}
    assert searched([W, W, O, W, W, O], parents)[0] == ["2"]
    assert searched([W, W, W, O, O, O], parents)[0] == ["3"]
    assert searched([W, W, W, W, W, O], parents)[0] == ["5"]
