import os
import pty
import subprocess

import pytest


@pytest.fixture
def terminal(cold_project):
    """Runs the gate on a terminal: all that it shows, control characters included."""

    def run():
        cold_project.gate("af3_tokens(100)", 'af3_model(does="wait")')
        command = [*cold_project.pytester._getpytestargs(), *cold_project.options(model="misbehaving:Misbehaving")]
        outer, inner = pty.openpty()
        with os.fdopen(outer, "rb", buffering=0) as screen:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=inner, stderr=inner, cwd=cold_project.path)
            os.close(inner)
            shown = b""
            try:
                while chunk := screen.read(4096):
                    shown += chunk
            except OSError:
                pass  # how Linux says that nobody writes to the terminal any more
        assert process.wait() == 0
        return shown.decode()

    return run


def test_progress_is_one_line_that_is_written_over(terminal):
    shown = terminal()
    assert "\raf3mem: tracing: 100 tokens for h100-80gb (" in shown
    assert shown.rpartition(" s)")[2].partition("100%")[0].split() == [".", "["]


def test_elsewhere_there_is_no_progress(cold_project):
    cold_project.gate("af3_tokens(100)", 'af3_model(does="wait")')
    result = cold_project.run_apart(model="misbehaving:Misbehaving")
    assert result.ret == 0
    assert "compiling" not in result.stdout.str() + result.stderr.str()
