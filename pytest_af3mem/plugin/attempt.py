"""One attempt at a test: what it asks for, what came of that, and what its reports say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.plugin.marks import Marks
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request


@dataclass(frozen=True)
class Generated:
    """How a generated job came about, so that it can be asked for again."""

    size: int
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Asked:
    """How a request came about: by a generated job or the test's own, and by which method if the test stated one."""

    generated: Generated | None = None
    method: str | None = None


@dataclass
class Attempt:
    """A test from its setup to the end of its teardown; when it is run again it is another attempt.

    `answers` wait to be judged, which is done at the end of each phase; `judged` were. `last` is what this phase asked for
    last. `told` and `kept`, a line about the input of a failure, are what the report of this phase says; `rows` what all did.
    """

    item: pytest.Item
    marks: Marks
    asked: dict[Request, Asked] = field(default_factory=dict)
    answers: dict[Request, Peak | NotJudged] = field(default_factory=dict)
    judged: dict[Request, Peak | NotJudged] = field(default_factory=dict)
    last: Request | None = None
    told: list[Measurement] = field(default_factory=list)
    kept: str = ""
    rows: list[Measurement] = field(default_factory=list)

    @property
    def is_limited(self) -> bool:
        """Whether its markers ask for something to be measured."""
        return bool(self.marks.sizes or self.marks.up_to or self.marks.budgets or self.marks.baseline)

    @property
    def generated(self) -> Generated | None:
        """The job that `af3_tokens` gives this test."""
        callspec = getattr(self.item, "callspec", None)
        size = callspec.params.get("af3_tokens") if callspec else None
        return None if size is None else Generated(size, self.marks.job)
