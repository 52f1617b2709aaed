"""What can stand for OLD and NEW: an interpreter, a source tree, a git revision, a model, settings of it, or several of these."""

from __future__ import annotations

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
from pytest_af3mem.session.reproduce import setting
from pytest_af3mem.session.settings import OPTIONS, Settings

FORMS = "a Python, a folder with the model's sources, FOLDER@REVISION, a model, NAME=VALUE, 'installed', or several in quotes"
_READ = {option.name: option.read for option in OPTIONS}
_PYTHON = re.compile(r"python[\d.]*")
_SETTING = re.compile(r"[A-Za-z_][\w.]*=.*", re.DOTALL)


def read(text: str, name: str, settings: Settings, model_settings: Mapping[str, Any]) -> Side:
    """A side that differs from `settings` and `model_settings` as `text` says, in `FORMS`; errors call it `name`.

    `installed` is without a source tree, and `@main` a revision of the current folder. Raises UsageError.
    """
    try:
        words = [text] if os.path.exists(text) else shlex.split(text)  # noqa: PTH110 (which raises for text that is no path)
    except ValueError as error:
        raise UsageError(f"{name} {text!r}: {error}") from error
    if not words:
        raise UsageError(f"{name} {text!r} must be {FORMS}")
    for word in words:
        settings, model_settings = _changed(word, name, settings, model_settings)
    return Side(name, text, settings, model_settings)


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
