"""What the answers of a test are judged against: its budgets, and the baseline or the other side of `--af3-against`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.plugin import failing_inputs
from pytest_af3mem.plugin.against import Against
from pytest_af3mem.plugin.attempt import Answer, Attempt
from pytest_af3mem.plugin.baseline import BaselineHooks
from pytest_af3mem.records.measurement import Measurement, not_passed
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Reference
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.settings import Settings


class Limits:
    """Judges answers. `notes`, for the end of the run, gets a line for each input that could not be written."""

    def __init__(self, settings: Settings, baseline: BaselineHooks | Against | None, notes: list[str]):
        self._settings = settings
        self._baseline = baseline
        self._notes = notes
        self._started_in = Path.cwd()  # a test may change it

    def judge(self, attempt: Attempt, request: Request, answer: Answer) -> list[Measurement]:
        """An answer against each budget for its target, or else each that names no target, and against the baseline."""
        budgets = [budget for budget in attempt.marks.budgets if budget.target == request.target]
        budgets = budgets or [budget for budget in attempt.marks.budgets if budget.target is None]
        memory_bytes = gpus.find(request.target).memory_bytes
        limits: list[int | None] = [budget.size.of(memory_bytes) for budget in budgets]
        reference = self._reference(attempt, request, answer)
        generated = attempt.requests[request].generated
        command = None
        if generated:
            command = reproduce.command(self._settings, request, tokens=generated.tokens, options=generated.options)
        return [
            Measurement.of(attempt.item.nodeid, request, answer, budget_bytes=limit, reference=reference, command=command)
            for limit in limits or [None]
        ]

    def judge_all(self, attempt: Attempt, raised: bool) -> None:
        """Judges the answers of a phase. If it fails, the input that failed, or that it asked for last, is written to a file."""
        found = {request: self.judge(attempt, request, answer) for request, answer in attempt.answers.items()}
        failed = [request for request, measurements in found.items() if not_passed(measurements)]
        culprit = attempt.last if attempt.last in failed or (raised and not failed) else failed[-1] if failed else None
        if culprit is not None and (file := self._write_input(culprit, attempt)):
            attempt.input_file = str(file)
            command = reproduce.command(self._settings, culprit, job=file)
            found[culprit] = [
                dataclasses.replace(one, input=str(file), command=one.command or command) for one in found.get(culprit, ())
            ]
        attempt.measurements = [one for measurements in found.values() for one in measurements]
        attempt.all_measurements += attempt.measurements
        attempt.judged |= attempt.answers
        attempt.answers, attempt.last = {}, None

    def _reference(self, attempt: Attempt, request: Request, answer: Answer) -> Reference | None:
        """What a peak is compared with, for tests that are marked `af3_baseline`."""
        if attempt.marks.baseline is None or not isinstance(answer, Peak):
            return None
        if self._baseline is None:
            return Reference(None, "no baseline to compare it with: name the file with --af3-baseline FILE")
        tolerance = attempt.marks.baseline.tolerance or self._settings.tolerance
        return self._baseline.reference(attempt.item, request, answer, tolerance)

    def _write_input(self, culprit: Request, attempt: Attempt) -> Path | None:
        """The file, from where pytest was started; None, and a note, where it cannot be written."""
        folder = self._settings.folder
        try:
            path = failing_inputs.write(culprit.job, self._started_in / folder, attempt.item.nodeid)
            return folder / path.relative_to(self._started_in / folder)
        except OSError as error:
            test = attempt.item.nodeid
            self._notes.append(f"the AlphaFold 3 input of {test} could not be written to {folder / 'failing'}: {error.strerror}")
            return None
