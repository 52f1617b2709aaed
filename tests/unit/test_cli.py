import shlex

import pytest

from pytest_af3mem import __version__
from pytest_af3mem.commands import arguments, cli
from pytest_af3mem.session import pool, reproduce
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Exit status, standard output and standard error of `af3mem`, which starts no worker."""

    def start(*arguments):
        raise AssertionError("a worker was started")

    def run(*arguments):
        try:
            status = cli.main(arguments)
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    monkeypatch.setattr(pool, "Child", start)
    monkeypatch.setenv("AF3MEM_CACHE_DIR", str(tmp_path / "cache"))
    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version"], f"pytest-af3mem {__version__}"),
        (["--help"], "doctor what is installed, what is missing, which targets compile"),
        (["measure", "--help"], "--msa-depth N rows of the MSA of each protein and RNA (default: 0)"),
        (
            ["doctor", "--help"],
            "--cache-dir DIR folder for results and the chemical dictionary (default: ~/.cache/pytest-af3mem)",
        ),
    ],
)
def test_help_and_version(run, arguments, words):
    status, output, errors = run(*arguments)
    assert (status, errors) == (0, "")
    assert words in " ".join(output.split())


MEASURE = ["measure", "--tokens"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "af3mem: error: the following arguments are required: COMMAND"),
        (["measure"], "af3mem measure: error: one of the arguments --tokens --job is required"),
        (["doctor", "--tokens", "5"], "af3mem: error: unrecognized arguments: --tokens 5"),
        ([*MEASURE, "5", "--chains", "two"], "af3mem: chains='two' must be a whole number of at least 1"),
        ([*MEASURE, "-5"], "af3mem: --tokens '-5' must be a whole number of at least 1"),
        ([*MEASURE, "1234567890"], "af3mem: --tokens '1234567890' must be a whole number of at least 1"),
        ([*MEASURE, "0"], "af3mem: --tokens '0' must be a whole number of at least 1"),
        ([*MEASURE, "5", "--ligands", ""], "af3mem: ligands='' must be like 'ATP+MG', or a list of such words"),
        ([*MEASURE, "5", "--set", "num_samples"], "af3mem: --set 'num_samples' must be NAME=VALUE, like num_samples=1"),
        ([*MEASURE, "5", "--set", "=1"], "af3mem: --set '=1' must be NAME=VALUE, like num_samples=1"),
        ([*MEASURE, "5", "--workers", "two"], "af3mem: --workers 'two' must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_done(run, arguments, text):
    status, output, errors = run(*arguments)
    assert (status, output, errors.splitlines()[-1]) == (2, "", text)


def test_interrupted(run, monkeypatch):
    def interrupt(settings, pool):
        raise KeyboardInterrupt

    monkeypatch.setattr(arguments, "Session", interrupt)
    assert run("measure", "--tokens", "5") == (130, "", "af3mem: interrupted\n")


@pytest.mark.parametrize(("text", "value"), [("x=[1, [2]]", (1, (2,))), ("x=xla", "xla"), ("x=a=b", "a=b"), ("x=", "")])
def test_set(text, value):
    assert reproduce.setting(text) == ("x", value)


@pytest.fixture
def command(tmp_path, a_request):
    """The command that measures a request with `settings` again."""

    def run(settings, options=(), **stated):
        session = Session(Settings.read({"cache_dir": tmp_path / "cache", **stated}))
        session.close()
        return reproduce.command(
            session.settings, a_request(target="l4-24gb", settings=tuple(settings.items())), tokens=500, options=options
        )

    return run


def test_command_that_measures_the_same_again(command, tmp_path):
    stated = {"python": "/bin/sh", "path": tmp_path, "buckets": "256,512", "model": "my models:x"}
    assert command(
        {"attention": "xla", "num_samples": 1},
        (("chains", 2), ("ligands", ("ATP", "MG")), ("msa_depth", 3), ("smiles", "CC O")),
        **stated,
    ) == (
        "af3mem measure --tokens 500 --target l4-24gb --chains 2 --ligands ATP+MG --msa-depth 3 --smiles 'CC O' "
        "--set attention=xla --set num_samples=1 "
        f"--model 'my models:x' --python /bin/sh --path {tmp_path} --buckets 256,512"
    )
    assert command({}) == "af3mem measure --tokens 500 --target l4-24gb"


def test_settings_of_the_command_come_back_as_they_were(command):
    values = [1, 1e-3, True, None, (1, (2, "x")), "xla", "5", "None", "[1]", "a='b' c", ""]
    settings = {f"name{index:02}": value for index, value in enumerate(values)}
    parsed = cli._parser().parse_args(shlex.split(command(settings))[1:])
    assert repr(list(map(reproduce.setting, parsed.set))) == repr(list(settings.items()))
