"""What git says differs between two sides of a comparison, as `planning.hunks` takes it."""

import pytest
from git_repository import Repository

from pytest_af3mem.planning import hunks, sides
from pytest_af3mem.session.settings import Settings


@pytest.fixture
def repository(tmp_path):
    """A package below `src`: a line more in `v2`, and an edit since then."""
    found = Repository(tmp_path / "my repository")
    for tag, text in (("v1", "one\n"), ("v2", "one\ntwo\n")):
        found.commit(tag, {"src/alphafold3/model.py": text, "notes.txt": text}, tag=True)
    (found.path / "src" / "alphafold3" / "model.py").write_text("ONE\ntwo\n")
    return found


@pytest.fixture
def edits(repository):
    """Hunks and folders of two sides, or None."""

    def run(old, new):
        both = [
            sides.read(text.replace("REPO", str(repository)), name, Settings(), {}) for name, text in (("OLD", old), ("NEW", new))
        ]
        found = sides.edits(*both)
        return found and ([str(hunk) for hunk in hunks.read(found.diff)], found.old_folder, found.new_folder)

    return run


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("REPO@v1", "REPO@v2", ["src/alphafold3/model.py:1-2"]),
        ("REPO@v2", "REPO", ["src/alphafold3/model.py:1-2"]),
        ("REPO", "REPO@v2", ["src/alphafold3/model.py:1-2"]),
        ("REPO/src@v1", "REPO", ["src/alphafold3/model.py:1-2"]),
        ("REPO@v2", "REPO@main", []),
    ],
)
def test_sides_of_one_repository(edits, old, new, expected):
    assert edits(f"'{old}'", f"'{new}'") == (expected, "src/", "src/")


def test_the_old_lines_are_those_of_the_old_side(repository):
    old, new = (sides.read(f"'{repository}{at}'", "NEW", Settings(), {}) for at in ("", "@v1"))
    (hunk,) = hunks.read(sides.edits(old, new).diff)
    assert (hunk.old.count, hunk.new.count) == (2, 1)  # the tree as it is has two lines, v1 one


def test_untracked_files_are_added_ones(edits, repository):
    (repository.path / "src" / "alphafold3" / "my fresh.py").write_text("1\n2\n3\n")
    (repository.path / "src" / "alphafold3" / "made.py").write_text("1\n")
    (repository.path / ".gitignore").write_text("made.py\n")
    assert edits("'REPO@v2'", "'REPO'")[0] == ["src/alphafold3/model.py:1-2", "src/alphafold3/my fresh.py:1-3"]
    assert edits("'REPO'", "'REPO@v2'")[0][1] == "src/alphafold3/my fresh.py:1-3 (removed)"


def test_the_users_own_ways_of_git_change_nothing(edits, repository):
    expected = edits("'REPO@v1'", "'REPO@v2'")
    for name, value in {
        "diff.noprefix": "true",
        "diff.relative": "true",
        "diff.context": "0",
        "diff.mnemonicPrefix": "true",
        "color.ui": "always",
        "diff.external": "false",
    }.items():
        repository.git("config", name, value)
    assert edits("'REPO@v1'", "'REPO@v2'") == expected


@pytest.mark.parametrize(("old", "new"), [("REPO", "REPO"), ("installed", "REPO@v1"), ("num_samples=1", "num_samples=2")])
def test_other_sides_have_no_diff(edits, old, new):
    assert edits(f"'{old}'", f"'{new}'") is None


def test_two_repositories_have_no_diff(edits, tmp_path):
    other = tmp_path / "other"
    Repository(other).commit("other", {"model.py": "x\n"})
    assert edits("'REPO@v1'", f"'{other}'") is None
    assert edits("'REPO@v1'", f"'{other}@main'") is None
    assert edits("'REPO@v1'", f"'{tmp_path}'") is None
