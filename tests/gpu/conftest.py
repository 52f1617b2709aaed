"""Skips all of this folder where no GPU is visible, with the reason; `pytest tests/gpu` on a machine with one runs it."""

import os
from pathlib import Path

import pytest

from pytest_af3mem.errors import NotJudged
from pytest_af3mem.gpus import local
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HERE = Path(__file__).parent
MODELS = HERE.parent / "models"


def _reason():
    try:
        found = local.local_gpus(os.environ)
    except NotJudged as error:
        return str(error)
    return "" if local.targets(os.environ) else f"the catalogue has none of {', '.join(gpu.name for gpu in found)}"


def pytest_collection_modifyitems(items):
    if reason := _reason():
        for item in items:
            if item.path.is_relative_to(HERE):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def target():
    """The GPU that is measured on, by its name in the catalogue."""
    return local.targets(os.environ)[0]


@pytest.fixture
def session_of(tmp_path, target):
    """A session with a model of tests/models, or another, on the visible GPU."""
    sessions = []

    def start(model="analytic:Analytic", path=MODELS, cache_dir=tmp_path, **settings):
        made = Settings(method="run", target=target, model=model, path=path, cache_dir=cache_dir, timeout=300, **settings)
        sessions.append(Session(made))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()
