"""What tests ask for, measured and judged."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import unittest
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.inputs import generate
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.plugin import failing_inputs, marks
from pytest_af3mem.plugin.attempt import Asked, Attempt, Generated
from pytest_af3mem.plugin.fixture import failed_test
from pytest_af3mem.plugin.progress import Progress
from pytest_af3mem.records.job_sequence import JobSequence
from pytest_af3mem.records.measurement import Measurement, not_passed
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.records.verdict import Reference, not_judged, unmeasured
from pytest_af3mem.session import reproduce
from pytest_af3mem.session.session import Session

Refer = Callable[[Attempt, Request, Peak | NotJudged], Reference | None]
"""What the baseline says of an answer; None for a test that is held against none."""


def _is_in_hypothesis() -> bool:
    hypothesis: Any = sys.modules.get("hypothesis")
    return hypothesis is not None and hypothesis.currently_in_test_context()


def start(item: pytest.Item) -> Attempt:
    """A new attempt at a test. Raises UsageError for markers that cannot be right."""
    return Attempt(item, marks.of(item, getattr(item, "fixturenames", ())))


class Answering:
    """Answers the test that is `running`, and judges what it measured.

    `wide` are fixtures that outlive a test, with what is known of the measurements that they made for another. `notes` are for
    the end of the run.
    """

    def __init__(self, session: Session, progress: Progress, refer: Refer):
        self.session = session
        self.running: Attempt | None = None
        self.wide: dict[str, str] = {}
        self.notes: list[str] = []
        self.started_in = Path.cwd()  # a test may change it
        self._progress = progress
        self._refer = refer

    def measure(
        self, job: Job | None, size: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> Peak:
        """What `gpu_peak` does. Raises UsageError, or NotJudged with the whole line."""
        attempt, request, asked = self._asked(job, size, target, method, options)
        attempt.asked[request] = asked
        try:
            peak = self._answer(attempt, request)
        except NotJudged as error:
            raise NotJudged(unmeasured(error, request.conditions).line) from error
        if _is_in_hypothesis():  # which then looks for the smallest job that is over
            for one in not_passed(self._held(attempt, request, peak)):
                raise failed_test(one.verdict.line if one.verdict else "")
        return peak

    def sequence(self, jobs: Sequence[Job], target: str | None) -> JobSequence:
        """What `gpu_peak.sequence` does. Raises as `measure`."""
        if not isinstance(jobs, Sequence) or len(jobs) < 2:
            raise UsageError("gpu_peak.sequence takes at least two jobs, as in gpu_peak.sequence([generate(256), generate(512)])")
        requests = [self._asked(job, None, target, "run", {})[1] for job in jobs]
        try:
            return self.session.pool.gpu_runs.sequence(requests)
        except NotJudged as error:
            raise NotJudged(unmeasured(error, requests[-1].conditions).line) from error

    def shapes(self, job: Job | None, size: int | None, options: Mapping[str, Any]) -> dict[str, str]:
        """What `gpu_peak.shapes` does. Raises as `measure`."""
        _, request, _ = self._asked(job, size, None, None, options)
        try:
            return dict(self.session.pool.featurise(request)["shapes"])
        except NotJudged as error:
            raise NotJudged(not_judged(str(error), request.conditions).line) from error

    def _asked(
        self, job: Job | None, size: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> tuple[Attempt, Request, Asked]:
        """The running test, what it asks for, noted as the last, and how that came about."""
        attempt = self.running
        if attempt is None:
            raise UsageError("gpu_peak can be called while a test runs, not while tests are collected")
        if not isinstance(job, Job | None):
            raise UsageError(f"gpu_peak({job!r}): give a Job, or the size by name, like gpu_peak(tokens=512)")
        if job is not None and (size is not None or options):
            raise UsageError("gpu_peak(job) measures that job: leave out tokens and options of a generated one")
        generate.Mix.of(options)
        generated = None
        if job is None:
            if size is not None:
                generate.check_tokens(size)
                generated = Generated(size, freeze(options))
            else:
                generated = attempt.generated
                if generated is None:
                    raise UsageError("gpu_peak() needs a size: gpu_peak(tokens=512), or mark the test with af3_tokens(512)")
                generated = dataclasses.replace(generated, options=freeze({**dict(generated.options), **options}))
        request = self._request(attempt, job, generated, target or attempt.marks.target, method)
        attempt.last = request
        return attempt, request, Asked(generated, method)

    def _request(
        self, attempt: Attempt, job: Job | None, generated: Generated | None, target: str | None, method: str | None = None
    ) -> Request:
        size, options = (generated.size, dict(generated.options)) if generated else (None, None)
        settings = dict(attempt.marks.settings)
        return self.session.request(job, tokens=size, options=options, target=target, method=method, model_settings=settings)

    def marked(self, attempt: Attempt) -> dict[Request, Asked]:
        """What the markers alone ask to be measured: the size of `af3_tokens` for the target of each budget."""
        generated = attempt.generated
        if generated is None:
            return {}
        targets = {budget.target for budget in attempt.marks.budgets} or {None}
        return {self._request(attempt, None, generated, target): Asked(generated) for target in targets}

    def complete(self, attempt: Attempt) -> None:
        """Adds what the test's markers ask for and its body did not."""
        try:
            for request, asked in self.marked(attempt).items():
                attempt.asked.setdefault(request, asked)
        except Af3memError as error:
            raise failed_test(str(error)) from None
        if not attempt.asked:
            what = "budget" if attempt.marks.budgets else "baseline"
            raise failed_test(f"GPU peak not judged: the test has a {what}, but it never called gpu_peak{self._why(attempt)}")

    def _why(self, attempt: Attempt) -> str:
        """Why a test has measured nothing, if that can be told."""
        if attempt.marks.sizes or attempt.marks.up_to:
            if issubclass(getattr(attempt.item, "cls", None) or object, unittest.TestCase):
                return ": af3_tokens has no effect on a method of a unittest.TestCase, which pytest cannot parametrise"
            return ": af3_tokens has no effect on a single parameter; put it on the test, or call gpu_peak(tokens=...)"
        wide = [self.wide[name] for name in getattr(attempt.item, "fixturenames", ()) if name in self.wide]
        return f": {wide[0]}; with scope 'function' it measures for each test" if wide else ""

    def answer_all(self, attempt: Attempt) -> None:
        """Measures all that was asked for, for the target of each budget."""
        for request, asked in list(attempt.asked.items()):
            for budget in attempt.marks.budgets:
                if budget.target:
                    attempt.asked.setdefault(self.session.retarget(request, budget.target, asked.method), asked)
        for request in attempt.asked:
            with contextlib.suppress(NotJudged):
                self._answer(attempt, request)

    def _answer(self, attempt: Attempt, request: Request) -> Peak:
        answer = attempt.answers.get(request) or attempt.judged.get(request)
        if answer is None:
            try:
                answer = self.session.wait(self.session.pool.submit(request), self._progress.show)
            except Af3memError as error:
                answer = error if isinstance(error, NotJudged) else NotJudged(str(error))
            finally:
                self._progress.end(request, "measured" if isinstance(answer, Peak) else "not judged")
            attempt.answers[request] = answer
        if isinstance(answer, NotJudged):
            raise answer
        return answer

    def _held(self, attempt: Attempt, request: Request, answer: Peak | NotJudged) -> list[Measurement]:
        """An answer against the budgets for its target, those that name it or else those that name none, and the baseline."""
        budgets = attempt.marks.budgets
        meant = [budget for budget in budgets if budget.target == request.target] or [
            budget for budget in budgets if budget.target is None
        ]
        memory_bytes = gpus.find(request.target).memory_bytes
        limits: list[int | None] = [budget.size.of(memory_bytes) for budget in meant]
        reference = self._refer(attempt, request, answer)
        generated = attempt.asked[request].generated
        command = (
            reproduce.command(self.session.settings, request, tokens=generated.size, options=generated.options)
            if generated
            else None
        )
        test = attempt.item.nodeid
        return [
            Measurement.of(test, request, answer, budget_bytes=limit, reference=reference, command=command)
            for limit in limits or [None]
        ]

    def judge(self, attempt: Attempt, raised: bool) -> None:
        """All answers, judged. Where the test fails, the input of the last that it asked for, or that failed, is kept."""
        held = {request: self._held(attempt, request, answer) for request, answer in attempt.answers.items()}
        failed = [request for request, found in held.items() if not_passed(found)]
        culprit = attempt.last if attempt.last in failed or (raised and not failed) else failed[-1] if failed else None
        if culprit is not None and (kept := self._keep(culprit, attempt)):
            attempt.kept = str(kept)
            command = reproduce.command(self.session.settings, culprit, job=kept)
            held[culprit] = [
                dataclasses.replace(one, input=str(kept), command=one.command or command) for one in held.get(culprit, ())
            ]
        attempt.told = [measurement for found in held.values() for measurement in found]
        attempt.rows += attempt.told
        attempt.judged |= attempt.answers
        attempt.answers, attempt.last = {}, None

    def _keep(self, culprit: Request, attempt: Attempt) -> Path | None:
        """The file in which the input of a failure is kept, from where pytest was started; None, and a note, where that fails."""
        folder = self.session.settings.folder
        try:
            kept = failing_inputs.keep(culprit.job, self.started_in / folder, attempt.item.nodeid)
            return folder / kept.relative_to(self.started_in / folder)
        except OSError as error:
            test = attempt.item.nodeid
            self.notes.append(f"the AlphaFold 3 input of {test} could not be kept in {folder / 'failing'}: {error.strerror}")
            return None
