"""What the plugin does in a session with `--af3-baseline`: looks entries up, and finds orphans; updates the file if asked to."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem import baseline
from pytest_af3mem.baseline import Baseline, Entry
from pytest_af3mem.errors import Af3memError, UsageError
from pytest_af3mem.inputs.document import Node
from pytest_af3mem.peak import Peak
from pytest_af3mem.settings import OPTIONS, Settings
from pytest_af3mem.size import EXACT, Size
from pytest_af3mem.verdict import Measurement, Reference

_TOLERANCE_OF_RUNS = Size(percent=Decimal(1))  # a compiled program needs what it needs; a run depends on its GPU's state
_REPORTS = {"json", "markdown", "html"}


class Keeping:
    """Hooks of a session with a baseline. Entries ride on the reports of tests, and the process that gets all reports writes."""

    def __init__(self, config: pytest.Config, settings: Settings):
        assert settings.baseline is not None
        self.path = settings.baseline
        self.notes: list[str] = []
        self._config = config
        self._settings = settings
        self._place = self.path.absolute()  # for a test may change the folder
        self._baseline = baseline.read(self._place)
        self._is_xdist_worker = hasattr(config, "workerinput")
        if not self._place.parent.is_dir():
            raise UsageError(f"baseline {str(self.path)!r}: its folder does not exist")
        if settings.update_baseline and not os.access(self._place.parent, os.W_OK):
            raise UsageError(f"baseline {str(self.path)!r}: its folder cannot be written")
        self._collected: set[str] = set()
        self._ran: set[str] = set()
        self._passed: dict[str, bool] = {}  # whether the test measures the same each time
        self._refused: set[str] = set()
        self._measured: list[Entry] = []
        self._scopes: set[tuple[str, str, str]] = set()
        self._partial: str | None = None

    # During a test

    def reference(self, item: pytest.Item, answer: object, method: str, tolerance: Size | None) -> Reference:
        """What an answer for a test with `af3_baseline` is held against."""
        if tolerance is None:
            tolerance = self._settings.tolerance
        if tolerance is None:
            tolerance = _TOLERANCE_OF_RUNS if method == "run" else EXACT
        if not isinstance(answer, Peak):
            return Reference(None, tolerance=tolerance)
        measured = Entry.of(self._name(item.nodeid), answer)
        found = self._baseline.find(measured)
        return Reference(
            entry=found,
            reason=None if found else self._baseline.why_none(measured),
            tolerance=tolerance,
            accepting=self._settings.update_baseline,
            accept=self._accept(item),
        )

    def ride(self, report: pytest.TestReport, item: pytest.Item, measurements: Sequence[Measurement]) -> None:
        """Puts on the report of a test with `af3_baseline` what it would enter."""
        measured = Baseline().updated(Entry.of(self._name(item.nodeid), one.peak) for one in measurements if one.peak)
        # Hypothesis draws other sizes each time, so that what such a test did not measure is no orphan.
        steady = not getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        report.af3mem_baseline = {"entries": [entry.to_json() for entry in measured.entries], "steady": steady}  # type: ignore[attr-defined]

    def _accept(self, item: pytest.Item) -> str:
        file, colons, name = self._name(item.nodeid).partition("::")
        folder = self._config.invocation_params.dir
        words = ["pytest", f"{os.path.relpath(self._config.rootpath / file, folder)}{colons}{name}"]
        if self._config.getoption("af3_gpu"):
            words.append("--af3-gpu")
        for option in OPTIONS:
            value = self._config.getoption(f"af3_{option.name}")
            if value and option.name not in _REPORTS:
                words.append(f"{option.flag}={value}" if option.metavar else option.flag)
        return shlex.join([*words, "--af3-update-baseline"])

    def _name(self, test: str) -> str:
        """A test's name without what pytest-xdist adds to it with `--dist loadgroup`."""
        if getattr(self._config.option, "dist", "no") == "loadgroup" and test.rfind("@") > max(test.rfind("]"), test.find("::")):
            return test.rpartition("@")[0]
        return test

    # What the run was

    def pytest_report_header(self) -> str:
        state = _entries(self._baseline) if self._place.exists() else "does not exist yet"
        return f"af3mem: baseline {self.path}, {state}{', is updated' if self._settings.update_baseline else ''}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        """Notices tests that are left out by -k, -m, --deselect, a shard, ..., whoever does it."""
        before = {item.nodeid for item in items}
        yield
        left_out = len(before - {self._name(item.nodeid) for item in items} - {item.nodeid for item in items})
        if left_out:
            self._partial = f"{left_out} test{'s were' if left_out > 1 else ' was'} left out"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._partial = f"{report.nodeid or 'a module'} was not collected"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected |= {self._name(item.nodeid) for item in session.items}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._collected |= set(map(self._name, ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._name(report.nodeid)
        if report.when == "teardown":  # a test that was broken off has none
            self._ran.add(test)
        if report.when != "call":
            return
        ridden = getattr(report, "af3mem_baseline", None)
        entries = [Entry.read(Node(entry)) for entry in ridden["entries"]] if ridden else []
        self._scopes |= {entry.scope for entry in entries}
        if report.passed and not hasattr(report, "wasxfail"):
            self._passed[test] = ridden["steady"] if ridden else True
            self._measured += entries
            self._refused.discard(test)
        elif ridden:
            self._refused.add(test)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker of its is done, or dead, which leaves no output."""
        self._partial = self._partial or getattr(node, "workeroutput", {}).get("af3mem_partial", "a worker of pytest-xdist died")

    # After the tests

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_xdist_worker:
            session.config.workeroutput["af3mem_partial"] = self._partial  # type: ignore[attr-defined]
            return
        if self._config.option.collectonly:
            return
        if self._settings.update_baseline:
            try:
                self._update()
            except Af3memError as error:
                self.notes.append(str(error))
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        else:
            self.notes += [
                f"orphan in {self.path}: {entry.test} {entry.conditions} is used by no test; --af3-update-baseline removes it"
                for entry in self._unused(self._baseline)
                if self._why_partial() is None
            ]

    def note(self, measurements: Sequence[Measurement]) -> list[str]:
        """Lines about the baseline for the end of the run."""
        improved = {
            (one.test, one.bucket, one.target): f"{one.test}: {one.verdict.line}"
            for one in measurements
            if one.verdict and one.verdict.improved
        }
        return [*improved.values(), *self.notes]

    def _update(self) -> None:
        """Enters what passing tests measured. Entries that no test uses are removed after a full run only."""
        partial = self._why_partial()
        before, after = baseline.change(
            self._place, lambda found: found.updated(self._measured, () if partial else self._unused(found))
        )
        new, gone = after.by_key.keys() - before.by_key.keys(), before.by_key.keys() - after.by_key.keys()
        changed = [key for key in after.by_key.keys() & before.by_key.keys() if _text(after, key) != _text(before, key)]
        counts = ((len(new), "new"), (len(changed), "changed"), (len(gone), "removed"))
        told = ", ".join(f"{count} {what}" for count, what in counts if count)
        self.notes.append(f"baseline: {self.path} has {_entries(after)}: {told or 'nothing changed'}")
        self.notes += [f"baseline: {test} did not pass, so its entries stay as they are" for test in sorted(self._refused)]
        if partial and (unused := self._unused(before)):
            self.notes.append(f"baseline: {len(unused)} not used by this run, and kept, for the run was not full: {partial}")

    def _unused(self, found: Baseline) -> list[Entry]:
        """Entries of this run's files, targets, methods and models that no test of it used.

        A test that failed or was skipped might have used its entries, and so might one under Hypothesis.
        """
        used = {entry.key for entry in self._measured}
        return [
            entry
            for entry in found.entries
            if entry.key not in used
            and entry.scope in self._scopes
            and self._covers(entry.test)
            and (entry.test not in self._collected or self._passed.get(entry.test, False))
        ]

    def _covers(self, test: str) -> bool:
        """Whether the file of a test is in what pytest was told to run; a part of a file is not the file."""
        file = Path(os.path.normpath(self._config.rootpath / test.partition("::")[0]))
        folder = self._config.invocation_params.dir
        stated = [Path(os.path.normpath(folder / argument)) for argument in self._config.args if "::" not in argument]
        return any(file.is_relative_to(path) for path in stated)

    def _why_partial(self) -> str | None:
        """Why the run is not full: tests that exist may not have run. None where it is."""
        option = self._config.option
        if getattr(option, "lf", False) or getattr(option, "ignore", None) or getattr(option, "ignore_glob", None):
            return "--last-failed or --ignore was given"
        if missed := len(self._collected - self._ran):
            return f"{missed} test{'s' if missed > 1 else ''} did not run"
        return self._partial


def _entries(found: Baseline) -> str:
    return f"{len(found.entries)} entr{'y' if len(found.entries) == 1 else 'ies'}"


def _text(found: Baseline, key: Any) -> object:
    return found.by_key[key].to_json()
