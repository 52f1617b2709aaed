"""What the plugin does in a session with `--af3-baseline`: looks entries up, and finds orphans; updates the file if asked to."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Generator, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_af3mem.errors import Af3memError, UsageError
from pytest_af3mem.gpus.size import EXACT, Size
from pytest_af3mem.plugin.fullness import Run, covers, why_partial
from pytest_af3mem.records import baseline
from pytest_af3mem.records.baseline import Baseline, Entry
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.verdict import Reference
from pytest_af3mem.session.settings import OPTIONS, Settings
from pytest_af3mem.storage.document import Node

_TOLERANCE_OF_RUNS = Size(percent=Decimal(1))  # a compiled program needs what it needs; a run depends on its GPU's state
_REPORTS = {"json", "markdown", "html"}
_COLLECTING = {"norecursedirs", "python_classes", "python_files", "python_functions", "testpaths"}  # settings of pytest


@dataclasses.dataclass
class _Attempt:
    """What one attempt at a test would enter, if it passes; `steady` is a test that measures the same each time."""

    entries: list[Entry] = dataclasses.field(default_factory=list)
    passed: bool = True
    steady: bool = True


class BaselineHooks:
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
        self._folder = self._place.resolve().parent
        self._collected: set[str] = set()
        self._modules: set[Path] = set()
        self._left_out = 0
        self._narrowed = _narrowed(config)
        self._running: dict[str, _Attempt] = {}
        self._ran: set[str] = set()
        self._passed: dict[str, bool] = {}  # whether the test measures the same each time
        self._refused: set[str] = set()
        self._measured: list[Entry] = []
        self._scopes: set[tuple[str, str, str]] = set()

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
        found = self._baseline.find(measured) or self._baseline.find(self._before(measured))
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
        file, colons, name = self._bare(item.nodeid).partition("::")
        folder = self._config.invocation_params.dir
        words = ["pytest", f"{os.path.relpath(self._config.rootpath / file, folder)}{colons}{name}"]
        if self._config.getoption("af3_gpu"):
            words.append("--af3-gpu")
        for option in OPTIONS:
            value = self._config.getoption(f"af3_{option.name}")
            if value and option.name not in _REPORTS:
                words.append(f"{option.flag}={value}" if option.metavar else option.flag)
        return shlex.join([*words, "--af3-update-baseline"])

    @cached_property
    def _prefix(self) -> str:
        """The way from the baseline down to pytest's rootdir: packages with an ini file of their own may share a baseline."""
        root = self._config.rootpath.resolve()
        if root == self._folder or not root.is_relative_to(self._folder):
            return ""
        return f"{root.relative_to(self._folder).as_posix()}/"

    def _name(self, test: str) -> str:
        """A test as the baseline names it: as pytest does, from the baseline's folder where that is above pytest's rootdir."""
        file, colons, name = self._bare(test).partition("::")
        return f"{os.path.normpath(self._prefix + file) if self._prefix else file}{colons}{name}"

    def _before(self, entry: Entry) -> Entry:
        """The same by the name that was once given where tests are now named from the baseline's folder."""
        return dataclasses.replace(entry, test=entry.test.removeprefix(self._prefix))

    def _bare(self, test: str) -> str:
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
        self._left_out += len(before - {self._bare(item.nodeid) for item in items} - {item.nodeid for item in items})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.passed:
            self._modules.add(self._path(self._config.rootpath / report.nodeid.partition("::")[0]))
        else:
            self._narrowed.append(f"{report.nodeid or 'a module'} was not collected")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected |= {self._name(item.nodeid) for item in session.items}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._collected |= set(map(self._name, ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, "context"):  # of a subtest, which is a part of a test that has reports of its own
            return
        test = self._name(report.nodeid)
        if report.when == "setup":
            self._running[test] = _Attempt()
        attempt = self._running.setdefault(test, _Attempt())
        if ridden := getattr(report, "af3mem_baseline", None):
            attempt.entries += [Entry.read(Node(entry)) for entry in ridden["entries"]]
            attempt.steady = ridden["steady"]
        attempt.passed &= report.passed and not hasattr(report, "wasxfail")
        if report.when == "teardown":  # a test that was broken off has none
            self._end(test, self._running.pop(test))

    def _end(self, test: str, attempt: _Attempt) -> None:
        """Takes what a test measured that passed in all its phases."""
        self._ran.add(test)
        self._scopes |= {entry.scope for entry in attempt.entries}
        if attempt.passed:
            self._passed[test] = attempt.steady
            self._measured += attempt.entries
            self._refused.discard(test)
        elif attempt.entries:
            self._refused.add(test)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker of its is done, or dead, which leaves no output."""
        found = getattr(node, "workeroutput", {}).get("af3mem_collected")
        if found is None:
            self._narrowed.append("a worker of pytest-xdist died")
        else:
            self._narrowed += found["narrowed"]
            self._left_out = max(self._left_out, found["left_out"])
            self._modules |= set(map(Path, found["modules"]))

    # After the tests

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._is_xdist_worker:
            found = {"narrowed": self._narrowed, "left_out": self._left_out, "modules": [*map(str, self._modules)]}
            session.config.workeroutput["af3mem_collected"] = found  # type: ignore[attr-defined]
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
                if why_partial(self._run) is None
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
        partial = why_partial(self._run)
        before, after = baseline.change(
            self._place,
            lambda found: found.updated(self._measured, [*self._renamed(), *(() if partial else self._unused(found))]),
        )
        new, gone = after.by_key.keys() - before.by_key.keys(), before.by_key.keys() - after.by_key.keys()
        changed = [key for key in after.by_key.keys() & before.by_key.keys() if _text(after, key) != _text(before, key)]
        counts = ((len(new), "new"), (len(changed), "changed"), (len(gone), "removed"))
        told = ", ".join(f"{count} {what}" for count, what in counts if count)
        self.notes.append(f"baseline: {self.path} has {_entries(after)}: {told or 'nothing changed'}")
        self.notes += [f"baseline: {test} did not pass, so its entries stay as they are" for test in sorted(self._refused)]
        if partial and (unused := self._unused(before)):
            self.notes.append(f"baseline: {len(unused)} not used by this run, and kept, for the run was not full: {partial}")

    @cached_property
    def _run(self) -> Run:
        """What the run was, once it is over."""
        folder = self._config.invocation_params.dir
        return Run(
            told=frozenset(self._path(folder / argument) for argument in self._config.args if "::" not in argument),
            modules=frozenset(self._modules),
            collected=frozenset(self._collected),
            ran=frozenset(self._ran),
            left_out=self._left_out,
            narrowed=tuple(self._narrowed),
        )

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
            and covers(self._run, self._file(entry.test))
            and (entry.test not in self._collected or self._passed.get(entry.test, False))
        ]

    def _renamed(self) -> list[Entry]:
        """What was measured by the names of before, which belong to nobody else."""
        names = [self._before(entry) for entry in self._measured if self._prefix]
        return [entry for entry in names if not (self._folder / entry.test.partition("::")[0]).exists()]

    def _file(self, test: str) -> Path:
        """The file of a test that the baseline names."""
        return self._path((self._folder if self._prefix else self._config.rootpath) / test.partition("::")[0])

    def _path(self, path: Path) -> Path:
        return Path(os.path.realpath(path))


def _narrowed(config: pytest.Config) -> list[str]:
    """Options that keep tests from being collected."""
    option = config.option
    found = []
    if getattr(option, "lf", False) or getattr(option, "ignore", None) or getattr(option, "ignore_glob", None):
        found.append("--last-failed or --ignore was given")
    names = [stated.partition("=")[0] for stated in getattr(option, "override_ini", None) or ()]
    return found + [f"-o {name}=... was given" for name in names if name in _COLLECTING]


def _entries(found: Baseline) -> str:
    return f"{len(found.entries)} entr{'y' if len(found.entries) == 1 else 'ies'}"


def _text(found: Baseline, key: Any) -> object:
    return found.by_key[key].to_json()
