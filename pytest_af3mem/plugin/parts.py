"""What a session with `--af3-gpu` is made of, and who opens and closes it."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.plugin.asking import Asking
from pytest_af3mem.plugin.baseline import BaselineHooks
from pytest_af3mem.plugin.judging import Judging
from pytest_af3mem.plugin.limits import Against, Limits
from pytest_af3mem.plugin.progress import Progress
from pytest_af3mem.plugin.summary import Summary
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


def assemble(config: pytest.Config, settings: Settings, opened: contextlib.ExitStack) -> Asking:
    """Registers what pytest calls, and leaves to `opened` what must be closed; for `gpu_peak`, who asks for it.

    Raises Af3memError for settings that contradict each other.
    """
    if hasattr(config, "workerinput") and settings.workers is None:
        settings = dataclasses.replace(settings, workers=1)  # pytest-xdist already runs several of us
    if settings.update_baseline and not settings.baseline:
        raise UsageError("--af3-update-baseline needs to know the file: --af3-baseline FILE")
    if settings.new_baseline and not settings.baseline:
        raise UsageError("--af3-new-baseline needs to know the accepted one: --af3-baseline FILE")
    baseline = BaselineHooks(config, settings) if settings.baseline else None
    if settings.against and baseline:
        raise UsageError("--af3-against and --af3-baseline both say what tests are compared with: leave one out")
    if settings.against and settings.tolerance_below is not None:
        raise UsageError("--af3-tolerance-below is of --af3-baseline, and --af3-against accepts nothing: leave one out")
    against = Against(settings) if settings.against else None
    if against:
        opened.callback(against.close)
    session = Session(settings)
    opened.callback(session.close)
    notes: list[str] = []
    limits = Limits(settings, against or baseline, notes)
    asking = Asking(session, Progress(config), limits.judge)
    config.pluginmanager.register(Judging(asking, limits), "af3mem-judging")
    config.pluginmanager.register(Summary(config, session, baseline, notes), "af3mem-summary")
    if baseline:
        config.pluginmanager.register(baseline, "af3mem-baseline")
    return asking
