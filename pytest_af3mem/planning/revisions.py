"""A git revision of a model's sources as a folder, without touching the checkout: the only module that runs git."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_af3mem.cache import locked, prepared
from pytest_af3mem.errors import SetupError, UsageError, near


def tree(checkout: Path, revision: str, cache_dir: Path) -> Path:
    """The files of `checkout`, a repository or a folder in one, as they are in `revision`: a commit, tag or branch.

    They lie in `cache_dir` under the commit's digest and are taken out of the repository once. What git does not hold, such as
    compiled modules, is not there. Raises UsageError for what is no repository and for an unknown revision.
    """
    inside = _git(checkout, "rev-parse", "--show-prefix")
    if inside is None:
        raise UsageError(f"{str(checkout)!r} is in no git repository: a revision is given as FOLDER@REVISION")
    commit = _git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not commit:
        known = (_git(checkout, "for-each-ref", "--format=%(refname:short)") or "").split()
        raise UsageError(f"{str(checkout)!r} has no revision {revision!r}{near(revision, known)}")
    folder = prepared(cache_dir) / "trees"
    folder.mkdir(exist_ok=True)
    whole = folder / "-".join([commit, *Path(inside).parts])
    with locked(folder / f"{whole.name}.lock"):
        if not whole.exists():
            _extract(checkout, commit, whole)
    return whole


def _extract(checkout: Path, commit: str, destination: Path) -> None:
    """What `git archive` gives of a folder are its own files, without the folders above it."""
    command = ["git", "-C", str(checkout), "archive", "--format=tar", commit]
    with (
        tempfile.TemporaryDirectory(dir=destination.parent) as unfinished,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()) as git,
    ):
        assert git.stdout is not None
        assert git.stderr is not None
        inner = Path(unfinished, "tree")
        try:
            with tarfile.open(fileobj=git.stdout, mode="r|") as archive:
                archive.extractall(inner, filter="tar")
        except tarfile.TarError as error:
            words: Sequence[str] = git.stderr.read().decode(errors="replace").split("\n")
            raise UsageError(f"{str(checkout)!r} cannot give revision {commit[:12]}: {words[0] or error}") from error
        inner.replace(destination)


def _git(checkout: Path, *arguments: str) -> str | None:
    """What git prints, or None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False, env=_environment()
        )
    except OSError as error:
        raise SetupError(f"git cannot be started ({error.strerror}): a revision of a source tree needs it") from error
    return done.stdout.strip() if done.returncode == 0 else None


def _environment() -> dict[str, str]:
    """Without what git sets for its hooks, where it would answer for the repository of the hook."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
