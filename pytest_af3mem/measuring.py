"""What the plugin does in a session with `--af3-gpu`: measures, judges, reports."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem import calibration, gpus, marks, witnesses
from pytest_af3mem.against import Against
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.fixture import GpuPeak, failed_test
from pytest_af3mem.inputs import generate
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.keeping import Keeping
from pytest_af3mem.models.alphafold3 import AlphaFold3, default_attention
from pytest_af3mem.peak import Peak
from pytest_af3mem.plugin import measures
from pytest_af3mem.reporting import annotate, summarize, write
from pytest_af3mem.reports import comparison, inputs, junit, terminal
from pytest_af3mem.reports.failures import Failure
from pytest_af3mem.request import Request, freeze
from pytest_af3mem.sequence import Sequence as JobSequence
from pytest_af3mem.session import Session
from pytest_af3mem.settings import Settings
from pytest_af3mem.size import Size, format_bytes
from pytest_af3mem.verdict import Measurement, Reference, judge, not_judged, unmeasured

_TITLE = "GPU memory of AlphaFold 3"


def _is_in_hypothesis() -> bool:
    hypothesis: Any = sys.modules.get("hypothesis")
    return hypothesis is not None and hypothesis.currently_in_test_context()


@dataclasses.dataclass(frozen=True)
class _Generated:
    """How a generated job came about, so that it can be asked for again."""

    size: int
    options: tuple[tuple[str, Any], ...]


@dataclasses.dataclass
class _Running:
    """The test that is running, and what it has asked for so far."""

    item: pytest.Item
    marks: marks.Marks
    asked: dict[Request, _Generated | None] = dataclasses.field(default_factory=dict)
    last: Request | None = None
    kept: Path | None = None
    answers: dict[Request, Peak | NotJudged] = dataclasses.field(default_factory=dict)


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
        self._running: _Running | None = None
        self._finished: dict[str, list[Measurement]] = {}
        self._measurements: list[Measurement] = []
        self._failures: list[Failure] = []
        self._notes: list[str] = []
        self._written: list[Path] = []
        self._progress_shown = False

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

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        try:
            self._running = self._start(item)
        except Af3memError as error:  # of a marker that was added after collection
            raise failed_test(str(error)) from None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        running = self._running
        assert running is not None
        raised = True
        try:
            yield
            if running.marks.sizes or running.marks.up_to or running.marks.budgets or running.marks.baseline:
                self._complete(running)
            raised = False
        except pytest.skip.Exception:
            raised = False
            raise
        finally:
            self._finished[item.nodeid] = measurements = self._judged(running, raised)
            item.user_properties[:] = junit.replaced(item.user_properties, measurements)
        if failed := terminal.failed(measurements):
            raise failed_test("\n".join(measurement.verdict.line for measurement in failed if measurement.verdict))

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
        measurements = self._finished.pop(item.nodeid, ()) if call.when == "call" else ()
        if measurements:
            report.af3mem = [measurement.to_json(None) for measurement in measurements]  # type: ignore[attr-defined]
            if self.keeping and item.get_closest_marker("af3_baseline"):
                self.keeping.ride(report, item, measurements)
            if report.failed:
                told = terminal.failed(measurements) or [one for one in measurements if one.input] or measurements
                report.sections.append((_TITLE, "\n\n".join(map(terminal.section, told))))
        elif call.when == "call" and report.failed and self._running is not None and self._running.kept is not None:
            report.sections.append((_TITLE, f"AlphaFold 3 input: {self._running.kept}"))
        report.af3mem_ours = measures(item, getattr(item, "fixturenames", ()))  # type: ignore[attr-defined]
        return report

    def measure(
        self, job: Job | None, size: int | None, target: str | None, method: str | None, options: Mapping[str, Any]
    ) -> Peak:
        """What `gpu_peak` does. Raises UsageError, or NotJudged with the whole line."""
        running, request, generated = self._asked(job, size, target, method, options)
        running.asked[request] = generated
        try:
            peak = self._answer(running, request)
        except NotJudged as error:
            raise NotJudged(unmeasured(error, request.conditions).line) from error
        if _is_in_hypothesis():  # which then looks for the smallest job that is over
            for one in terminal.failed(self._held(running, request, peak)):
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
    ) -> tuple[_Running, Request, _Generated | None]:
        """The running test, what it asks for, noted as the last, and how that came about."""
        running = self._running
        if running is None:
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
                generated = _Generated(size, freeze(options))
            else:
                generated = self._generated(running)
                if generated is None:
                    raise UsageError("gpu_peak() needs a size: gpu_peak(tokens=512), or mark the test with af3_tokens(512)")
                generated = dataclasses.replace(generated, options=freeze({**dict(generated.options), **options}))
        request = self._request(running, job, generated, target or running.marks.target, method)
        running.last = request
        return running, request, generated

    def _start(self, item: pytest.Item) -> _Running:
        return _Running(item, marks.read(item.iter_markers(), getattr(item, "fixturenames", ())))

    def _generated(self, running: _Running) -> _Generated | None:
        """The job that `af3_tokens` gives this test."""
        callspec = getattr(running.item, "callspec", None)
        size = callspec.params.get("af3_tokens") if callspec else None
        return None if size is None else _Generated(size, running.marks.job)

    def _request(
        self, running: _Running, job: Job | None, generated: _Generated | None, target: str | None, method: str | None = None
    ) -> Request:
        size, options = (generated.size, dict(generated.options)) if generated else (None, None)
        settings = dict(running.marks.settings)
        return self.session.request(job, size=size, options=options, target=target, method=method, settings=settings)

    def _marked(self, running: _Running) -> dict[Request, _Generated]:
        """What the markers alone ask to be measured: the size of `af3_tokens` for the target of each budget."""
        generated = self._generated(running)
        if generated is None:
            return {}
        targets = {budget.target for budget in running.marks.budgets} or {None}
        return {self._request(running, None, generated, target): generated for target in targets}

    def _complete(self, running: _Running) -> None:
        """Measures what the test's markers ask for and its body did not."""
        try:
            running.asked.update(self._marked(running))
        except Af3memError as error:
            raise failed_test(str(error)) from None
        if not running.asked:
            what = "budget" if running.marks.budgets else "baseline"
            raise failed_test(f"GPU peak not judged: the test has a {what}, but it never called gpu_peak")
        for request in list(running.asked):
            for budget in running.marks.budgets:
                asked = dataclasses.replace(request, target=budget.target or request.target)
                running.asked.setdefault(asked, running.asked[request])
        for request in running.asked:
            with contextlib.suppress(NotJudged):
                self._answer(running, request)

    def _answer(self, running: _Running, request: Request) -> Peak:
        if request not in running.answers:
            try:
                running.answers[request] = self.session.wait(self.session.pool.submit(request), self._show)
            except Af3memError as error:
                running.answers[request] = error if isinstance(error, NotJudged) else NotJudged(str(error))
            finally:
                self._show("")
        answer = running.answers[request]
        if isinstance(answer, NotJudged):
            raise answer
        return answer

    def _held(self, running: _Running, request: Request, answer: Peak | NotJudged) -> list[Measurement]:
        """An answer against the budgets for its target, those that name it or else those that name none, and the baseline."""
        budgets = running.marks.budgets
        meant = [budget for budget in budgets if budget.target == request.target] or [
            budget for budget in budgets if budget.target is None
        ]
        memory_bytes = gpus.find(request.target).memory_bytes
        limits: list[int | None] = [budget.size.of(memory_bytes) for budget in meant]
        reference = self._reference(running, request, answer)
        generated = running.asked[request]
        command = self.session.command(request, size=generated.size, options=generated.options) if generated else None
        test = running.item.nodeid
        return [
            Measurement.of(test, request, answer, budget_bytes=limit, reference=reference, command=command)
            for limit in limits or [None]
        ]

    def _reference(self, running: _Running, request: Request, answer: Peak | NotJudged) -> Reference | None:
        """What the baseline says of an answer, for tests that are held against it."""
        if running.marks.baseline is None:
            return None
        if self.against:
            return self.against.reference(running.item.nodeid, request, answer, running.marks.baseline.tolerance)
        if self.keeping is None:
            return Reference(None, "no baseline to hold it against: name the file with --af3-baseline FILE")
        return self.keeping.reference(running.item, answer, request.method, running.marks.baseline.tolerance)

    def _judged(self, running: _Running, raised: bool) -> list[Measurement]:
        """All answers, judged. Where the test fails, the input of the last that it asked for, or that failed, is kept."""
        held = {request: self._held(running, request, answer) for request, answer in running.answers.items()}
        failed = [request for request, found in held.items() if terminal.failed(found)]
        culprit = running.last if running.last in failed or (raised and not failed) else failed[-1] if failed else None
        if culprit is not None:
            folder = self.session.settings.folder
            running.kept = inputs.keep(culprit.job, folder, running.item.nodeid)
            command = self.session.command(culprit, job=running.kept)
            held[culprit] = [
                dataclasses.replace(one, input=str(running.kept), command=one.command or command) for one in held.get(culprit, ())
            ]
        return [measurement for found in held.values() for measurement in found]

    def _show(self, text: str) -> None:
        """Progress on one line that is written over; on terminals only."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        if reporter is None or not reporter.isatty:
            return
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            if text and not self._progress_shown:
                reporter.ensure_newline()
            if text or self._progress_shown:
                reporter.rewrite(f"af3mem: {text}" if text else "", erase=True)
        self._progress_shown = bool(text)

    # After the tests

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._measurements += map(Measurement.from_json, getattr(report, "af3mem", ()))
        if report.failed and getattr(report, "af3mem_ours", False):
            self._failures.append(Failure.of(report, self._config.rootpath))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        notes = [*self._notes, *self.session.pool.notes]
        notes += self.keeping.note(self._measurements) if self.keeping else ()
        if self._measurements or notes:
            terminalreporter.section(_TITLE)
            table = [*terminal.table(self._measurements), *witnesses.summary(self._measurements)] if self._measurements else []
            table += comparison.versions(self._measurements)
            for line in [*table, *calibration.beside(self._measurements, self.session.settings.cache_dir), *notes]:
                terminalreporter.line(line)
            for path in self._written:
                terminalreporter.line(f"report: {path}")
        for line in annotate(self._failures, self._config.rootpath, os.environ):
            terminalreporter.line(line)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_xdist_worker:
            session.config.workeroutput["af3mem_notes"] = self.session.pool.notes  # type: ignore[attr-defined]
        elif not session.config.option.collectonly:
            buckets = self.session.buckets if self.described else ()
            self._written, lost = write(self.session.settings, self._measurements, self._failures, buckets)
            if lost and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            self._notes += [*lost, *summarize(self._measurements, self._failures, os.environ)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker of its is done."""
        self._notes += getattr(node, "workeroutput", {}).get("af3mem_notes", ())

    def pytest_unconfigure(self) -> None:
        if self.against:
            self.against.close()
        self.session.close()
