"""What a test asks for, turned into requests and measured."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pytest_af3mem.errors import Af3memError, NotJudged, UsageError, first_line
from pytest_af3mem.inputs import generate
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.plugin import marks
from pytest_af3mem.plugin.fixture import failed_test
from pytest_af3mem.plugin.marks import Marks
from pytest_af3mem.plugin.progress import Progress
from pytest_af3mem.records.job_sequence import JobSequence
from pytest_af3mem.records.measurement import Measurement, not_passed
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.records.verdict import not_judged, unmeasured
from pytest_af3mem.session.session import Session

Answer = Peak | NotJudged


@dataclass(frozen=True)
class Origin:
    """How a request came about: the `tokens` and options of a generated job, and the method if the test names one."""

    tokens: int | None = None
    options: tuple[tuple[str, Any], ...] = ()
    method: str | None = None


@dataclass
class Attempt:
    """A test from its setup to the end of its teardown; when it is run again it is another attempt.

    `answers` are `judged` at the end of the phase in which they came. `last` is what this phase asked for last; its
    `measurements`, whether a failure is `acceptable` as a new baseline, and its `input_file` are for the phase's report.
    Once it was `broken_off` while it waited for an answer, it waits for no other.
    """

    item: pytest.Item
    marks: Marks
    requests: dict[Request, Origin] = field(default_factory=dict)
    answers: dict[Request, Answer] = field(default_factory=dict)
    judged: dict[Request, list[Measurement]] = field(default_factory=dict)
    last: Request | None = None
    measurements: list[Measurement] = field(default_factory=list)
    input_file: str = ""
    acceptable: bool = False
    broken_off: bool = False

    @classmethod
    def of(cls, item: pytest.Item) -> Attempt:
        """Raises UsageError for markers that cannot be right."""
        return cls(item, marks.of(item, getattr(item, "fixturenames", ())))

    @property
    def generated(self) -> Origin | None:
        """The job that `af3_tokens` gives this test."""
        callspec = getattr(self.item, "callspec", None)
        tokens = callspec.params.get("af3_tokens") if callspec else None
        return None if tokens is None else Origin(tokens, self.marks.job)


class Asking:
    """Measures what the test that is `running` asks for, by `gpu_peak` or by its markers."""

    def __init__(self, session: Session, progress: Progress, judge: Callable[[Attempt, Request, Answer], list[Measurement]]):
        self.running: Attempt | None = None
        self.session = session
        self._progress = progress
        self._judge = judge

    def measure(
        self, job: Job | None, tokens: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> Peak:
        """What `gpu_peak` does. Raises UsageError, or NotJudged with the whole line of a verdict."""
        return self._measured(*self._asked(job, tokens, target, method, options))

    def function(
        self,
        function: Callable[..., Any] | str,
        shapes: Sequence[Any],
        target: str | None,
        method: str | None,
        static: Mapping[str, Any],
    ) -> Peak:
        """What `gpu_peak.of` does. Raises as `measure`."""
        attempt = self._running()
        target, settings = target or attempt.marks.target, dict(attempt.marks.model_settings)
        attempt.last = self.session.call(function, shapes, static, target=target, method=method, model_settings=settings)
        return self._measured(attempt, attempt.last, Origin(method=method))

    def _measured(self, attempt: Attempt, request: Request, origin: Origin) -> Peak:
        attempt.requests[request] = origin
        try:
            peak = self._answer(attempt, request)
        except NotJudged as error:
            raise NotJudged(unmeasured(error, request.conditions).line) from error
        hypothesis: Any = sys.modules.get("hypothesis")
        if hypothesis and hypothesis.currently_in_test_context():  # which then looks for the smallest job that is over
            for one in not_passed(self._judge(attempt, request, peak)):
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

    def shapes(self, job: Job | None, tokens: int | None, options: Mapping[str, Any]) -> dict[str, str]:
        """What `gpu_peak.shapes` does. Raises as `measure`."""
        _, request, _ = self._asked(job, tokens, None, None, options)
        try:
            return dict(self.session.pool.featurise(request)["shapes"])
        except NotJudged as error:
            raise NotJudged(not_judged(str(error), request.conditions).line) from error

    def marked(self, attempt: Attempt) -> dict[Request, Origin]:
        """What the markers alone ask for: the tokens of `af3_tokens`, for the target of each budget."""
        origin = attempt.generated
        if origin is None:
            return {}
        targets = {budget.target for budget in attempt.marks.budgets} or {None}
        return {self._request(attempt, None, origin, target): origin for target in targets}

    def answer_all(self, attempt: Attempt) -> None:
        """Measures all that was asked for, for the target of each budget."""
        if attempt.broken_off:
            return
        for request, origin in list(attempt.requests.items()):
            for budget in attempt.marks.budgets:
                if budget.target:
                    attempt.requests.setdefault(self.session.retarget(request, budget.target, origin.method), origin)
        for request in attempt.requests:
            with contextlib.suppress(NotJudged):
                self._answer(attempt, request)

    def _asked(
        self, job: Job | None, tokens: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> tuple[Attempt, Request, Origin]:
        """The running test, what it asks for, noted as the last, and how that came about."""
        attempt = self._running()
        if not isinstance(job, Job | None):
            raise UsageError(f"gpu_peak({job!r}): give a Job, or the size by name, like gpu_peak(tokens=512)")
        if job is not None and (tokens is not None or options):
            raise UsageError("gpu_peak(job) measures that job: leave out tokens and options of a generated one")
        generate.Mix.of(options)
        origin = Origin() if job is not None else Origin(tokens) if tokens is not None else attempt.generated
        if origin is None:
            raise UsageError("gpu_peak() needs a size: gpu_peak(tokens=512), or mark the test with af3_tokens(512)")
        if job is None:
            generate.check_tokens(origin.tokens)
        origin = replace(origin, options=freeze({**dict(origin.options), **options}), method=method)
        attempt.last = self._request(attempt, job, origin, target or attempt.marks.target)
        return attempt, attempt.last, origin

    def _running(self) -> Attempt:
        if self.running is None:
            raise UsageError("gpu_peak can be called while a test runs, not while tests are collected")
        return self.running

    def _request(self, attempt: Attempt, job: Job | None, origin: Origin, target: str | None) -> Request:
        return self.session.request(
            job,
            tokens=origin.tokens,
            options=dict(origin.options),
            target=target,
            method=origin.method,
            model_settings=dict(attempt.marks.model_settings),
        )

    def _answer(self, attempt: Attempt, request: Request) -> Peak:
        """The peak. Raises NotJudged, again for what was asked before."""
        answer = attempt.answers.get(request)
        if answer is None:
            try:
                answer = self.session.peak(request, self._progress.show)
            except Af3memError as error:
                answer = error if isinstance(error, NotJudged) else NotJudged(str(error))
            except BaseException as error:  # raised by a signal's handler, as pytest-timeout does
                attempt.broken_off = True
                attempt.answers[request] = NotJudged(f"the wait for it was broken off: {first_line(error)}")
                raise
            finally:
                self._progress.end(request, "measured" if isinstance(answer, Peak) else "not judged")
            attempt.answers[request] = answer
        if isinstance(answer, NotJudged):
            raise answer
        return answer
