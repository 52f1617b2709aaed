"""How a baseline names tests. Pure but for links, which are followed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem.records.baseline import Entry


@dataclass(frozen=True)
class Names:
    """Tests are named as pytest does, but from the baseline's `folder` where that is above pytest's `root`.

    So packages with an ini file of their own may share a baseline. If tests are `grouped`, pytest-xdist adds to their names
    with `--dist loadgroup`. Both paths are resolved.
    """

    root: Path
    folder: Path
    grouped: bool = False

    @property
    def prefix(self) -> str:
        """The way from the baseline down to pytest's rootdir."""
        if self.root == self.folder or not self.root.is_relative_to(self.folder):
            return ""
        return f"{self.root.relative_to(self.folder).as_posix()}/"

    def plain(self, nodeid: str) -> str:
        """A test's name without what pytest-xdist adds."""
        if self.grouped and nodeid.rfind("@") > max(nodeid.rfind("]"), nodeid.find("::")):
            return nodeid.rpartition("@")[0]
        return nodeid

    def name(self, nodeid: str) -> str:
        """A test as the baseline names it."""
        file, colons, name = self.plain(nodeid).partition("::")
        return f"{os.path.normpath(self.prefix + file) if self.prefix else file}{colons}{name}"

    def earlier(self, entry: Entry) -> Entry:
        """The same by the name that earlier versions gave where tests are now named from the baseline's folder."""
        return dataclasses.replace(entry, test=entry.test.removeprefix(self.prefix))

    def renamed(self, entries: Iterable[Entry]) -> list[Entry]:
        """Entries by the names that earlier versions gave, but for those that are another test's."""
        found = [self.earlier(entry) for entry in entries if self.prefix]
        return [entry for entry in found if not self.file(entry.test).exists()]

    def file(self, test: str) -> Path:
        """The file of a test that the baseline names."""
        return Path(os.path.realpath((self.folder if self.prefix else self.root) / test.partition("::")[0]))
