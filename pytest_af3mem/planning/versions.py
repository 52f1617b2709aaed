"""Versions of a package as a history to bisect, each measured in an environment of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pytest_af3mem.errors import UsageError
from pytest_af3mem.planning import environments
from pytest_af3mem.planning.ask import Show
from pytest_af3mem.planning.bisect import Revision
from pytest_af3mem.session.settings import Settings

_FORM = re.compile(r"([A-Za-z0-9][\w.-]*)==(.+)")
_WAY_OUT = "give PACKAGE==GOOD..BAD or PACKAGE==GOOD,...,BAD, as jax==0.10.0..0.10.2; or for commits REPO GOOD BAD"


class Versions:
    """`jax==0.10.0..0.10.2`, of which pip lists what lies between, or `jax==0.9.1,0.10.0,0.10.2`, in this order.

    Each is held against the first. Raises UsageError, and SetupError where pip cannot list them.
    """

    kind = "version"

    def __init__(self, stated: str, settings: Settings, show: Show):
        self._settings = settings
        parts = _FORM.fullmatch(stated)
        if parts is None:
            raise UsageError(f"{stated!r} says neither commits nor versions: {_WAY_OUT}")
        self._package = parts[1]
        self.good, *others = _versions(self._package, parts[2], settings.python, show)
        if not others:
            raise UsageError(f"{stated!r} is one version, {self.good}: {_WAY_OUT}")
        self.bad = others[-1]
        before = (self.good, *others[:-1])
        self.revisions = {id: Revision(id, id, (parent,)) for id, parent in zip(others, before, strict=True)}

    def find(self, id: str) -> Revision:
        return self.revisions.get(id) or Revision(id, id, ())

    def reference(self, id: str) -> str:
        return self.good

    def settings(self, id: str, show: Show) -> Settings:
        wanted = environments.moved_along(self._settings.python, {self._package: f"=={id}"})
        return replace(self._settings, python=environments.python_with(self._settings, wanted, show))

    def side(self, id: str) -> str:
        return self.settings(id, lambda text: None).python

    def command(self, id: str) -> str:
        return ""


def _versions(package: str, stated: str, python: str, show: Show) -> Sequence[str]:
    """The versions that are asked for, the first good and the last bad. Raises UsageError, and SetupError of pip."""
    from packaging.version import InvalidVersion, Version

    parts = [part.strip() for part in (stated.split(",") if "," in stated else stated.split(".."))]
    try:
        known = {part: Version(part) for part in parts}
    except InvalidVersion as error:
        raise UsageError(f"{package}=={stated}: {error}: {_WAY_OUT}") from error
    if ".." not in stated or len(known) != 2:
        return list(known)
    first, last = known.values()
    if first > last:
        raise UsageError(
            f"{package}=={stated} goes back: to look that way, give all versions as {package}=={parts[0]},...,{parts[1]}"
        )
    show(f"looking for versions of {package}")
    between = {Version(one) for one in environments.versions(package, python)}
    return [str(one) for one in sorted({first, last, *(one for one in between if first < one < last)})]
