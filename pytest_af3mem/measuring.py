"""What the plugin does in a session with `--af3-gpu`: measures, judges, reports."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import unittest
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem import calibration, gpus, marks, witnesses
from pytest_af3mem.against import Against
from pytest_af3mem.attempt import Asked, Attempt, Generated
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.fixture import GpuPeak, failed_test
from pytest_af3mem.inputs import generate
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.keeping import Keeping
from pytest_af3mem.models.alphafold3 import AlphaFold3, default_attention
from pytest_af3mem.peak import Peak
from pytest_af3mem.plugin import measures
from pytest_af3mem.progress import Progress
from pytest_af3mem.reporting import annotate, summarize, write
from pytest_af3mem.reports import inputs, junit, terminal
from pytest_af3mem.request import Request, freeze
from pytest_af3mem.results import Results
from pytest_af3mem.sequence import Sequence as JobSequence
from pytest_af3mem.session import Session
from pytest_af3mem.settings import Settings
from pytest_af3mem.size import Size, format_bytes
from pytest_af3mem.verdict import Measurement, Reference, judge, not_judged, unmeasured

_TITLE = "GPU memory of AlphaFold 3"


def _is_in_hypothesis() -> bool:
    hypothesis: Any = sys.modules.get("hypothesis")
    return hypothesis is not None and hypothesis.currently_in_test_context()


class Measuring:
    """Hooks of a session with `--af3-gpu`."""

    def __init__(self, config: pytest.Config, settings: Settings):
        self._config = config
        self._is_xdist_worker = hasattr(config, "workerinput")
        if self._is_xdist_worker and settings.workers is None:
            settings = dataclasses.replace(settings, workers=1)  # pytest-xdist already runs several of us
        self.keeping = Keeping(config, settings) if settings.baseline else None
        if settings.update_baseline and self.keeping is None:
            raise UsageError("--af3-update-baseline needs to know the file: --af3-baseline FILE")
        if settings.against and self.keeping:
            raise UsageError("--af3-against and --af3-baseline both say what tests are held against: leave one out")
        self.against = Against(settings) if settings.against else None
        self.session = Session(settings)
        self.gpu_peak = GpuPeak(self)
        self.described = False
        self._attempt: Attempt | None = None
        self._wide: dict[str, str] = {}  # fixtures that outlive a test, and the test that they measured for
        self._results = Results()
        self._told: dict[str, str] = {}  # what sections of failures said, and of which test
        self._progress = Progress(config)
        self._folder = settings.folder.absolute()  # for a test may change the folder
        self._notes: list[str] = []
        self._written: list[Path] = []

    # Before the tests

    def pytest_sessionstart(self) -> None:
        if self._config.option.collectonly:
            return
        try:
            self.described = bool(self.session.installation)
        except Af3memError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_report_header(self) -> list[str]:
        gpu = gpus.find(self.session.settings.target)
        major, minor = gpu.compute_capability
        workers = self.session.pool.workers
        lines = [
            f"af3mem: {self.session.method(gpu.name)} for {gpu.name} (sm_{major}{minor}, {format_bytes(gpu.memory_bytes)}), "
            f"{workers} worker{'s' if workers > 1 else ''}"
        ]
        if self.described:
            found = self.session.installation
            parts = [found.distribution]
            parts += [f"{name} {found.software[name]}" for name in ("jax", "tokamax") if name in found.software]
            parts.append(found.software["cuda_plugin"])
            if found.model == AlphaFold3.name:
                parts.append(f"attention by {default_attention(gpu.compute_capability)} unless a test says otherwise")
            lines.append(f"af3mem: {', '.join(parts)}")
        return lines

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Starts what the collected tests will need, so that no core idles while pytest walks the tests."""
        if self._config.option.collectonly or self._is_xdist_worker:
            return
        for item in session.items:
            if not any(mark.name in ("skip", "skipif") for mark in item.iter_markers()):
                with contextlib.suppress(Af3memError):  # the test will say it
                    for request in self._marked(self._start(item)):
                        self.session.pool.submit(request)

    # During a test

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        self._attempt = None
        item.user_properties[:] = junit.replaced(item.user_properties, ())
        try:
            self._attempt = self._start(item)
        except Af3memError as error:  # of a marker that was added after collection
            raise failed_test(str(error)) from None
        with self._judging(self._attempt, "setup"):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        assert self._attempt is not None
        with self._judging(self._attempt, "call"):
            yield

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        if self._attempt is None:
            yield
            return
        with self._judging(self._attempt, "teardown"):
            yield

    @contextlib.contextmanager
    def _judging(self, attempt: Attempt, when: str) -> Iterator[None]:
        """Judges at the end of a phase what was measured and not judged yet; after a setup that went well, the call does it."""
        raised, is_over = True, True
        try:
            yield
            is_over = when != "setup"
            if when == "call" and attempt.is_limited:
                self._complete(attempt)
            if is_over:
                self._answer_all(attempt)
            raised = False
        except pytest.skip.Exception:
            raised = False
            raise
        finally:
            if is_over:
                self._judge(attempt, raised)
                attempt.item.user_properties[:] = junit.replaced(attempt.item.user_properties, attempt.rows)
        if failed := terminal.failed(attempt.told):
            raise failed_test("\n".join(measurement.verdict.line for measurement in failed if measurement.verdict))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Remembers for which test a fixture that outlives it has measured: it will not do so for the next."""
        before = len(self._attempt.asked) if self._attempt else 0
        try:
            return (yield)
        finally:
            if self._attempt and len(self._attempt.asked) > before and fixturedef.scope != "function":
                self._wide[fixturedef.argname] = f"fixture {fixturedef.argname!r} of scope {fixturedef.scope!r}"
                self._wide[fixturedef.argname] += f" measured once, for {self._attempt.item.nodeid}"

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """`assert gpu_peak() <= "12 GiB"` fails with the same line as a budget."""
        if not isinstance(left, Peak) or not isinstance(right, str | int | Size) or op not in ("<", "<="):
            return None
        limit = left.bytes_of(right)
        if left.total_bytes == limit:
            return [f"GPU peak {format_bytes(limit)} is not less than {format_bytes(limit)} {left.conditions}"]
        return [judge(left, limit).line]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        attempt = self._attempt
        if attempt is not None and attempt.item is item:
            if attempt.told:
                report.af3mem = [measurement.to_json(None) for measurement in attempt.told]  # type: ignore[attr-defined]
                if self.keeping and attempt.marks.baseline:
                    self.keeping.ride(report, item, attempt.told)
                if report.failed:
                    told = terminal.failed(attempt.told) or [one for one in attempt.told if one.input] or attempt.told
                    report.sections.append((_TITLE, "\n\n".join(map(terminal.section, told))))
                    report.af3mem_bodies = [body for one in told if (body := terminal.body(one))]  # type: ignore[attr-defined]
            elif report.failed and attempt.kept:
                report.sections.append((_TITLE, f"AlphaFold 3 input: {attempt.kept}"))
            attempt.told, attempt.kept = [], ""
            if call.when == "teardown":
                self._attempt = None
        report.af3mem_ours = measures(item, getattr(item, "fixturenames", ()))  # type: ignore[attr-defined]
        return report

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
            for one in terminal.failed(self._held(attempt, request, peak)):
                raise failed_test(one.verdict.line if one.verdict else "")
        return peak

    def sequence(self, jobs: Sequence[Job], target: str | None) -> JobSequence:
        """What `gpu_peak.sequence` does. Raises as `measure`."""
        if not isinstance(jobs, Sequence) or len(jobs) < 2:
            raise UsageError("gpu_peak.sequence takes at least two jobs, as in gpu_peak.sequence([generate(256), generate(512)])")
        requests = [self._asked(job, None, target, "run", {})[1] for job in jobs]
        try:
            return self.session.pool.sequence(requests)
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
        attempt = self._attempt
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

    def _start(self, item: pytest.Item) -> Attempt:
        return Attempt(item, marks.of(item, getattr(item, "fixturenames", ())))

    def _request(
        self, attempt: Attempt, job: Job | None, generated: Generated | None, target: str | None, method: str | None = None
    ) -> Request:
        size, options = (generated.size, dict(generated.options)) if generated else (None, None)
        settings = dict(attempt.marks.settings)
        return self.session.request(job, size=size, options=options, target=target, method=method, settings=settings)

    def _marked(self, attempt: Attempt) -> dict[Request, Asked]:
        """What the markers alone ask to be measured: the size of `af3_tokens` for the target of each budget."""
        generated = attempt.generated
        if generated is None:
            return {}
        targets = {budget.target for budget in attempt.marks.budgets} or {None}
        return {self._request(attempt, None, generated, target): Asked(generated) for target in targets}

    def _complete(self, attempt: Attempt) -> None:
        """Adds what the test's markers ask for and its body did not."""
        try:
            for request, asked in self._marked(attempt).items():
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
        wide = [self._wide[name] for name in getattr(attempt.item, "fixturenames", ()) if name in self._wide]
        return f": {wide[0]}; with scope 'function' it measures for each test" if wide else ""

    def _answer_all(self, attempt: Attempt) -> None:
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
        reference = self._reference(attempt, request, answer)
        generated = attempt.asked[request].generated
        command = self.session.command(request, size=generated.size, options=generated.options) if generated else None
        test = attempt.item.nodeid
        return [
            Measurement.of(test, request, answer, budget_bytes=limit, reference=reference, command=command)
            for limit in limits or [None]
        ]

    def _reference(self, attempt: Attempt, request: Request, answer: Peak | NotJudged) -> Reference | None:
        """What the baseline says of an answer, for tests that are held against it."""
        if attempt.marks.baseline is None:
            return None
        if self.against:
            return self.against.reference(attempt.item.nodeid, request, answer, attempt.marks.baseline.tolerance)
        if self.keeping is None:
            return Reference(None, "no baseline to hold it against: name the file with --af3-baseline FILE")
        return self.keeping.reference(attempt.item, answer, request.method, attempt.marks.baseline.tolerance)

    def _judge(self, attempt: Attempt, raised: bool) -> None:
        """All answers, judged. Where the test fails, the input of the last that it asked for, or that failed, is kept."""
        held = {request: self._held(attempt, request, answer) for request, answer in attempt.answers.items()}
        failed = [request for request, found in held.items() if terminal.failed(found)]
        culprit = attempt.last if attempt.last in failed or (raised and not failed) else failed[-1] if failed else None
        if culprit is not None and (kept := self._keep(culprit, attempt)):
            attempt.kept = str(kept)
            command = self.session.command(culprit, job=kept)
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
            return folder / inputs.keep(culprit.job, self._folder, attempt.item.nodeid).relative_to(self._folder)
        except OSError as error:
            test = attempt.item.nodeid
            self._notes.append(f"the AlphaFold 3 input of {test} could not be kept in {folder / 'failing'}: {error.strerror}")
            return None

    # After the tests

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._results.add(report, self._config.rootpath)
        if report.failed:
            bodies = getattr(report, "af3mem_bodies", ())
            report.sections[:] = [
                (title, terminal.once(text, bodies, report.nodeid, self._told) if title == _TITLE else text)
                for title, text in report.sections
            ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        notes = [*self._notes, *self.session.pool.notes]
        notes += self.keeping.note(self._results.measurements) if self.keeping else ()
        if self._results.measurements or notes:
            terminalreporter.section(_TITLE)
            table = (
                [*terminal.table(self._results.measurements), *witnesses.summary(self._results.measurements)]
                if self._results.measurements
                else []
            )
            for line in [*table, *calibration.beside(self._results.measurements, self.session.settings.cache_dir), *notes]:
                terminalreporter.line(line)
            for path in self._written:
                terminalreporter.line(f"report: {path}")
        for line in annotate(self._results.failures, self._config.rootpath, os.environ):
            terminalreporter.line(line)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_xdist_worker:
            session.config.workeroutput["af3mem_notes"] = [*self._notes, *self.session.pool.notes]  # type: ignore[attr-defined]
        elif not session.config.option.collectonly:
            buckets = self.session.buckets if self.described else ()
            self._written, lost = write(self.session.settings, self._results.measurements, self._results.failures, buckets)
            if lost and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            self._notes += [*lost, *summarize(self._results.measurements, self._results.failures, os.environ)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker of its is done."""
        self._notes += getattr(node, "workeroutput", {}).get("af3mem_notes", ())

    def pytest_unconfigure(self) -> None:
        if self.against:
            self.against.close()
        self.session.close()
