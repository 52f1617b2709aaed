"""The file of the baseline: how it names tests, read, and replaced by a changed one."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem.errors import InputError, SetupError, UsageError
from pytest_af3mem.records.baseline import Baseline, Entry
from pytest_af3mem.storage.files import written_atomically


@dataclass(frozen=True)
class Names:
    """Tests are named as pytest does, but from the baseline's `folder` where that is above pytest's `root`.

    So packages with an ini file of their own may share a baseline. Both paths are resolved. If tests are `grouped`, by
    `--dist loadgroup`, pytest-xdist adds to their names.
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


def read(path: Path) -> Baseline:
    """The baseline in a file; an empty one where there is no file yet. Raises UsageError."""
    try:
        return Baseline.parse(path.read_bytes().decode())
    except FileNotFoundError:
        return Baseline()
    except OSError as error:
        raise UsageError(f"baseline {str(path)!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"baseline {str(path)!r} is not text in UTF-8") from error
    except InputError as error:
        raise UsageError(f"baseline {str(path)!r}: {error}") from error


def change(path: Path, update: Callable[[Baseline], Baseline]) -> tuple[Baseline, Baseline]:
    """Changes the file as it is now, and only if something differs; returns it before and after. Raises Af3memError.

    Runs that change the same file at once do it in turn.
    """
    path = path.resolve()
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # where no lock can be made, each works for itself
                fcntl.flock(folder, fcntl.LOCK_EX)  # on the folder, for the file is replaced, and nothing is to be left behind
            before = read(path)
            after = update(before)
            if after.render() != before.render():
                write(path, after)
            return before, after
        finally:
            os.close(folder)
    except OSError as error:
        raise SetupError(f"baseline {str(path)!r} cannot be written: {error.strerror}") from error


def write(path: Path, found: Baseline) -> None:
    """Writes a baseline, whole or not at all. Raises Af3memError."""
    text = found.render()
    _check_written(text, found, path)
    path = path.resolve()  # the file that a link names, and not the link, is replaced
    try:
        if path.exists() and not path.is_file():  # such as /dev/stdout
            path.write_text(text)
            return
        with written_atomically(path, of_the_user=True) as unfinished:
            unfinished.write_text(text)
    except OSError as error:
        raise SetupError(f"baseline {str(path)!r} cannot be written: {error.strerror}") from error


def withdraw(path: Path) -> None:
    """Removes a baseline that was written to be accepted. Raises SetupError."""
    try:
        if path.is_file():
            path.unlink()
    except OSError as error:
        raise SetupError(f"baseline {str(path)!r} cannot be removed: {error.strerror}") from error


def _check_written(text: str, after: Baseline, path: Path) -> None:
    """Raises UsageError for what the next run could not read: what is accepted then stays."""
    try:
        found = Baseline.parse(text)
    except InputError as error:
        raise UsageError(f"baseline {str(path)!r} is left as it is, for what would be written cannot be read: {error}") from error
    if found.render() != text or found.by_key.keys() != after.by_key.keys():
        raise UsageError(f"baseline {str(path)!r} is left as it is, for what would be written would be read otherwise")
