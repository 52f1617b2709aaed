"""What `FOLDER@REVISION` measures is what git holds of that folder at that revision, or nothing is measured."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from git_repository import Repository

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.planning import revisions, sides
from pytest_af3mem.session.settings import Settings


class Tagged(Repository):
    def commit(self, tag, **files):
        super().commit(tag, {name.replace("__", "/").replace("_py", ".py"): text for name, text in files.items()}, tag=True)


@pytest.fixture
def repository(tmp_path):
    found = Tagged(tmp_path / "repository")
    found.commit("v1", model_py="old")
    found.commit("v2", model_py="new")
    return found


def files(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_each_revision_has_its_files(repository):
    assert files(revisions.tree(repository.path, "v1")) == {"model.py": "old"}
    assert files(revisions.tree(repository.path, "main")) == {"model.py": "new"}
    assert revisions.tree(repository.path, "v2") == revisions.tree(repository.path, "main")  # taken out once


def test_two_folders_of_one_commit_are_two_trees(repository):
    repository.commit("v3", a__b__model_py="small", **{"a-b__model_py": "large"})
    assert files(revisions.tree(repository.path / "a" / "b", "v3")) == {"model.py": "small"}
    assert files(revisions.tree(repository.path / "a-b", "v3")) == {"model.py": "large"}


def test_trees_are_the_own_of_this_process(repository):
    tree = revisions.tree(repository.path, "v1")
    assert tree.parent.stat().st_mode & 0o077 == 0
    code = "import pathlib; from pytest_af3mem.planning import revisions; print(revisions.tree(pathlib.Path('.'), 'v1'))"
    environment = {**os.environ, "PYTHONPATH": str(Path(revisions.__file__).parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True, check=True, env=environment)
    other = Path(done.stdout.strip())
    assert other != tree
    assert not other.exists()


def test_half_an_archive_is_no_tree(repository):
    repository.commit("v3", a_py="a" * 30_000, wide_py="wide")
    blob = repository.git("rev-parse", "v3:wide.py")
    stored = repository.path / ".git" / "objects" / blob[:2] / blob[2:]
    kept = stored.read_bytes()
    stored.unlink()
    with pytest.raises(SetupError, match=r"cannot give revision \w{12}: (fatal|error): .*" + blob):
        revisions.tree(repository.path, "v3")
    stored.write_bytes(kept)
    assert files(revisions.tree(repository.path, "v3"))["wide.py"] == "wide"


def test_a_filter_that_warns_a_lot_is_heard_out(repository):
    repository.git("config", "filter.loud.smudge", "yes warning | head -c 200000 >&2; cat")
    repository.commit("v3", **{".gitattributes": "*.py filter=loud"})
    assert files(revisions.tree(repository.path, "v3"))["model.py"] == "new"


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Puts a program in the place of git."""

    def put(script):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return put


def test_git_that_does_not_end_is_ended(git, monkeypatch, tmp_path):
    git("sleep 60 & sleep 60")
    monkeypatch.setattr(revisions, "_ANSWER_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(SetupError, match=r"git took longer than 0.2 s for '.*' and was ended"):
        revisions.tree(tmp_path, "main")
    assert time.monotonic() - start < 30


def test_git_says_why_itself(git, tmp_path):
    git("echo warning: first >&2; echo \"fatal: detected dubious ownership in repository at '/x'\" >&2; exit 128")
    with pytest.raises(SetupError, match=r"cannot be read by git: fatal: detected dubious ownership in repository at '/x'$"):
        revisions.tree(tmp_path, "main")


def test_a_full_disk(repository, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    repository.commit("v3", model_py=str(repository.path))  # no other test has taken out the same commit
    monkeypatch.setattr(revisions.tarfile.TarFile, "extractall", full)
    with pytest.raises(SetupError, match=r"cannot be taken out into .* \(No space left on device\): \$TMPDIR says where"):
        revisions.tree(repository.path, "v3")


@pytest.fixture
def with_submodule(tmp_path, repository):
    """A repository in which `python` and `src/model` are submodules."""
    whole = Tagged(tmp_path / "whole")
    for name in ("python", "src/model"):
        whole.git("submodule", "add", "-q", str(repository.path), name)
    whole.commit("v1", src__other_py="other")
    return whole


@pytest.mark.parametrize(("folder", "named"), [("", "python"), ("src", "src/model")])
def test_a_package_that_is_a_submodule_is_named(with_submodule, folder, named):
    with pytest.raises(UsageError) as caught:
        revisions.tree(with_submodule.path / folder, "v1")
    where = with_submodule.path / named
    assert f"cannot give revision 'v1': '{where}' is a submodule there" in str(caught.value)


def test_a_submodule_has_revisions_of_its_own_once_it_is_checked_out(with_submodule):
    assert files(revisions.tree(with_submodule.path / "python", "v1")) == {"model.py": "old"}
    with_submodule.git("submodule", "deinit", "-q", "-f", "python")
    with pytest.raises(UsageError, match="is a submodule there: give its own repository"):
        revisions.tree(with_submodule.path / "python", "main")


def test_submodules_that_python_does_not_import_are_left_out(tmp_path, repository):
    whole = Tagged(tmp_path / "whole")
    whole.git("submodule", "add", "-q", str(repository.path), "tests/data")
    whole.commit("v1", src__model_py="model")
    assert "src/model.py" in files(revisions.tree(whole.path, "v1"))


@pytest.mark.parametrize("revision", ["v1", "HEAD@{0}", "main@{0}"])
def test_folders_and_revisions_with_an_at_sign(tmp_path, revision):
    home = Tagged(tmp_path / "me@corp" / "af3")
    home.commit("v1", model_py="mine")
    side = sides.read(f"{home.path}@{revision}", "OLD", Settings(), {})
    assert files(side.settings.path) == {"model.py": "mine"}
