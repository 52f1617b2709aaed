import os
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.session.settings import OPTIONS, Settings, default_folder, is_true, resolve_auto


def read(*places, **how):
    return resolve_auto(Settings.read(*places, **how))


def test_what_is_usual():
    assert all(option.help for option in OPTIONS)
    usual = read({})
    assert (usual.method, usual.target, usual.model, usual.python) == ("compiled", "h100-80gb", "alphafold3", sys.executable)
    assert (usual.workers, usual.timeout, usual.no_cache) == (None, 900, False)


@pytest.fixture(autouse=True)
def _no_gpu_is_visible(monkeypatch):
    monkeypatch.setattr("pytest_af3mem.gpus.local.targets", lambda environment: [])


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
    monkeypatch.setenv("AF3MEM_TARGET", variable)
    assert read({"target": command_line}, {"target": ini}) == Settings(target=target)


@pytest.mark.parametrize(
    ("command_line", "variable", "ini", "no_cache"),
    [(True, "0", "no", True), (False, "1", "", True), (None, "off", "true", False), (None, "", "", False)],
)
def test_a_switch(monkeypatch, command_line, variable, ini, no_cache):
    monkeypatch.setenv("AF3MEM_NO_CACHE", variable)
    assert read({"no_cache": command_line}, {"no_cache": ini}).no_cache is no_cache
    assert [is_true(word, "x") for word in "1 true YES on 0 False no off".split()] == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("method", "auto", "compiled"),
        ("target", "A100-80GB/1g.10gb", "a100-80gb/1g.10gb"),
        ("buckets", "256, 512,1024", (256, 512, 1024)),
        ("baseline", "memory.json", Path("memory.json")),
        ("tolerance", "0.5 %", Size(percent=Decimal("0.5"))),
        ("tolerance", "64 MiB", Size(bytes=64 * 2**20)),
        ("tolerance", "0", Size(bytes=0)),
        ("tolerance_below", "0", Size(bytes=0)),
        ("timeout", "60", 60),
        ("cache_dir", "cache", Path("cache").absolute()),
        ("python", sys.executable, sys.executable),
    ],
)
def test_values(name, text, value):
    assert getattr(read({name: text}), name) == value


def refused(*places, **how):
    with pytest.raises(UsageError) as caught:
        read(*places, **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "rule", "values"),
    [
        ("method", "is not one of auto, compiled, run", ["ran"]),
        ("python", "is not a program that can be run: give the path of a Python that holds AlphaFold 3", ["python9.9"]),
        ("path", "is not a folder: give the one that holds the model's package", ["/no/such"]),
        (
            "buckets",
            "must be increasing whole numbers of tokens, like 256,512,1024",
            ["256,x", "256,", "512,256", "256,256", "0,256", "256,1234567890"],
        ),
        ("timeout", "must be a whole number of at least 1", ["0", "two", "1.5", "-1", "1234567890"]),
        ("baseline", "is a folder: give the name of a file", ["/"]),
        (
            "tolerance",
            "is not a tolerance: write '0.5 %', '64 MiB', a number of bytes, or 0",
            ["-5", "-1 %", "101 %", "half", "0.5 % or so"],
        ),
        ("json", "has a zero byte in it: leave that out", ["new\0/report.json"]),  # as an ini file may have
        ("path", "has a zero byte in it: leave that out", ["\0"]),
        ("json", "is a folder: give the name of a file", ["/"]),
        ("json", "cannot be written (Not a directory): choose another place", [f"{__file__}/folder/report.json"]),
    ],
)
def test_bad_value(name, rule, values):
    for value in values:
        assert refused({name: value}) == f"--af3-{name} {value!r} {rule}"


def test_a_path_that_is_too_long():
    assert refused({"path": "a" * 5000}) == f"--af3-path '{'a' * 80}' cannot be looked for: File name too long"


@pytest.mark.parametrize("name", ["json", "markdown", "html"])
def test_a_report_in_a_place_that_is_read_only(monkeypatch, tmp_path, name):
    place = str(tmp_path / "report")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert refused({name: place}) == f"--af3-{name} {place!r} cannot be written (Permission denied): choose another place"


def test_an_error_names_the_place_of_the_value(monkeypatch):
    rule = "'two' must be a whole number of at least 1"
    stated = {"workers": "two"}
    assert refused(stated) == f"--af3-workers {rule}"
    assert refused(stated, flag=lambda option: f"--{option.name}") == f"--workers {rule}"
    assert refused({}, stated) == f"af3_workers {rule}"
    assert refused({"no_cache": "maybe"}) == "--af3-no-cache is a switch: 'maybe' is neither true nor false"
    assert (
        refused({"target": "a100"})
        == "unknown target 'a100': did you mean a100-40gb or a100-80gb or a100-64gb? (all: af3mem doctor)"
    )
    monkeypatch.setenv("AF3MEM_WORKERS", "two")
    assert refused({}, {"workers": "three"}) == f"AF3MEM_WORKERS {rule}"


def test_interpreter_is_looked_up_on_the_path(monkeypatch, tmp_path):
    program = tmp_path / "python-of-mine"
    program.symlink_to(sys.executable)  # as in a virtual environment, and stays one
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read({"python": program.name}).python == str(program)


@pytest.mark.parametrize(
    ("folders", "inside"), [(["src/alphafold3"], "src"), (["alphafold3", "src/alphafold3"], ""), (["src"], "")]
)
def test_source_tree(tmp_path, monkeypatch, folders, inside):
    monkeypatch.chdir(tmp_path)
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert read({"path": "."}).path == tmp_path.resolve() / inside


def test_folder_of_the_report_is_made(tmp_path):
    place = tmp_path / "new" / "folder" / "report.json"
    assert read({"json": str(place)}).json == place
    assert place.parent.is_dir()
    assert not place.exists()


def test_files_go_beside_the_reports():
    places = {"json": Path("a/x.json"), "html": Path("b/x.html"), "markdown": Path("c/x.md")}
    assert [str(Settings(**{name: path}).folder) for name, path in places.items()] == ["a", "b", "c"]
    assert str(Settings(**places).folder) == "a"
    assert Settings().folder == Settings().cache_dir


def test_default_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_folder() == Path("/x/pytest-af3mem")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert default_folder() == Settings().cache_dir == Path("/home/me/.cache/pytest-af3mem")
    monkeypatch.setattr(Path, "home", no_home)
    assert default_folder() == Path(tempfile.gettempdir(), f"pytest-af3mem-{os.getuid()}")


@pytest.mark.parametrize(
    ("here", "command_line", "method", "target"),
    [
        ([], {}, "compiled", "h100-80gb"),
        ([], {"method": "auto", "target": "l4-24gb"}, "compiled", "l4-24gb"),
        ([], {"method": "run"}, "run", "h100-80gb"),
        (["l4-24gb", "h200-141gb"], {}, "auto", "l4-24gb"),
        (["l4-24gb"], {"method": "run"}, "run", "l4-24gb"),
        (["l4-24gb"], {"method": "run", "target": "h100-80gb"}, "run", "h100-80gb"),
        (["l4-24gb"], {"method": "compiled"}, "compiled", "h100-80gb"),
    ],
)
def test_method_and_target_where_a_gpu_is_visible(monkeypatch, here, command_line, method, target):
    monkeypatch.setattr("pytest_af3mem.gpus.local.targets", lambda environment: here)
    settings = read(command_line)
    assert (settings.method, settings.target) == (method, target)
    assert resolve_auto(settings) == settings


def test_reading_asks_no_gpu(monkeypatch):
    monkeypatch.setattr("pytest_af3mem.gpus.local.targets", lambda environment: pytest.fail("it was asked"))
    settings = Settings.read({})
    assert (settings.method, settings.target) == ("auto", "auto")
