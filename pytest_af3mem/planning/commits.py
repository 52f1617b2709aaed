"""The commits of a git repository between two of them, as a history to bisect."""

from __future__ import annotations

import shlex
from pathlib import Path

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.planning.ask import Show
from pytest_af3mem.planning.bisect import Revision
from pytest_af3mem.planning.revisions import commit, git
from pytest_af3mem.planning.sides import at_revision
from pytest_af3mem.session.settings import Settings

_FORMAT = "%x00".join(("%H", "%P", "%an <%ae>", "%ad", "%s"))
_NAME = 12  # letters of a hash


class Commits:
    """What is in BAD and not in GOOD: all of it as for `git bisect`, so that a commit of a merged branch is found and not its
    merge alone; or, by `first_parent`, the line of BAD's first parents.

    A branch that left before GOOD lacks what GOOD has, so its commits are held against the one at which it left.
    Raises UsageError for unknown commits, and where GOOD is no ancestor of BAD; SetupError where git fails.
    """

    kind = "commit"

    def __init__(self, checkout: Path, good: str, bad: str, settings: Settings, *, first_parent: bool = False):
        self._checkout, self._settings = checkout, settings
        self.good, self.bad = (commit(checkout, one)[0] for one in (good, bad))
        self._check_order(good, bad)
        how = ["--topo-order", "--reverse", *(["--first-parent"] if first_parent else [])]
        self.revisions = {one.id: one for one in self._log(*how, self.bad, f"^{self.good}")}

    def find(self, id: str) -> Revision:
        return self.revisions.get(id) or self._log("--max-count=1", id)[0]

    def reference(self, id: str) -> str:
        return self._merge_base(self.good, id) or self.good

    def settings(self, id: str, show: Show) -> Settings:
        return at_revision(self._checkout, id, self._settings, self.kind)

    def side(self, id: str) -> str:
        return f"{self._checkout}@{id[:_NAME]}"

    def command(self, id: str) -> str:
        return shlex.join(["git", "-C", str(self._checkout), "show", id[:_NAME]])

    def _check_order(self, good: str, bad: str) -> None:
        base = self._merge_base(self.good, self.bad)
        if self.good == self.bad:
            raise UsageError(f"GOOD {good!r} and BAD {bad!r} are one commit, {self.good[:_NAME]}: give two")
        if base == self.good:
            return
        what = f"GOOD {good!r} is not an ancestor of BAD {bad!r}"
        if base == self.bad:
            raise UsageError(f"{what} but comes after it: change their places, or give a GOOD that is older")
        if self._said("rev-parse", "--is-shallow-repository") == "true":
            raise UsageError(f"{what} in this shallow clone: git fetch --unshallow gets the history")
        if not base:
            raise UsageError(f"{what}, and they have no commit in common: give an older commit of BAD's history as GOOD")
        raise UsageError(f"{what}: give {base[:_NAME]} as GOOD, the last commit that both have")

    def _merge_base(self, one: str, other: str) -> str:
        """The last commit that both have; empty where there is none."""
        said = git(self._checkout, "merge-base", one, other)
        if said.status not in (0, 1):
            raise SetupError(f"{str(self._checkout)!r} cannot be read by git: {said.words}")
        return said.output.strip()

    def _log(self, *which: str) -> list[Revision]:
        output = self._said("log", "--no-show-signature", "--no-color", "--date=short", f"--format={_FORMAT}", *which, "--")
        found = [line.split("\0") for line in output.split("\n") if line]
        return [Revision(id, id[:_NAME], tuple(parents.split()), *others) for id, parents, *others in found]

    def _said(self, *arguments: str) -> str:
        said = git(self._checkout, *arguments)
        if said.status:
            raise SetupError(f"{str(self._checkout)!r} cannot be read by git: {said.words}")
        return said.output.strip("\n")
