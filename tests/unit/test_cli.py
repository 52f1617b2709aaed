import pytest

from pytest_af3mem import __version__, cli, pool
from pytest_af3mem.session import Session
from pytest_af3mem.settings import Settings


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    def start(settings):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(pool, "_Worker", start)


@pytest.fixture
def run(capsys, tmp_path):
    """Exit status, standard output and standard error of `af3mem`."""

    def run(*arguments):
        place = ("--cache-dir", str(tmp_path / "cache")) if arguments[:1] == ("measure",) else ()
        try:
            status = cli.main([*arguments, *place])
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


def test_version(run):
    assert run("--version") == (0, f"pytest-af3mem {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(["--help"], "doctor"), (["measure", "--help"], "--msa-depth N"), (["doctor", "--help"], "--python PATH")],
)
def test_help(run, arguments, option):
    status, output, errors = run(*arguments)
    assert (status, errors) == (0, "")
    assert option in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "af3mem: error: the following arguments are required: COMMAND"),
        (("weigh",), "af3mem: error: argument COMMAND: invalid choice: 'weigh'"),
        (("measure",), "af3mem measure: error: the following arguments are required: --tokens"),
        (("measure", "--tokens", "5", "--chains", "two"), "af3mem measure: error: argument --chains: invalid int value: 'two'"),
        (("measure", "--tokens", "5", "--budget", "1 GiB"), "af3mem: error: unrecognized arguments: --budget 1 GiB"),
        (("doctor", "--tokens", "5"), "af3mem: error: unrecognized arguments: --tokens 5"),
    ],
)
def test_what_does_not_parse(run, arguments, text):
    status, output, errors = run(*arguments)
    assert (status, output) == (2, "")
    assert errors.splitlines()[-1].startswith(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--tokens", "many"], "--tokens 'many' must be a whole number of at least 1"),
        (["--tokens", "-5"], "--tokens '-5' must be a whole number of at least 1"),
        (["--tokens", "0"], "tokens=0 must be a whole number from 1 to 100,000"),
        (["--tokens", "5", "--chains", "0"], "chains=0 must be a whole number of at least 1"),
        (["--tokens", "5", "--chains", "6"], "tokens=5 is too few for 6 protein chains: at least 6"),
        (["--tokens", "5", "--msa-depth", "-1"], "msa_depth=-1 must be a whole number of at least 0"),
        (["--tokens", "5", "--set", "num_samples"], "--set 'num_samples' must be NAME=VALUE, like num_samples=1"),
        (["--tokens", "5", "--target", "h100"], "unknown target 'h100': did you mean h100-80gb? (all: af3mem doctor)"),
    ],
)
def test_what_cannot_be_measured(run, arguments, text):
    assert run("measure", *arguments) == (2, "", f"af3mem: {text}\n")


def test_a_cache_that_cannot_be_written(run, tmp_path):
    (tmp_path / "cache").write_text("")
    status, output, errors = run("measure", "--tokens", "5")
    assert (status, output) == (2, "")
    assert errors.startswith(f"af3mem: the cache folder {tmp_path / 'cache'} cannot be written (File exists): ")


def test_interrupted(run, monkeypatch):
    def interrupt(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "Session", interrupt)
    assert run("measure", "--tokens", "5") == (130, "", "af3mem: interrupted\n")


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("num_samples=1", ("num_samples", 1)),
        ("bfloat16=none", ("bfloat16", "none")),
        ("flag=True", ("flag", True)),
        ("evoformer.x=1e-3", ("evoformer.x", 0.001)),
        ("sizes=[1, [2]]", ("sizes", (1, (2,)))),
        ("name=a=b", ("name", "a=b")),
        ("name='5'", ("name", "5")),
    ],
)
def test_set(text, setting):
    assert cli._setting(text) == setting


def test_command_that_measures_the_same_again(a_request, tmp_path):
    stated = {"cache_dir": str(tmp_path / "cache"), "path": str(tmp_path), "buckets": "256,512", "model": "my models:x"}
    session = Session(Settings.read(stated))
    request = a_request(target="l4-24gb", settings=(("attention", "xla"), ("num_samples", 1)))
    command = session.command(500, (("chains", 2), ("msa_depth", 3)), request)
    session.close()
    assert command == (
        "af3mem measure --tokens 500 --target l4-24gb --chains 2 --msa-depth 3 --set attention=xla --set num_samples=1 "
        f"--model 'my models:x' --path {tmp_path} --buckets 256,512"
    )
