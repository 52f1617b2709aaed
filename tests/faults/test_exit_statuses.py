"""Status 1 of `af3mem` means over, and nothing else: whatever goes wrong has another one, and leaves no traceback but of bugs."""

import os
import subprocess
import sys

import pytest

from pytest_af3mem.commands import FAULT, USAGE, cli, watch
from pytest_af3mem.commands.arguments import deliver
from pytest_af3mem.session.settings import Settings

BROKEN_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ended


@pytest.fixture
def af3mem(capsys, monkeypatch):
    """Status and errors of a command whose work is `work`."""

    def run(work):
        monkeypatch.setattr(watch, "run", lambda parsed, settings: work())
        status = cli.main(["watch", "1"])
        return status, capsys.readouterr().err

    return run


def raising(error):
    def work():
        raise error

    return work


def test_what_the_system_refuses_is_one_line(af3mem):
    error = OSError(28, "No space left on device", "report.json")
    assert af3mem(raising(error)) == (USAGE, "af3mem: No space left on device: 'report.json'\n")
    text = raising(UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"))
    assert af3mem(text) == (
        USAGE,
        "af3mem: 'ascii' codec can't encode character '\\xe9' in position 0: ordinal not in range(128)\n",
    )


@pytest.mark.parametrize("error", [KeyError("bug"), MemoryError(), RecursionError("deep"), AssertionError()])
def test_a_bug_has_a_traceback_and_a_status_of_its_own(af3mem, error):
    status, errors = af3mem(raising(error))
    assert status == FAULT == 70
    assert errors.startswith("Traceback")
    assert errors.splitlines()[-1].startswith("af3mem: this is a fault of pytest-af3mem, and says nothing of the memory")


def test_output_that_is_not_read_to_its_end_is_no_error(af3mem):
    assert af3mem(raising(BrokenPipeError(32, "Broken pipe"))) == (BROKEN_PIPE, "")


@pytest.fixture
def apart():
    """A command in a process of its own, which prints `text` and ends with `status`, its streams set by a shell."""

    def run(text, redirections, status=0, environment=()):
        code = f"""
import sys
from pytest_af3mem.commands import cli
from pytest_af3mem.commands import arguments, watch
def work(parsed, settings):
    arguments.show("at work")
    print({text})
    return {status}
watch.run = work
sys.exit(cli.main(["watch", "1"]))
"""
        command = ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {redirections}', sys.executable, code]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **dict(environment)}, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run


def test_without_standard_error(apart):
    assert apart("'within'", "2>&-") == (0, "within\n", "")
    assert apart("'over'", "2>&-", status=1) == (1, "over\n", "")


def test_without_standard_output(apart):
    assert apart("'within'", ">&-") == (0, "", "")


@pytest.mark.parametrize("text", ["'line'", "'line\\n' * 100_000"])
def test_a_full_disk_behind_standard_output(apart, text):
    assert apart(text, "> /dev/full") == (USAGE, "", "af3mem: No space left on device\n")


def test_head(apart):
    assert apart("'line\\n' * 100_000", "| head -n 1") == (BROKEN_PIPE, "line\n", "")


def test_everything_is_full(apart):
    assert apart("1 / 0", "> /dev/full 2>&1") == (FAULT, "", "")


def test_a_terminal_of_ascii(apart):
    assert apart("chr(233)", "", environment={"PYTHONIOENCODING": "ascii"}) == (0, "\\xe9\n", "")


def test_a_report_that_cannot_be_written(af3mem, tmp_path):
    status, errors = af3mem(lambda: deliver(Settings(json=tmp_path), "", "{}"))
    assert (status, errors) == (USAGE, f"af3mem: the report {tmp_path} cannot be written: Is a directory\n")
