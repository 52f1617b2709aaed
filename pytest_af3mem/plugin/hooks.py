"""pytest's door: options, markers and the `gpu_peak` fixture. Light on purpose: what measures is loaded with `--af3-gpu`."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_af3mem.errors import Af3memError, UsageError, shown
from pytest_af3mem.plugin.markers import MARKERS, measures
from pytest_af3mem.session.settings import OPTIONS, Settings, is_true, resolve_auto

if TYPE_CHECKING:
    from pytest_af3mem.plugin.asking import Asking
    from pytest_af3mem.plugin.fixture import GpuPeak
    from pytest_af3mem.plugin.marks import Marks
    from pytest_af3mem.session.session import Session


_OFF = "needs --af3-gpu: it measures GPU memory of AlphaFold 3"
_ASKING: pytest.StashKey[Asking] = pytest.StashKey()
_FINISH: pytest.StashKey[Callable[[], None]] = pytest.StashKey()
_BUCKETS: pytest.StashKey[tuple[int, ...]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("af3mem", "GPU memory of AlphaFold 3 (pytest-af3mem)")
    group.addoption("--af3-gpu", action="store_true", dest="af3_gpu", help="run the tests that measure GPU memory")
    parser.addini("af3_gpu", "as --af3-gpu", default="")
    for option in OPTIONS:
        how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {"action": "store_true"}
        group.addoption(option.flag, dest=f"af3_{option.name}", default=None, help=option.help, **how)
        parser.addini(f"af3_{option.name}", f"as {option.flag}")


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS.values():
        config.addinivalue_line("markers", marker.help)
    try:
        switch = config.getoption("af3_gpu") or os.environ.get("AF3MEM_GPU") or from_ini(config, "af3_gpu")
        if not is_true(switch or False, "--af3-gpu"):
            return
        from pytest_af3mem.plugin.parts import assemble
        from pytest_af3mem.session import host

        with contextlib.ExitStack() as opened:
            config.stash[_FINISH] = opened.enter_context(host.ends_on_signals())
            config.stash[_ASKING] = assemble(config, read_settings(config), opened)
            config.add_cleanup(opened.pop_all().close)
    except Af3memError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Asks for the model, so that one that cannot be measured ends the run before any test."""
    if measuring := _session(session.config):
        try:
            _ = measuring.installation
        except Af3memError as error:
            raise pytest.UsageError(shown(str(error))) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """What was measured is reported whole, also when the run is ended from outside now: before what pytest does itself."""
    session.config.stash.get(_FINISH, lambda: None)()
    return (yield)


def read_settings(config: pytest.Config, names: Collection[str] = ()) -> Settings:
    """The settings of these options, or of all; paths in the ini file are of its folder. Raises UsageError."""
    folder = config.inipath.parent if config.inipath else config.rootpath
    command_line, ini = {}, {}
    for option in OPTIONS:
        if not names or option.name in names:
            text = from_ini(config, f"af3_{option.name}")
            is_path = option.metavar in ("FILE", "DIR") or (option.name == "python" and "/" in text)
            is_path = is_path or (option.name == "target" and text.lower().endswith(".txtpb"))
            ini[option.name] = str(folder / text) if text and is_path and not text.startswith("~") else text
            command_line[option.name] = config.getoption(f"af3_{option.name}")
    settings = resolve_auto(Settings.read(command_line, ini))
    if junit := config.getoption("xmlpath", None):
        settings.check_apart({"--junitxml": Path(junit)})
    return settings


def from_ini(config: pytest.Config, name: str) -> str:
    """What the ini file says, as text: TOML has switches, numbers and lists of its own."""
    try:
        value = config.getini(name)
    except (TypeError, pytest.UsageError) as error:  # [tool.pytest] of pytest 9, which converts nothing
        if config.inipath is None:
            raise UsageError(str(error)) from error
        import tomllib

        document = tomllib.loads(config.inipath.read_text(encoding="utf-8"))
        value = (document.get("tool", {}).get("pytest") or document.get("pytest", {})).get(name)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Checks the markers of each test, also where nothing is measured, and runs it once for each number of tokens."""
    asked = _checked(metafunc.definition, metafunc.fixturenames)
    if asked is None:
        return
    config = metafunc.config
    if tokens := asked.all_tokens(_buckets(config) if asked.up_to else ()):
        if "af3_tokens" not in metafunc.fixturenames:  # a test need not take the argument
            metafunc.fixturenames.append("af3_tokens")
        metafunc.parametrize("af3_tokens", tokens)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Checks the markers on methods of a unittest.TestCase, which pytest does not show to `pytest_generate_tests`."""
    report = yield
    unittest: Any = sys.modules.get("unittest")
    try:
        for item in (report.result or ()) if unittest else ():
            if isinstance(item, pytest.Function) and item.cls and issubclass(item.cls, unittest.TestCase):
                _checked(item, item.fixturenames)
    except pytest.fail.Exception as error:
        report.outcome, report.longrepr, report.result = "failed", str(error), []
    return report


def _checked(node: pytest.Item, fixtures: Collection[str]) -> Marks | None:
    """What the markers of a test ask for, if it is one of ours. Fails with the test's name for what cannot be right."""
    ours = measures(node, fixtures)
    if not ours and not any(mark.name.startswith("af3_") for mark in node.iter_markers()):
        return None
    from pytest_af3mem.plugin import marks

    session = _session(node.config)
    try:
        marks.check_names(node, node.config.getini("markers"))
        asked = marks.of(node, fixtures)
        if session:
            session.check_settings(dict(asked.model_settings))
    except Af3memError as error:
        raise pytest.fail.Exception(f"{node.nodeid}: {error}", pytrace=False) from None
    return asked if ours else None


def _session(config: pytest.Config) -> Session | None:
    """The session that measures, which knows the model; None where tests are only listed."""
    return None if config.option.collectonly or _ASKING not in config.stash else config.stash[_ASKING].session


def _buckets(config: pytest.Config) -> tuple[int, ...]:
    """The padding sizes that a run with `--af3-gpu` has, also where tests are only listed, so that their names are the same."""
    if session := _session(config):
        return session.buckets
    if _BUCKETS not in config.stash:
        from pytest_af3mem.models.alphafold3_files import NEWEST_BUCKETS
        from pytest_af3mem.session.session import padding

        try:
            asking = config.stash.get(_ASKING, None)
            settings = asking.session.settings if asking else read_settings(config, ["buckets"])
            if not settings.buckets and not asking:
                settings = read_settings(config, ["model", "python", "path"])
            config.stash[_BUCKETS] = padding(settings)
        except Af3memError as error:  # which a run with --af3-gpu ends with
            config.stash[_BUCKETS] = NEWEST_BUCKETS
            text = "the buckets of af3_tokens(up_to=...) are those of the newest AlphaFold 3, for the model cannot be asked"
            warnings.warn(pytest.PytestWarning(f"{text}: {error}"), stacklevel=2)
    return config.stash[_BUCKETS]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _ASKING not in config.stash:
        for item in items:
            if measures(item, getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.skip(reason=_OFF))


@pytest.fixture(scope="session")
def gpu_peak(request: pytest.FixtureRequest) -> GpuPeak:
    """Peak GPU memory of AlphaFold 3 inference: `gpu_peak(tokens=1024) <= "12 GiB"`.

    Called without arguments it measures the number of tokens that `af3_tokens` gives the test.
    """
    if _ASKING not in request.config.stash:
        pytest.skip(_OFF)
    from pytest_af3mem.plugin.fixture import GpuPeak

    return GpuPeak(request.config.stash[_ASKING])
