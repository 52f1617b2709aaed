"""A git revision of a model's sources as a folder, without touching the checkout, and what differs between two.

Other plans run git by `git` of this module.

Each process takes the files out anew, into a temporary folder of its own: in a place that lasts, half a tree or an edited one
would be taken for the revision.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

from pytest_af3mem.errors import SetupError, UsageError, near, shown
from pytest_af3mem.storage.scratch import TREE, Scratch

_ANSWER_SECONDS = 60
_ARCHIVE_SECONDS = 900  # of a clone that fetches its files when they are needed
_SUBMODULE = "160000"  # the mode of its entry
# Whatever a user's config says.
_DIFF = (
    *("-c", "core.quotePath=false", "-c", "diff.relative=false", "diff", "-M", "-U3", "--inter-hunk-context=0"),
    *("--no-color", "--no-ext-diff", "--no-textconv"),
)
_PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/")
_PYTHON = ":(top)*.py"
_MOST_UNTRACKED = 200
_trees: dict[tuple[str, str], Scratch] = {}


def tree(checkout: Path, revision: str) -> Path:
    """The files of `checkout`, a repository or a folder in one, as they are in `revision`: a commit, tag or branch.

    What git does not hold, such as compiled modules, is not there. Raises UsageError for what is no repository, for an unknown
    revision, and where Python would look for packages in a submodule, of which git holds nothing; SetupError where git fails.
    """
    key = commit(checkout, revision)
    if key not in _trees:
        _check_submodules(checkout, revision, key[0])
        _trees[key] = _extracted(checkout, key[0])
    return _trees[key].path / TREE


def commit(checkout: Path, revision: str) -> tuple[str, str]:
    """The hash of a commit, tag or branch, and the place of `checkout` in its repository, as git has it. Raises as `tree`."""
    inside = git(checkout, "rev-parse", "--show-prefix")
    if inside.status:
        if "not a git repository" in inside.words:
            raise UsageError(f"{str(checkout)!r} is in no git repository: a revision is given as FOLDER@REVISION")
        raise SetupError(f"{str(checkout)!r} cannot be read by git: {inside.words}")
    found = git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.status:
        known = git(checkout, "for-each-ref", "--format=%(refname:short)").output.split()
        raise UsageError(f"{str(checkout)!r} has no revision {revision!r}{near(revision, known)}")
    return found.output.strip(), inside.output.removesuffix("\n")


def diff(checkout: Path, old: str | None, new: str | None) -> str | None:
    """What differs in Python's files between two commits, one of which may be None: the files in `checkout` as they are.

    With untracked files, but for ignored ones. None where git cannot tell, as of a commit of another repository.
    """
    commits = (old, new) if old and new else ("-R", new) if new else (old,)
    prefixes = _PREFIXES if old else ("--src-prefix=b/", "--dst-prefix=a/")  # which -R swaps
    said = git(checkout, *_DIFF, *prefixes, *filter(None, commits), "--", _PYTHON)
    if said.status:
        return None
    if old and new:
        return said.output
    top = Path(git(checkout, "rev-parse", "--show-toplevel").output.removesuffix("\n"))
    others = git(checkout, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", _PYTHON).output
    pairs = [("/dev/null", path)[:: 1 if old else -1] for path in sorted(filter(None, others.split("\0")))[:_MOST_UNTRACKED]]
    return said.output + "".join(git(top, *_DIFF, "--no-index", *_PREFIXES, "--", *pair).output for pair in pairs)


def _check_submodules(checkout: Path, revision: str, commit: str) -> None:
    """Of a submodule a revision has an empty folder, and Python would go on to the package that is installed."""
    for entry in git(checkout, "ls-tree", "-r", "-z", commit).output.split("\0"):
        described, _, path = entry.partition("\t")
        is_package = path == "./" or path.removeprefix("src/").isidentifier()
        if described.startswith(_SUBMODULE) and is_package:
            rule = "is a submodule there: give its own repository and revision, once it is checked out"
            raise UsageError(f"{str(checkout)!r} cannot give revision {revision!r}: {str(checkout / path)!r} {rule}")


def _extracted(checkout: Path, commit: str) -> Scratch:
    """What `git archive` gives of a folder are its own files, without the folders above it."""
    try:
        folder = Scratch()
        with contextlib.ExitStack() as undo:
            undo.callback(folder.close)
            with tempfile.TemporaryFile() as packed:
                done = git(checkout, "archive", "--format=tar", commit, into=packed)
                if done.status:
                    raise SetupError(f"{str(checkout)!r} cannot give revision {commit[:12]}: {done.words}")
                packed.seek(0)
                with tarfile.open(fileobj=packed) as archive:
                    archive.extractall(folder.path / TREE, filter="tar")
            (folder.path / TREE).mkdir(exist_ok=True)  # of a folder without files
            undo.pop_all()
    except (OSError, tarfile.TarError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        rule = "$TMPDIR says where another place for it is"
        raise SetupError(
            f"revision {commit[:12]} of {str(checkout)!r} cannot be taken out into {tempfile.gettempdir()} ({reason}): {rule}"
        ) from error
    return folder


class Said(NamedTuple):
    """Exit status and output of git, and of what it said of a failure the line that counts."""

    status: int
    output: str
    words: str


def git(checkout: Path, *arguments: str, into: IO[bytes] | None = None) -> Said:
    """Runs git, which writes into files: a pipe that is not read would stop it. Raises SetupError where it does not end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                ["git", "-C", str(checkout), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=into or output,
                stderr=errors,
                env=_environment(),
                start_new_session=True,  # so that its helpers end with it, and nothing asks for a password
            )
        except OSError as error:
            raise SetupError(f"git cannot be started ({error.strerror}): a revision of a source tree needs it") from error
        seconds = _ARCHIVE_SECONDS if into else _ANSWER_SECONDS
        try:
            status = process.wait(seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SetupError(f"git took longer than {seconds} s for {str(checkout)!r} and was ended") from error
            raise
        output.seek(0)
        errors.seek(0)
        lines = errors.read(2**16).decode(errors="replace").splitlines() or [f"git ended with exit status {status}"]
        words = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0])
        return Said(status, output.read().decode(errors="surrogateescape"), shown(words))


def _environment() -> dict[str, str]:
    """Without what git sets for its hooks, where it would answer for the repository of the hook; and in English."""
    stated = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**stated, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
