"""What the answers of a test are judged against: its budgets, and the baseline or the other side of `--af3-against`."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.gpus.size import EXACT, Size
from pytest_af3mem.planning import sides
from pytest_af3mem.plugin.asking import Answer, Attempt
from pytest_af3mem.plugin.baseline import BaselineHooks
from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.measurement import Measurement, not_passed
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Reference
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

_LONGEST_NAME = 120


class Against:
    """Measures what `--af3-against` names, in addition to the model under test. `close` ends its workers.

    Raises UsageError for a side that is what the tests measure: all would pass.
    """

    def __init__(self, settings: Settings):
        assert settings.against is not None
        self._side = sides.read(settings.against, "--af3-against", settings, {})
        if self._side.program:
            raise UsageError(
                f"--af3-against {settings.against!r} is one compiled program: af3mem compare holds it against others"
            )
        if self._side.settings == settings and not self._side.model_settings:
            rule = "is what the tests measure: name another Python, source tree or revision ('installed' leaves --af3-path out)"
            raise UsageError(f"--af3-against {settings.against!r} {rule}")
        others = dataclasses.replace(self._side.settings, model=settings.model)
        self._differs_for_functions = others != settings or bool(self._side.model_settings)
        self._session = Session(self._side.settings, answers=False)
        self.close = self._session.close

    def reference(self, item: pytest.Item, request: Request, peak: Peak, tolerance: Size | None) -> Reference:
        """The answer to the same request there, with its settings."""
        tolerance = tolerance or EXACT
        if request.function and not self._differs_for_functions:
            return Reference(None, f"--af3-against {self._side.text!r} is another network, and a function has none", tolerance)
        try:
            settings = tuple(sorted({**dict(request.settings), **self._side.model_settings}.items()))
            buckets = () if request.function else self._session.buckets
            asked = dataclasses.replace(request, buckets=buckets, settings=settings)
            other = self._session.peak(asked)
        except Af3memError as error:
            what = "is not judged" if isinstance(error, NotJudged) else "cannot be measured"
            return Reference(None, f"--af3-against {self._side.text!r} {what}: {error}", tolerance)
        return Reference(Entry.of(item.nodeid, other), tolerance=tolerance, timeline=other.timeline)


class Limits:
    """Judges answers. `notes`, for the end of the run, gets a line for each input that could not be written."""

    def __init__(self, settings: Settings, accepted: BaselineHooks | Against | None, notes: list[str]):
        self._settings = settings
        self._accepted = accepted
        self._notes = notes
        self._started_in = Path.cwd()  # a test may change it

    def judge(self, attempt: Attempt, request: Request, answer: Answer) -> list[Measurement]:
        """An answer against each budget for its target, or else each that names no target, and against the baseline."""
        budgets = [budget for budget in attempt.marks.budgets if budget.target == request.target]
        budgets = budgets or [budget for budget in attempt.marks.budgets if budget.target is None]
        memory_bytes = gpus.find(request.target).memory_bytes
        limits: list[int | None] = [budget.size.of(memory_bytes) for budget in budgets]
        reference = self._reference(attempt, request, answer)
        origin = attempt.requests[request]
        command = None
        if origin.tokens is not None:
            command = reproduce.command(self._settings, request, tokens=origin.tokens, options=origin.options)
        return [
            Measurement.of(attempt.item.nodeid, request, answer, budget_bytes=limit, reference=reference, command=command)
            for limit in limits or [None]
        ]

    def judge_all(self, attempt: Attempt, raised: bool) -> None:
        """Judges the answers of a phase. If it fails, the input that failed, or that it asked for last, is written to a file."""
        new = {request: answer for request, answer in attempt.answers.items() if request not in attempt.judged}
        found = {request: self.judge(attempt, request, answer) for request, answer in new.items()}
        failed = [request for request, measurements in found.items() if not_passed(measurements)]
        culprit = attempt.last if attempt.last in failed or (raised and not failed) else failed[-1] if failed else None
        if culprit and not culprit.function and (file := self._write_input(culprit.job, attempt.item.nodeid)):
            attempt.input_file = str(file)
            command = reproduce.command(self._settings, culprit, job=file)
            if culprit in found:
                judged = found[culprit]
                found[culprit] = [dataclasses.replace(one, input=str(file), command=one.command or command) for one in judged]
        attempt.measurements = [one for measurements in found.values() for one in measurements]
        attempt.judged |= found
        attempt.last = None

    def _reference(self, attempt: Attempt, request: Request, answer: Answer) -> Reference | None:
        if attempt.marks.baseline is None or not isinstance(answer, Peak):
            return None
        if self._accepted is None:
            return Reference(None, "no baseline to compare it with: name the file with --af3-baseline FILE")
        tolerance = attempt.marks.baseline.tolerance or self._settings.tolerance
        return self._accepted.reference(attempt.item, request, answer, tolerance)

    def _write_input(self, job: str, test: str) -> Path | None:
        """The file named after the test, from where pytest was started, that `run_alphafold.py --json_path` reads.

        The test's next failure replaces it. None, and a note, where it cannot be written.
        """
        digest = hashlib.sha256(test.encode()).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9]+", "_", test).strip("_")[-_LONGEST_NAME:]
        path = self._settings.folder / "failing" / f"{name}_{digest}.json"
        try:
            (self._started_in / path.parent).mkdir(parents=True, exist_ok=True)
            (self._started_in / path).write_text(job)
        except OSError as error:
            self._notes.append(f"the AlphaFold 3 input of {test} could not be written to {path.parent}: {error.strerror}")
            return None
        return path
