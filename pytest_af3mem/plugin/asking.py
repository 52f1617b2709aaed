"""What tests ask for, turned into requests and measured."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.inputs import generate
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.plugin.attempt import Answer, Attempt, Generated, Origin
from pytest_af3mem.plugin.fixture import failed_test
from pytest_af3mem.plugin.progress import Progress
from pytest_af3mem.records.job_sequence import JobSequence
from pytest_af3mem.records.measurement import Measurement, not_passed
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.records.verdict import not_judged, unmeasured
from pytest_af3mem.session.session import Session

Judge = Callable[[Attempt, Request, Answer], list[Measurement]]


def _is_in_hypothesis() -> bool:
    hypothesis: Any = sys.modules.get("hypothesis")
    return hypothesis is not None and hypothesis.currently_in_test_context()


class Asking:
    """Measures what the test that is `running` asks for, by `gpu_peak` or by its markers."""

    def __init__(self, session: Session, progress: Progress, judge: Judge):
        self.running: Attempt | None = None
        self._session = session
        self._progress = progress
        self._judge = judge

    def measure(
        self, job: Job | None, tokens: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> Peak:
        """What `gpu_peak` does. Raises UsageError, or NotJudged with the whole line."""
        attempt, request, origin = self._asked(job, tokens, target, method, options)
        attempt.requests[request] = origin
        try:
            peak = self._answer(attempt, request)
        except NotJudged as error:
            raise NotJudged(unmeasured(error, request.conditions).line) from error
        if _is_in_hypothesis():  # which then looks for the smallest job that is over
            for one in not_passed(self._judge(attempt, request, peak)):
                raise failed_test(one.verdict.line if one.verdict else "")
        return peak

    def sequence(self, jobs: Sequence[Job], target: str | None) -> JobSequence:
        """What `gpu_peak.sequence` does. Raises as `measure`."""
        if not isinstance(jobs, Sequence) or len(jobs) < 2:
            raise UsageError("gpu_peak.sequence takes at least two jobs, as in gpu_peak.sequence([generate(256), generate(512)])")
        requests = [self._asked(job, None, target, "run", {})[1] for job in jobs]
        try:
            return self._session.pool.gpu_runs.sequence(requests)
        except NotJudged as error:
            raise NotJudged(unmeasured(error, requests[-1].conditions).line) from error

    def shapes(self, job: Job | None, tokens: int | None, options: Mapping[str, Any]) -> dict[str, str]:
        """What `gpu_peak.shapes` does. Raises as `measure`."""
        _, request, _ = self._asked(job, tokens, None, None, options)
        try:
            return dict(self._session.pool.featurise(request)["shapes"])
        except NotJudged as error:
            raise NotJudged(not_judged(str(error), request.conditions).line) from error

    def marked(self, attempt: Attempt) -> dict[Request, Origin]:
        """What the markers alone ask for: the tokens of `af3_tokens`, for the target of each budget."""
        generated = attempt.generated
        if generated is None:
            return {}
        targets = {budget.target for budget in attempt.marks.budgets} or {None}
        return {self._request(attempt, None, generated, target): Origin(generated) for target in targets}

    def answer_all(self, attempt: Attempt) -> None:
        """Measures all that was asked for, for the target of each budget."""
        for request, origin in list(attempt.requests.items()):
            for budget in attempt.marks.budgets:
                if budget.target:
                    attempt.requests.setdefault(self._session.retarget(request, budget.target, origin.method), origin)
        for request in attempt.requests:
            with contextlib.suppress(NotJudged):
                self._answer(attempt, request)

    def _asked(
        self, job: Job | None, tokens: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> tuple[Attempt, Request, Origin]:
        """The running test, what it asks for, noted as the last, and how that came about."""
        attempt = self.running
        if attempt is None:
            raise UsageError("gpu_peak can be called while a test runs, not while tests are collected")
        if not isinstance(job, Job | None):
            raise UsageError(f"gpu_peak({job!r}): give a Job, or the size by name, like gpu_peak(tokens=512)")
        if job is not None and (tokens is not None or options):
            raise UsageError("gpu_peak(job) measures that job: leave out tokens and options of a generated one")
        generate.Mix.of(options)
        generated = None
        if job is None:
            generated = attempt.generated if tokens is None else Generated(tokens, ())
            if generated is None:
                raise UsageError("gpu_peak() needs a size: gpu_peak(tokens=512), or mark the test with af3_tokens(512)")
            generate.check_tokens(generated.tokens)
            generated = dataclasses.replace(generated, options=freeze({**dict(generated.options), **options}))
        request = self._request(attempt, job, generated, target or attempt.marks.target, method)
        attempt.last = request
        return attempt, request, Origin(generated, method)

    def _request(
        self, attempt: Attempt, job: Job | None, generated: Generated | None, target: str | None, method: str | None = None
    ) -> Request:
        return self._session.request(
            job,
            tokens=generated.tokens if generated else None,
            options=dict(generated.options) if generated else None,
            target=target,
            method=method,
            model_settings=dict(attempt.marks.model_settings),
        )

    def _answer(self, attempt: Attempt, request: Request) -> Peak:
        """The peak. Raises NotJudged, again for what was asked before."""
        answer = attempt.answers.get(request) or attempt.judged.get(request)
        if answer is None:
            try:
                answer = self._session.wait(self._session.pool.submit(request), self._progress.show)
            except Af3memError as error:
                answer = error if isinstance(error, NotJudged) else NotJudged(str(error))
            finally:
                self._progress.end(request, "measured" if isinstance(answer, Peak) else "not judged")
            attempt.answers[request] = answer
        if isinstance(answer, NotJudged):
            raise answer
        return answer
