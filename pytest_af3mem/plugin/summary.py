"""What a session with `--af3-gpu` says: its header, its reports, and the summary at the end of the run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import shown
from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.models.alphafold3_config import default_attention
from pytest_af3mem.plugin.baseline import BaselineHooks
from pytest_af3mem.plugin.results import TITLE, Attached, Results, with_section
from pytest_af3mem.records import calibration
from pytest_af3mem.records.measurement import not_passed
from pytest_af3mem.reports import agreement, growth, terminal
from pytest_af3mem.reports.failures import brief
from pytest_af3mem.reports.write import annotate, summarize, write
from pytest_af3mem.session.session import Session


class Summary:
    """Hooks that report. `notes` are lines for the end of the run."""

    def __init__(self, config: pytest.Config, session: Session, baseline: BaselineHooks | None, notes: list[str]):
        self._config = config
        self._session = session
        self._baseline = baseline
        self._notes = notes
        self._results = Results()
        self._said: dict[str, str] = {}  # what sections of failures said, and of which test
        self._written: list[Path] = []
        self._started_in = Path.cwd()  # a test may change it

    def pytest_report_header(self) -> list[str]:
        gpu = gpus.find(self._session.settings.target)
        major, minor = gpu.compute_capability
        workers = self._session.pool.workers
        lines = [
            f"af3mem: {self._session.method(gpu.name)} for {gpu.name} (sm_{major}{minor}, {format_bytes(gpu.memory_bytes)}), "
            f"{workers} worker{'s' if workers > 1 else ''}"
        ]
        if not self._config.option.collectonly:
            found = self._session.installation
            parts = [found.distribution]
            parts += [f"{name} {found.software[name]}" for name in ("jax", "tokamax") if name in found.software]
            parts.append(found.software["cuda_plugin"])
            if found.model == AlphaFold3.name:
                parts.append(f"attention by {default_attention(gpu.compute_capability)} unless a test says otherwise")
            lines.append(shown(f"af3mem: {', '.join(parts)}"))
            if told := self._session.flags_in_effect:
                lines.append(shown(f"af3mem: {told}"))
        return lines

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._results.add(report, self._config.rootpath)
        if report.failed:
            bodies = [body for one in with_section(Attached.read(report).measurements) if (body := terminal.body(one))]
            report.sections[:] = [
                (title, terminal.once(text, bodies, report.nodeid, self._said) if title == TITLE else text)
                for title, text in report.sections
            ]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self._config, "workerinput"):
            session.config.workeroutput["af3mem_notes"] = [*self._notes, *self._session.notes]  # type: ignore[attr-defined]
        elif not self._config.option.collectonly:
            measurements, failures = self._results.measurements, self._results.failures
            self._written, lost = write(self._session.settings, measurements, failures, self._session.buckets, self._started_in)
            if lost and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            self._notes += [*lost, *summarize(measurements, failures, os.environ)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist is done."""
        self._notes += getattr(node, "workeroutput", {}).get("af3mem_notes", ())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        measurements = self._results.measurements
        notes = [*self._notes, *self._session.notes]
        notes += self._baseline.note(measurements) if self._baseline else ()
        if measurements or notes:
            terminalreporter.section(TITLE)
            table = [*terminal.table(measurements), *agreement.summary(measurements)] if measurements else []
            table += growth.versions(measurements)
            table += calibration.beside(measurements, self._session.settings.cache_dir)
            for line in [*table, *notes, *(f"report: {path}" for path in self._written)]:
                terminalreporter.line(shown(line))
        for line in annotate(self._results.failures, self._config.rootpath, os.environ):
            terminalreporter.line(line)
        for report in (*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")):
            _abridge(report)


def _abridge(report: pytest.TestReport) -> None:
    """Lets the line of a failed test in pytest's short summary begin with the difference, where a verdict failed it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    failed = not_passed(Attached.read(report).measurements)
    if crash and failed and failed[0].verdict and failed[0].verdict.line in crash.message:
        crash.message = brief(failed[0])
