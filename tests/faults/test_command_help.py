"""`af3mem` says what it can do, to those who do not know it yet."""

import re
import shlex
import subprocess
import sys

import pytest

from pytest_af3mem import __version__
from pytest_af3mem.commands import NOT_JUDGED, OVER, cli
from pytest_af3mem.errors import SetupError
from pytest_af3mem.models import alphafold3, alphafold3_files

COMMANDS = [module.__name__.rpartition(".")[2] for module in cli._COMMANDS]
each_command = pytest.mark.parametrize("module", cli._COMMANDS, ids=COMMANDS)


@pytest.fixture
def af3mem(capsys):
    def run(*arguments):
        try:
            status = cli.main(arguments)
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


def test_alone_it_prints_its_help(af3mem):
    status, output, errors = af3mem()
    assert (status, output) == (2, "")
    assert errors.startswith("usage: af3mem")
    assert all(re.search(rf"^    {name}\b", errors, re.MULTILINE) for name in COMMANDS)
    assert errors.endswith("af3mem: error: the following arguments are required: COMMAND\n")


def test_a_misspelled_command(af3mem):
    assert af3mem("mesure", "--tokens", "5") == (
        2,
        "",
        f"af3mem: 'mesure' is not a command; did you mean measure? (there are {', '.join(COMMANDS)})\n",
    )


@each_command
def test_two_examples_that_are_read(module):
    assert len(module.EXAMPLES) == 2
    for example in module.EXAMPLES:
        program, *arguments = shlex.split(example)
        assert program == "af3mem"
        assert cli._parser().parse_args(arguments).run is module.run


@each_command
def test_help_has_groups_examples_and_exit_statuses(af3mem, module, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = module.__name__.rpartition(".")[2]
    status, output, _ = af3mem(name, "--help")
    assert status == 0
    assert max(map(len, output.splitlines())) <= 80
    assert f"examples:\n  {module.EXAMPLES[0]}\n  {module.EXAMPLES[1]}\n" in output
    told = " ".join(output.partition("exit status: ")[2].split())
    assert [part.split()[0] for part in told.split(", ")] == [str(one) for one in sorted({0, 2, 70, 130, *module.STATUSES})]
    headings = re.findall(r"^(\w+):$", output, re.MULTILINE)
    assert [one for one in headings if one in ("input", "model", "machine", "report")] == [
        one for one in ("input", "model", "machine", "report") if one in headings
    ]
    options = output.partition("options:\n")[2].partition("\n\n")[0]
    assert options.split() == "-h, --help show this help message and exit".split()


def test_help_of_all_has_every_exit_status(af3mem, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, output, _ = af3mem("--help")
    assert status == 0
    told = " ".join(output.partition("exit status: ")[2].split())
    assert told == (
        "0 done, 1 over, 2 something to mend in what was asked or installed, 3 not judged, 70 a fault of af3mem, 130 interrupted"
    )


@each_command
def test_no_exit_status_that_its_help_does_not_have(module):
    """A command ends with the statuses that its module imports."""
    by_name = {"OVER": {OVER}, "NOT_JUDGED": {NOT_JUDGED}, "STATUS_OF": {OVER, NOT_JUDGED}}
    used = set().union(*(statuses for name, statuses in by_name.items() if hasattr(module, name)))
    assert used == module.STATUSES.keys()


def test_as_a_module():
    command = [sys.executable, "-m", "pytest_af3mem", "--version"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == f"pytest-af3mem {__version__}\n"


def test_a_clone_in_the_current_folder_is_called_one(tmp_path, monkeypatch):
    (tmp_path / "alphafold3" / "src" / "alphafold3").mkdir(parents=True)
    monkeypatch.setattr(alphafold3_files, "root", lambda: tmp_path / "alphafold3")
    with pytest.raises(SetupError, match=rf"alphafold3 is a clone of AlphaFold 3 .* --path {tmp_path}/alphafold3 measures it"):
        alphafold3.AlphaFold3().distribution()
