"""A live baseline: what `--af3-against` names is measured beside the model under test, in the place of a committed file."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.gpus.size import EXACT, Size
from pytest_af3mem.planning import sides
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Reference
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


class Against:
    """Measures the other side of each test that is marked `af3_baseline`. `close` ends its workers.

    Raises UsageError for a side that is what the tests measure: all would pass.
    """

    def __init__(self, settings: Settings):
        assert settings.against is not None
        self._side = sides.read(settings.against, "--af3-against", settings, {})
        if self._side.settings == settings and not self._side.model_settings:
            rule = "is what the tests measure: name another Python, source tree or revision ('installed' leaves --af3-path out)"
            raise UsageError(f"--af3-against {settings.against!r} {rule}")
        self._session = Session(self._side.settings, answers=False)

    def reference(self, item: pytest.Item, request: Request, peak: Peak, tolerance: Size | None) -> Reference:
        """What a peak is compared with: that for the same request there, with its settings; or why there is none."""
        tolerance = tolerance or EXACT
        try:
            settings = tuple(sorted({**dict(request.settings), **self._side.model_settings}.items()))
            asked = dataclasses.replace(request, buckets=self._session.buckets, settings=settings)
            other = self._session.wait(self._session.pool.submit(asked))
        except Af3memError as error:
            what = "is not judged" if isinstance(error, NotJudged) else "cannot be measured"
            return Reference(None, f"--af3-against {self._side.text!r} {what}: {error}", tolerance)
        return Reference(Entry.of(item.nodeid, other), tolerance=tolerance)

    def close(self) -> None:
        self._session.close()
