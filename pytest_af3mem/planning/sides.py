"""What can stand for OLD and NEW: an interpreter, a source tree, a git revision, a model, settings of it, or several of these.

And a program that is compiled already, alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import UsageError
from pytest_af3mem.planning import revisions
from pytest_af3mem.planning.compare import Side
from pytest_af3mem.planning.hunks import Edits
from pytest_af3mem.session.reproduce import setting
from pytest_af3mem.session.settings import OPTIONS, Settings

FORMS = (
    "a Python, a folder with the model's sources, FOLDER@REVISION, a model, NAME=VALUE, 'installed', or several in quotes; "
    "or a compiled program, as af3mem read takes it"
)
_READ = {option.name: option.read for option in OPTIONS}
_PYTHON = re.compile(r"python[\d.]*")
_PROGRAM = re.compile(r"after_optimizations(\.hlo\.pb|.*\.txt)$|(^|/)jit_[^/]*-cache$|\.pb$")
_SETTING = re.compile(r"[A-Za-z_][\w.]*=.*", re.DOTALL)


def read(text: str, name: str, settings: Settings, model_settings: Mapping[str, Any]) -> Side:
    """A side that differs from `settings` and `model_settings` as `text` says, in `FORMS`; errors call it `name`.

    `installed` is without a source tree, and `@main` a revision of the current folder. Raises UsageError.
    """
    words = _words(text, name)
    if any(map(_is_program, words)):
        if len(words) > 1:
            raise UsageError(f"{name} {text!r} holds a compiled program, which stands alone: nothing of it can be set")
        return Side(name, text, settings, model_settings, program=Path(words[0]))
    for word in words:
        settings, model_settings = _changed(word, name, settings, model_settings)
    return Side(name, text, settings, model_settings)


def edits(old: Side, new: Side) -> Edits | None:
    """What differs between two source trees of one repository, at least one of them a revision; None for all others."""
    places = [_place(old, "OLD"), _place(new, "NEW")]
    if None in places:
        return None
    (at, before, old_folder), (to, after, new_folder) = filter(None, places)
    if not (before or after):
        return None
    found = revisions.diff(at if after and not before else to, before, after)
    return None if found is None else Edits(found, old_folder, new_folder)


def _place(side: Side, name: str) -> tuple[Path, str | None, str] | None:
    """A side's checkout, its commit (None: the files as they are), and the folder of its sources in the repository."""
    if side.settings.path is None or side.program:
        return None
    found: tuple[Path, str] | None = None
    for word in _words(side.text, name):
        if os.path.isdir(word):  # noqa: PTH112
            found = None
        elif not os.path.isfile(word):  # noqa: PTH113
            found = _revision(word) or found
    if found is None:
        said = revisions.git(side.settings.path, "rev-parse", "--show-prefix")
        return None if said.status else (side.settings.path, None, said.output.removesuffix("\n"))
    commit, folder = revisions.commit(*found)
    inside = os.path.relpath(side.settings.path, revisions.tree(*found))
    return found[0], commit, folder if inside == "." else f"{folder}{inside}/"


def _words(text: str, name: str) -> list[str]:
    """The parts that a side is made of. Raises UsageError where there are none."""
    try:
        words = [text] if os.path.exists(text) else shlex.split(text)  # noqa: PTH110 (which raises for text that is no path)
    except ValueError as error:
        raise UsageError(f"{name} {text!r}: {error}") from error
    if not words:
        raise UsageError(f"{name} {text!r} must be {FORMS}")
    return words


def _changed(word: str, name: str, settings: Settings, model_settings: Mapping[str, Any]) -> tuple[Settings, Mapping[str, Any]]:
    if word == "installed":
        return replace(settings, path=None), model_settings
    if os.path.isdir(word):  # noqa: PTH112
        return replace(settings, path=_READ["path"](word, name)), model_settings
    if _PYTHON.fullmatch(word) or os.path.isfile(word):  # noqa: PTH113
        return replace(settings, python=_READ["python"](word, name)), model_settings
    if (parts := _revision(word)) is not None:
        return at_revision(*parts, settings, name), model_settings
    if _SETTING.fullmatch(word):
        return settings, {**model_settings, **dict([setting(word)])}
    if os.sep in word:
        raise UsageError(f"{name} {word!r} is no file or folder: it must be {FORMS}")
    return replace(settings, model=word), model_settings


def _is_program(word: str) -> bool:
    """Whether `af3mem read` takes it: a file that is no interpreter, or a folder that XLA or JAX kept programs in."""
    if os.path.isdir(word):  # noqa: PTH112
        with contextlib.suppress(OSError):
            return any(map(_PROGRAM.search, os.listdir(word)))  # noqa: PTH208
    if not os.path.isfile(word):  # noqa: PTH113
        return False
    return bool(_PROGRAM.search(word)) or not (os.access(word, os.X_OK) or _is_text(Path(word)))


def _is_text(path: Path) -> bool:
    """Whether it begins as text, as a script does, or cannot be read."""
    try:
        with path.open("rb") as file:
            file.read(1024).decode()
    except UnicodeDecodeError:
        return False
    except OSError:
        return True
    return True


def at_revision(folder: Path, revision: str, settings: Settings, name: str) -> Settings:
    """The settings with the sources of a git revision. Raises as `revisions.tree` does."""
    return replace(settings, path=_READ["path"](str(revisions.tree(folder, revision)), name))


def _revision(word: str) -> tuple[Path, str] | None:
    """The folder and the revision of `FOLDER@REVISION`, both of which may hold an `@`: the longest folder that there is."""
    for at in reversed([at for at, letter in enumerate(word) if letter == "@"]):
        folder, revision = word[:at] or ".", word[at + 1 :]
        if revision and os.path.isdir(folder):  # noqa: PTH112
            return Path(folder), revision
    return None
