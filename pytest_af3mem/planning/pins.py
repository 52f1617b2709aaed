"""What the sources of a side ask for that its interpreter does not have: the numbers of a release belong to its pins, too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_af3mem.errors import UsageError
from pytest_af3mem.planning import environments
from pytest_af3mem.planning.ask import Show
from pytest_af3mem.planning.compare import Side

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def noted(side: Side, *, strict: bool = False) -> Side:
    """The side with what it asks for and does not have, those of another version first. Raises SetupError.

    If `strict`, raises UsageError for a file that cannot be read, which otherwise asks for nothing.
    """
    files = [file for file in _files(side.settings.path) if file.is_file()] if side.settings.path else []
    if not files:
        return side
    base = environments.described(side.settings.python)
    unmet: dict[str, tuple[str, str | None]] = {}
    for name, requirement in _requirements(files, base.version, strict=strict).items():
        has = base.installed.get(name)
        if has is None or not requirement.specifier.contains(has, prereleases=True):
            unmet[name] = (str(requirement.specifier), has)
    return replace(side, unmet=dict(sorted(unmet.items(), key=lambda item: (item[1][1] is None, item[0]))))


def with_own(side: Side, show: Show) -> Side:
    """A side that was `noted`, to be measured with what it asks for. Raises SetupError where that cannot be installed."""
    if not side.unmet:
        return side
    wanted = environments.moved_along(side.settings.python, {name: specifier for name, (specifier, _) in side.unmet.items()})
    python = environments.python_with(side.settings, wanted, side.shown(show))
    own = replace(side.settings, python=python)
    return replace(side, settings=own, has_own=True, brought=environments.brought(python))


def _files(tree: Path) -> list[Path]:
    """Where requirements may stand: in the folder, or above its `src`. What a later one says counts."""
    folders = [tree.parent, tree] if tree.name == "src" else [tree]
    return [folder / name for folder in folders for name in ("requirements.txt", "pyproject.toml")]


def _requirements(files: Iterable[Path], python: str, *, strict: bool) -> dict[str, Requirement]:
    """What the files ask for with a Python of this version, by normal name; to compile takes no packages of NVIDIA."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    version = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    found: dict[str, Requirement] = {}
    for file in files:
        try:
            lines = list(_lines(file))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            if strict:
                raise UsageError(f"{str(file)!r} cannot be read: {error}") from error
            continue
        for line in lines:
            try:
                one = Requirement(line)
            except InvalidRequirement:  # such as the path of a file, of which pip alone knows
                continue
            name = canonicalize_name(one.name)
            if not name.startswith("nvidia-") and (one.marker is None or one.marker.evaluate(version)):
                found[name] = one
    return found


def _lines(file: Path) -> Iterator[str]:
    """Requirements as text; of lines for pip alone, as `--hash=...` and `-r other.txt`, nothing."""
    text = file.read_text()
    if file.suffix == ".toml":
        listed = tomllib.loads(text).get("project", {}).get("dependencies", [])
        yield from (one for one in listed if isinstance(one, str))
        return
    for line in re.sub(r"\\\n", " ", text).splitlines():
        stated = re.split(r"(?:^|\s)(?:#|--?\w)", line, maxsplit=1)[0].strip()
        if stated:
            yield stated
