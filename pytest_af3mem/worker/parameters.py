"""Shapes of a network's parameters, which take long to find: from memory, from the cache, or from the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_af3mem.storage.cache import Cache, digest
from pytest_af3mem.worker.xla import tracing

Keep = Callable[[str, Mapping[str, Any], Any], None]
"""Stores a value of a kind under its identity, if it is of the sources that the identity says."""


class Parameters:
    """The shapes by identity (`records.identity.parameters_identity`), and the last that were found of a model.

    `keep` stores what was found; `progress` is called before shapes are read off the model.
    """

    def __init__(self, cache: Cache, model: str, keep: Keep, progress: Callable[[str], None]):
        self._cache = cache
        self._model = model
        self._keep = keep
        self._progress = progress
        self._known: dict[str, Any] = {}

    def known(self, identity: Mapping[str, Any]) -> Any | None:
        """What was found before of the same sources and settings; None where nothing was."""
        key = digest(identity)
        if key not in self._known:
            self._known[key] = self._cache.get("parameters", identity, tracing.from_description)
        return self._known[key]

    def latest(self, identity: Mapping[str, Any]) -> Any | None:
        """What was found last on that platform, of whichever sources and settings: for a model that refuses what does not fit."""
        return self._cache.get("parameters", self._latest(identity), tracing.from_description)

    def found(self, identity: Mapping[str, Any], find: Callable[[], Any]) -> Any:
        """The shapes, by `find` where they are not known."""
        shapes = self.known(identity)
        if shapes is None:
            self._progress("reading the shapes of the parameters")
            shapes = self._known[digest(identity)] = find()
            if description := tracing.described(shapes):
                self._keep("parameters", identity, description)
                self._keep("parameters", self._latest(identity), description)
        return shapes

    def _latest(self, identity: Mapping[str, Any]) -> dict[str, str]:
        return {"latest": self._model, "platform": identity["platform"]}
