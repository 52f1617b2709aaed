"""One attempt at a test: what it asks for, what came of that, and what its reports say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.plugin import marks
from pytest_af3mem.plugin.marks import Marks
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request

Answer = Peak | NotJudged


@dataclass(frozen=True)
class Generated:
    """How a generated job came about, so that the same can be generated again."""

    tokens: int
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Origin:
    """How a request came about: by a generated job or the test's own, and by which method if the test names one."""

    generated: Generated | None = None
    method: str | None = None


@dataclass
class Attempt:
    """A test from its setup to the end of its teardown; when it is run again it is another attempt.

    `answers` wait for the end of the phase, where they are judged; `judged` were. `last` is what this phase asked for last.
    `measurements` and `input_file`, in which the input of a failure is, are for the report of this phase; `all_measurements`
    are those of every phase.
    """

    item: pytest.Item
    marks: Marks
    requests: dict[Request, Origin] = field(default_factory=dict)
    answers: dict[Request, Answer] = field(default_factory=dict)
    judged: dict[Request, Answer] = field(default_factory=dict)
    last: Request | None = None
    measurements: list[Measurement] = field(default_factory=list)
    input_file: str = ""
    all_measurements: list[Measurement] = field(default_factory=list)

    @classmethod
    def of(cls, item: pytest.Item) -> Attempt:
        """A new attempt at a test. Raises UsageError for markers that cannot be right."""
        return cls(item, marks.of(item, getattr(item, "fixturenames", ())))

    @property
    def generated(self) -> Generated | None:
        """The job that `af3_tokens` gives this test."""
        callspec = getattr(self.item, "callspec", None)
        tokens = callspec.params.get("af3_tokens") if callspec else None
        return None if tokens is None else Generated(tokens, self.marks.job)
