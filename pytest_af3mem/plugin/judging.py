"""When a test is judged: at the end of each phase. What it measured goes on its report, and fails it where it is over."""

from __future__ import annotations

import contextlib
import dataclasses
import unittest
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from pytest_af3mem.errors import Af3memError
from pytest_af3mem.plugin.asking import Asking, Attempt
from pytest_af3mem.plugin.fixture import explain, failed_test
from pytest_af3mem.plugin.limits import Limits
from pytest_af3mem.plugin.markers import measures
from pytest_af3mem.plugin.results import TITLE, Attached, with_section
from pytest_af3mem.records.measurement import not_passed
from pytest_af3mem.reports import junit, terminal


class Judging:
    """Hooks around each test. `_wide` are fixtures that outlive a test, and for which test they measured."""

    def __init__(self, asking: Asking, limits: Limits):
        self._asking = asking
        self._limits = limits
        self._wide: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Starts what the collected tests will need, so that no core idles while pytest walks the tests."""
        if session.config.option.collectonly or hasattr(session.config, "workerinput"):
            return
        for item in session.items:
            names = {mark.name for mark in item.iter_markers()}
            if "af3_tokens" in names and not names & {"skip", "skipif"}:
                with contextlib.suppress(Af3memError):  # the test will say it
                    for request in self._asking.marked(Attempt.of(item)):
                        self._asking.session.pool.submit(request)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        self._asking.running = None
        item.user_properties[:] = junit.replaced(item.user_properties, ())
        try:
            self._asking.running = Attempt.of(item)
        except Af3memError as error:  # of a marker that was added after collection
            raise failed_test(str(error)) from None
        with self._phase("setup"):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        with self._phase("call"):
            yield

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        with self._phase("teardown"):
            yield

    @contextlib.contextmanager
    def _phase(self, when: str) -> Iterator[None]:
        """Judges at the end of a phase what was measured and not judged yet; after a setup that went well, the call does it."""
        attempt = self._asking.running
        if attempt is None:
            assert when == "teardown"  # after a setup that could not read the markers
            yield
            return
        raised, is_over = True, True
        try:
            yield
            is_over = when != "setup"
            if when == "call" and attempt.marks.ask:
                self._add_marked(attempt)
            if is_over:
                self._asking.answer_all(attempt)
            raised = False
        except pytest.skip.Exception:
            raised = False
            raise
        finally:
            if is_over:
                self._limits.judge_all(attempt, raised)
                judged = [one for measurements in attempt.judged.values() for one in measurements]
                attempt.item.user_properties[:] = junit.replaced(attempt.item.user_properties, judged)
        if failed := not_passed(attempt.measurements):
            attempt.acceptable = all(one.accept_all for one in failed)
            raise failed_test("\n".join(one.verdict.line for one in failed if one.verdict))

    def _add_marked(self, attempt: Attempt) -> None:
        """Adds what the markers ask for and the test did not. The test fails where that, too, is nothing."""
        try:
            for request, origin in self._asking.marked(attempt).items():
                attempt.requests.setdefault(request, origin)
        except Af3memError as error:
            raise failed_test(str(error)) from None
        if not attempt.requests:
            what = "budget" if attempt.marks.budgets else "baseline"
            why = self._why_nothing_measured(attempt)
            raise failed_test(f"GPU peak not judged: the test has a {what}, but it never called gpu_peak{why}")

    def _why_nothing_measured(self, attempt: Attempt) -> str:
        """Empty where it is not known."""
        if attempt.marks.tokens or attempt.marks.up_to:
            if issubclass(getattr(attempt.item, "cls", None) or object, unittest.TestCase):
                return ": af3_tokens has no effect on a method of a unittest.TestCase, which pytest cannot parametrise"
            return ": af3_tokens has no effect on a single parameter; put it on the test, or call gpu_peak(tokens=...)"
        found = [self._wide[name] for name in getattr(attempt.item, "fixturenames", ()) if name in self._wide]
        return f": {found[0]}; with scope 'function' it measures for each test" if found else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Remembers for which test a fixture that outlives it has measured: it will not do so for the next."""
        attempt = self._asking.running
        before = len(attempt.requests) if attempt else 0
        try:
            return (yield)
        finally:
            if attempt and len(attempt.requests) > before and fixturedef.scope != "function":
                fixture = f"fixture {fixturedef.argname!r} of scope {fixturedef.scope!r}"
                self._wide[fixturedef.argname] = f"{fixture} measured once, for {attempt.item.nodeid}"

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """`assert gpu_peak() <= "12 GiB"` fails with the same line as a budget."""
        return explain(op, left, right)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        attached = Attached(is_ours=measures(item, getattr(item, "fixturenames", ())))
        attempt = self._asking.running
        if attempt is not None and attempt.item is item:
            if not attempt.acceptable:  # the test failed by something else, too, so that nothing of it is accepted
                attempt.measurements = [dataclasses.replace(one, accept_all=None) for one in attempt.measurements]
            attached.measurements += attempt.measurements
            attached.acceptable = attempt.acceptable
            attached.for_baseline = attempt.marks.baseline is not None
            # Hypothesis draws other inputs each time, so that what such a test did not measure is no orphan.
            attached.is_steady = not getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
            if report.failed and attempt.measurements:
                report.sections.append((TITLE, "\n\n".join(map(terminal.section, with_section(attempt.measurements)))))
            elif report.failed and attempt.input_file:
                report.sections.append((TITLE, f"AlphaFold 3 input: {attempt.input_file}"))
            attempt.measurements, attempt.input_file, attempt.acceptable = [], "", False
            if call.when == "teardown":
                self._asking.running = None
        attached.attach(report)
        return report
