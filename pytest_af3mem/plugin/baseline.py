"""What the plugin does in a session with `--af3-baseline`: looks entries up, and finds orphans; updates the file if asked to."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem.errors import Af3memError, UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.plugin.accepting import Ending, count
from pytest_af3mem.plugin.full_run import Ran, Run
from pytest_af3mem.plugin.results import Attached
from pytest_af3mem.records.baseline import Baseline, Entry, usual_tolerance
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.verdict import Outcome, Reference
from pytest_af3mem.session.settings import OPTIONS, Settings

_WRITTEN = {"json", "markdown", "html", "new_baseline"}  # which the command that accepts a peak has no need of
_COLLECTING = {"norecursedirs", "python_classes", "python_files", "python_functions", "testpaths"}  # settings of pytest


class BaselineHooks:
    """Hooks of a session with a baseline. The process that gets all reports of tests writes the file."""

    def __init__(self, config: pytest.Config, settings: Settings):
        assert settings.baseline is not None
        self.path = settings.baseline
        self.notes: list[str] = []
        self._config = config
        self._settings = settings
        self._place = self.path.absolute()  # for a test may change the folder
        self._new = settings.new_baseline_file
        self._new_place = self._new and self._new.absolute()
        self._copy = shlex.join(["cp", str(self._new), str(self.path)]) if self._new else None
        self._baseline = baseline_file.read(self._place)
        if not self._place.parent.is_dir():
            raise UsageError(f"baseline {str(self.path)!r}: its folder does not exist")
        if settings.update_baseline and not os.access(self._place.parent, os.W_OK):
            raise UsageError(f"baseline {str(self.path)!r}: its folder cannot be written")
        grouped = getattr(config.option, "dist", "no") == "loadgroup"
        self._names = baseline_file.Names(config.rootpath.resolve(), self._place.resolve().parent, grouped)
        self._run = Run(narrowed=_narrowed(config))
        self._running: dict[str, Ran] = {}

    def reference(self, item: pytest.Item, request: Request, peak: Peak, tolerance: Size | None) -> Reference:
        """The entry that a peak is compared with, or why there is none."""
        measured = Entry.of(self._names.name(item.nodeid), peak, dict(request.settings))
        found = self._baseline.find(measured) or self._baseline.find(self._names.earlier(measured))
        return Reference(
            entry=found,
            reason=None if found else self._baseline.why_none(measured),
            tolerance=tolerance or usual_tolerance(request.method),
            tolerance_below=self._settings.tolerance_below,
            accepting=self._settings.update_baseline,
            accept=_accept(self._config, self._names.plain(item.nodeid)),
            accept_all=self._copy,
        )

    def note(self, measurements: Sequence[Measurement]) -> list[str]:
        """Lines about the baseline for the end of the run."""
        judged = [(one, one.verdict) for one in measurements if one.verdict and one.verdict.outcome is not Outcome.BELOW]
        improved = [(one, verdict.line) for one, verdict in judged if verdict.improved]
        last = {(one.test, one.bucket, one.function, one.target): f"{one.test}: {line}" for one, line in improved}
        return [*last.values(), *self.notes]

    # What is collected

    def pytest_report_header(self) -> str:
        state = count(self._baseline) if self._place.exists() else "does not exist yet"
        return f"af3mem: baseline {self.path}, {state}{', is updated' if self._settings.update_baseline else ''}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        """Notices tests that are left out by -k, -m, --deselect, a shard, ..., whoever does it."""
        before = {item.nodeid for item in items}
        yield
        after = {item.nodeid for item in items}
        self._run.left_out += len(before - after - {self._names.plain(nodeid) for nodeid in after})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.passed:
            self._run.modules.add(_real(self._config.rootpath / report.nodeid.partition("::")[0]))
        else:
            self._run.narrowed.append(f"{report.nodeid or 'a module'} was not collected")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._run.collected |= {self._names.name(item.nodeid) for item in session.items}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._run.collected |= set(map(self._names.name, ids))

    # What runs

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._names.name(report.nodeid)
        if report.when == "setup":
            self._running[test] = Ran(test)
        attempt = self._running.setdefault(test, Ran(test))
        if hasattr(report, "context"):  # of a subtest, a part of a test whose own report may pass all the same
            if report.failed:
                attempt.passed = attempt.acceptable = False
            return
        attached = Attached.read(report)
        if attached.for_baseline:
            measured = [Entry.of(test, one.peak, one.settings) for one in attached.measurements if one.peak]
            attempt.entries += Baseline().updated(measured).entries
            attempt.steady = attached.is_steady
        expected = not hasattr(report, "wasxfail")
        attempt.passed &= report.passed and expected
        attempt.acceptable &= (report.passed or attached.acceptable) and expected
        if report.when == "teardown":  # a test that was broken off has none
            self._run.attempts.append(self._running.pop(test))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist is done, or dead, which leaves no output."""
        found = getattr(node, "workeroutput", {}).get("af3mem_collected")
        if found is None:
            self._run.narrowed.append("a worker of pytest-xdist died")
        else:
            self._run.narrowed += found["narrowed"]
            self._run.left_out = max(self._run.left_out, found["left_out"])
            self._run.modules |= set(map(Path, found["modules"]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        run, config = self._run, self._config
        if hasattr(config, "workerinput"):
            found = {"narrowed": run.narrowed, "left_out": run.left_out, "modules": [*map(str, run.modules)]}
            config.workeroutput["af3mem_collected"] = found  # type: ignore[attr-defined]
            return
        if config.option.collectonly:
            return
        run.places = {_real(config.invocation_params.dir / argument) for argument in config.args if "::" not in argument}
        ending = Ending(run, self._names, self.path, self._place)
        try:
            self.notes += ending.update() if self._settings.update_baseline else ending.left(self._baseline)
            if self._new and self._new_place and self._copy:
                self.notes += ending.offer(self._new, self._new_place, self._copy)
        except Af3memError as error:
            self.notes.append(str(error))
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def _accept(config: pytest.Config, test: str) -> str:
    """The command that makes what a test measures the new baseline."""
    file, colons, name = test.partition("::")
    words = ["pytest", f"{os.path.relpath(config.rootpath / file, config.invocation_params.dir)}{colons}{name}"]
    if config.getoption("af3_gpu"):
        words.append("--af3-gpu")
    for option in OPTIONS:
        value = config.getoption(f"af3_{option.name}")
        if value and option.name not in _WRITTEN:
            words.append(f"{option.flag}={value}" if option.metavar else option.flag)
    return shlex.join([*words, "--af3-update-baseline"])


def _narrowed(config: pytest.Config) -> list[str]:
    """Options that keep tests from being collected."""
    option = config.option
    found = []
    if getattr(option, "lf", False) or getattr(option, "ignore", None) or getattr(option, "ignore_glob", None):
        found.append("--last-failed or --ignore was given")
    names = [setting.partition("=")[0] for setting in getattr(option, "override_ini", None) or ()]
    return found + [f"-o {name}=... was given" for name in names if name in _COLLECTING]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
