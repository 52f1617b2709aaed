import dataclasses
import sys
from pathlib import Path

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.settings import OPTIONS, Settings, default_folder


def test_nothing_stated():
    assert Settings.read({}) == Settings()
    usual = Settings()
    assert (usual.method, usual.target, usual.model, usual.python) == ("compiled", "h100-80gb", "alphafold3", sys.executable)
    assert (usual.workers, usual.timeout, usual.no_cache) == (None, 900, False)


def test_every_setting_is_an_option_of_its_own_name():
    assert [option.name for option in OPTIONS] == [field.name for field in dataclasses.fields(Settings)]
    assert all(option.help for option in OPTIONS)


@pytest.mark.parametrize(
    ("command_line", "variable", "ini", "target"),
    [
        ("l4-24gb", "a100-40gb", "h200-141gb", "l4-24gb"),
        (None, "a100-40gb", "h200-141gb", "a100-40gb"),
        (None, "", "h200-141gb", "h200-141gb"),
        ("", "", "", "h100-80gb"),
    ],
)
def test_the_nearest_wins(monkeypatch, command_line, variable, ini, target):
    if variable is not None:
        monkeypatch.setenv("AF3MEM_TARGET", variable)
    assert Settings.read({"target": command_line}, {"target": ini}).target == target


@pytest.mark.parametrize(
    ("command_line", "variable", "ini", "no_cache"),
    [
        (True, "", "", True),
        (True, "0", "no", True),
        (None, "1", "", True),
        (None, "", "true", True),
        (None, "off", "true", False),
        (None, "", "", False),
    ],
)
def test_a_switch(monkeypatch, command_line, variable, ini, no_cache):
    monkeypatch.setenv("AF3MEM_NO_CACHE", variable)
    assert Settings.read({"no_cache": command_line}, {"no_cache": ini}).no_cache is no_cache


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("method", "auto", "compiled"),
        ("method", "compiled", "compiled"),
        ("target", "A100-80GB/1g.10gb", "a100-80gb/1g.10gb"),
        ("buckets", "256, 512,1024", (256, 512, 1024)),
        ("timeout", "60", 60),
        ("cache_dir", "cache", Path("cache")),
        ("python", sys.executable, sys.executable),
    ],
)
def test_values(name, text, value):
    assert getattr(Settings.read({name: text}), name) == value


PYTHON = "--af3-python {!r} is not a program that can be run: give the path of a Python that holds AlphaFold 3"
BUCKETS = "--af3-buckets {!r} must be increasing whole numbers of tokens, like 256,512,1024"
WORKERS = "--af3-workers {!r} must be a whole number of at least 1"
TIMEOUT = "--af3-timeout {!r} must be a whole number of at least 1"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("method", "run", "--af3-method {!r} is not one of auto, compiled"),
        ("target", "a100", "unknown target {!r}: did you mean a100-40gb or a100-80gb? (all: af3mem doctor)"),
        ("python", "python9.9", PYTHON),
        ("path", "/no/such", "--af3-path {!r} is not a folder: give the one that holds the model's package"),
        ("buckets", "256,x", BUCKETS),
        ("buckets", "256,", BUCKETS),
        ("buckets", "512,256", BUCKETS),
        ("buckets", "256,256", BUCKETS),
        ("buckets", "0,256", BUCKETS),
        ("workers", "0", WORKERS),
        ("workers", "two", WORKERS),
        ("timeout", "1.5", TIMEOUT),
        ("timeout", "0", TIMEOUT),
        ("no_cache", "maybe", "--af3-no-cache is a switch: {!r} is neither true nor false"),
    ],
)
@pytest.mark.parametrize("place", ["command line", "environment", "ini"])
def test_bad_value(monkeypatch, place, name, value, text):
    stated = {name: value}
    if place == "environment":
        monkeypatch.setenv(f"AF3MEM_{name.upper()}", value)
    with pytest.raises(UsageError) as caught:
        Settings.read(stated if place == "command line" else {}, stated if place == "ini" else {})
    assert str(caught.value) == text.format(value)


def test_interpreter_is_looked_up_on_the_path(monkeypatch, tmp_path):
    program = tmp_path / "python-of-mine"
    program.symlink_to(sys.executable)  # as in a virtual environment, and stays one
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Settings.read({"python": program.name}).python == str(program)


@pytest.mark.parametrize(
    ("folders", "inside"),
    [
        (["alphafold3"], ""),
        (["src/alphafold3"], "src"),
        (["alphafold3", "src/alphafold3"], ""),
        ([], ""),
    ],
)
def test_source_tree(tmp_path, monkeypatch, folders, inside):
    monkeypatch.chdir(tmp_path)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert Settings.read({"path": "."}).path == tmp_path.resolve() / inside


@pytest.mark.parametrize(("variable", "folder"), [("/x", "/x/pytest-af3mem"), ("", "/home/me/.cache/pytest-af3mem")])
def test_default_folder(monkeypatch, variable, folder):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    assert str(default_folder()) == folder
