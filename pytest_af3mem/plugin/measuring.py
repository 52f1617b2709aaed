"""What the plugin does in a session with `--af3-gpu`: measures, judges, reports."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError, shown
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.alphafold3 import AlphaFold3, default_attention
from pytest_af3mem.plugin.against import Against
from pytest_af3mem.plugin.asking import Answering, start
from pytest_af3mem.plugin.attempt import Attempt
from pytest_af3mem.plugin.baseline import BaselineHooks
from pytest_af3mem.plugin.fixture import GpuPeak, explain, failed_test
from pytest_af3mem.plugin.markers import measures
from pytest_af3mem.plugin.progress import Progress
from pytest_af3mem.plugin.results import Results
from pytest_af3mem.records import calibration
from pytest_af3mem.records.measurement import not_passed
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Reference
from pytest_af3mem.reports import agreement as agreement_report
from pytest_af3mem.reports import growth, junit, terminal
from pytest_af3mem.reports.write import annotate, summarize, write
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

_TITLE = "GPU memory of AlphaFold 3"


class Measuring:
    """Hooks of a session with `--af3-gpu`."""

    def __init__(self, config: pytest.Config, settings: Settings):
        self._config = config
        self._is_xdist_worker = hasattr(config, "workerinput")
        if self._is_xdist_worker and settings.workers is None:
            settings = dataclasses.replace(settings, workers=1)  # pytest-xdist already runs several of us
        self.keeping = BaselineHooks(config, settings) if settings.baseline else None
        if settings.update_baseline and self.keeping is None:
            raise UsageError("--af3-update-baseline needs to know the file: --af3-baseline FILE")
        if settings.against and self.keeping:
            raise UsageError("--af3-against and --af3-baseline both say what tests are held against: leave one out")
        self.against = Against(settings) if settings.against else None
        self.session = Session(settings)
        self._tests = Answering(self.session, Progress(config), self._reference)
        self.gpu_peak = GpuPeak(self._tests)
        self.described = False
        self._results = Results()
        self._told: dict[str, str] = {}  # what sections of failures said, and of which test
        self._written: list[Path] = []

    # Before the tests

    def pytest_sessionstart(self) -> None:
        if self._config.option.collectonly:
            return
        try:
            self.described = bool(self.session.installation)
        except Af3memError as error:
            raise pytest.UsageError(shown(str(error))) from None

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
            lines.append(shown(f"af3mem: {', '.join(parts)}"))
        return lines

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Starts what the collected tests will need, so that no core idles while pytest walks the tests."""
        if self._config.option.collectonly or self._is_xdist_worker:
            return
        for item in session.items:
            names = {mark.name for mark in item.iter_markers()}
            if "af3_tokens" in names and not names & {"skip", "skipif"}:
                with contextlib.suppress(Af3memError):  # the test will say it
                    for request in self._tests.marked(start(item)):
                        self.session.pool.submit(request)

    # During a test

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        self._tests.running = None
        item.user_properties[:] = junit.replaced(item.user_properties, ())
        try:
            self._tests.running = start(item)
        except Af3memError as error:  # of a marker that was added after collection
            raise failed_test(str(error)) from None
        with self._judging(self._tests.running, "setup"):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        assert self._tests.running is not None
        with self._judging(self._tests.running, "call"):
            yield

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        if self._tests.running is None:
            yield
            return
        with self._judging(self._tests.running, "teardown"):
            yield

    @contextlib.contextmanager
    def _judging(self, attempt: Attempt, when: str) -> Iterator[None]:
        """Judges at the end of a phase what was measured and not judged yet; after a setup that went well, the call does it."""
        raised, is_over = True, True
        try:
            yield
            is_over = when != "setup"
            if when == "call" and attempt.is_limited:
                self._tests.complete(attempt)
            if is_over:
                self._tests.answer_all(attempt)
            raised = False
        except pytest.skip.Exception:
            raised = False
            raise
        finally:
            if is_over:
                self._tests.judge(attempt, raised)
                attempt.item.user_properties[:] = junit.replaced(attempt.item.user_properties, attempt.rows)
        if failed := not_passed(attempt.told):
            raise failed_test("\n".join(measurement.verdict.line for measurement in failed if measurement.verdict))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Remembers for which test a fixture that outlives it has measured: it will not do so for the next."""
        before = len(self._tests.running.asked) if self._tests.running else 0
        try:
            return (yield)
        finally:
            if self._tests.running and len(self._tests.running.asked) > before and fixturedef.scope != "function":
                self._tests.wide[fixturedef.argname] = f"fixture {fixturedef.argname!r} of scope {fixturedef.scope!r}"
                self._tests.wide[fixturedef.argname] += f" measured once, for {self._tests.running.item.nodeid}"

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """`assert gpu_peak() <= "12 GiB"` fails with the same line as a budget."""
        return explain(op, left, right)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        attempt = self._tests.running
        if attempt is not None and attempt.item is item:
            if attempt.told:
                report.af3mem = [measurement.to_json(None) for measurement in attempt.told]  # type: ignore[attr-defined]
                if self.keeping and attempt.marks.baseline:
                    self.keeping.ride(report, item, attempt.told)
                if report.failed:
                    told = not_passed(attempt.told) or [one for one in attempt.told if one.input] or attempt.told
                    report.sections.append((_TITLE, "\n\n".join(map(terminal.section, told))))
                    report.af3mem_bodies = [body for one in told if (body := terminal.body(one))]  # type: ignore[attr-defined]
            elif report.failed and attempt.kept:
                report.sections.append((_TITLE, f"AlphaFold 3 input: {attempt.kept}"))
            attempt.told, attempt.kept = [], ""
            if call.when == "teardown":
                self._tests.running = None
        report.af3mem_ours = measures(item, getattr(item, "fixturenames", ()))  # type: ignore[attr-defined]
        return report

    def _reference(self, attempt: Attempt, request: Request, answer: Peak | NotJudged) -> Reference | None:
        """What the baseline says of an answer, for tests that are held against it."""
        if attempt.marks.baseline is None:
            return None
        if self.against:
            return self.against.reference(attempt.item.nodeid, request, answer, attempt.marks.baseline.tolerance)
        if self.keeping is None:
            return Reference(None, "no baseline to hold it against: name the file with --af3-baseline FILE")
        return self.keeping.reference(attempt.item, answer, request.method, attempt.marks.baseline.tolerance)

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
        notes = [*self._tests.notes, *self.session.pool.notes]
        notes += self.keeping.note(self._results.measurements) if self.keeping else ()
        if self._results.measurements or notes:
            terminalreporter.section(_TITLE)
            table = (
                [*terminal.table(self._results.measurements), *agreement_report.summary(self._results.measurements)]
                if self._results.measurements
                else []
            )
            table += growth.versions(self._results.measurements)
            for line in [*table, *calibration.beside(self._results.measurements, self.session.settings.cache_dir), *notes]:
                terminalreporter.line(shown(line))
            for path in self._written:
                terminalreporter.line(shown(f"report: {path}"))
        for line in annotate(self._results.failures, self._config.rootpath, os.environ):
            terminalreporter.line(line)
        for report in (*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")):
            self._results.abridge(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_xdist_worker:
            session.config.workeroutput["af3mem_notes"] = [*self._tests.notes, *self.session.pool.notes]  # type: ignore[attr-defined]
        elif not session.config.option.collectonly:
            buckets = self.session.buckets if self.described else ()
            self._written, lost = write(
                self.session.settings, self._results.measurements, self._results.failures, buckets, self._tests.started_in
            )
            if lost and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            self._tests.notes += [*lost, *summarize(self._results.measurements, self._results.failures, os.environ)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker of its is done."""
        self._tests.notes += getattr(node, "workeroutput", {}).get("af3mem_notes", ())

    def pytest_unconfigure(self) -> None:
        if self.against:
            self.against.close()
        self.session.close()
