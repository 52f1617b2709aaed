"""Whatever is given to `af3mem explain` as a log is read in little memory, and refused in one line where it is none."""

import gzip
import io
import json
import os
import random
import sys
import tracemalloc
from pathlib import Path

import pytest

from pytest_af3mem.commands import cli
from pytest_af3mem.planning.explain import read
from pytest_af3mem.planning.log_facts import WORDS
from pytest_af3mem.planning.log_lines import lines
from pytest_af3mem.planning.next_steps import steps
from pytest_af3mem.reports.explain import render_json, render_text

LOGS = sorted(Path(__file__).parents[2].joinpath("fixtures", "logs").glob("*.txt"))
OOM = b"jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1073741824 bytes.\n"
TOKENS = b"Got bucket size 512 for input with 300 tokens, resulting in 212 padded tokens.\n"
CASES = int(os.environ.get("AF3MEM_FUZZ_CASES", "300"))


@pytest.fixture
def af3mem(capsys, monkeypatch, tmp_path):
    """Exit status, output and errors of `af3mem explain`, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        status = cli.main(["explain", *arguments])
        return status, *capsys.readouterr()

    return run


def explained(log):
    return read(lines(io.BytesIO(log), WORDS))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty: give what the run printed, standard error included (run_alphafold.py ... > run.log 2>&1)"),
        (gzip.compress(OOM), "is packed: zcat LOG | af3mem explain -"),
        (b"\x28\xb5\x2f\xfd\x00", "is packed: zstdcat LOG | af3mem explain -"),
        ("Killed\n".encode("utf-16"), "is UTF-16: iconv -f UTF-16 -t UTF-8 LOG | af3mem explain -"),
        (
            b"\x7fELF\x02\x01\x01" + bytes(1000) + OOM,
            "is no text: give the log of a run (what text it has: strings LOG | af3mem explain -)",
        ),
        (
            random.Random(0).randbytes(10_000),
            "is no text: give the log of a run (what text it has: strings LOG | af3mem explain -)",
        ),
    ],
    ids=["empty", "gzip", "zstd", "utf-16", "program", "random"],
)
def test_what_is_no_log_is_one_line_with_the_way_out(af3mem, tmp_path, content, reason):
    (tmp_path / "run.log").write_bytes(content)
    assert af3mem("run.log") == (2, "", f"af3mem: 'run.log' {reason}\n")
    assert af3mem("-", stdin=content) == (2, "", f"af3mem: '-' {reason}\n")


def test_what_cannot_be_opened(af3mem, tmp_path):
    (tmp_path / "logs").mkdir()
    missing = "cannot be read (No such file or directory): name what a run printed, or - for standard input"
    assert af3mem("run.log") == (2, "", f"af3mem: 'run.log' {missing}\n")
    assert af3mem("logs") == (2, "", "af3mem: 'logs' is a folder: name the log itself, such as slurm-1234.out\n")
    assert af3mem("a\0b") == (2, "", "af3mem: 'a\\x00b' is not a path\n")
    assert af3mem("/dev/zero")[:2] == (2, "")


def test_standard_input_that_is_closed(af3mem, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr(sys, "stdin", None)
        return cli.main(["explain", *arguments])

    assert run("-") == 2


def test_exit_statuses(af3mem, tmp_path):
    (tmp_path / "known.log").write_bytes(OOM)
    (tmp_path / "unknown.log").write_bytes(b"Hello\n")
    assert af3mem("known.log")[0] == 0
    assert af3mem("unknown.log")[0] == 3
    assert af3mem("known.log", "unknown.log")[0] == 3
    assert af3mem("known.log", "missing.log")[0] == 2


def test_several_logs_and_a_broken_one(af3mem, tmp_path):
    (tmp_path / "a.log").write_bytes(OOM)
    (tmp_path / "b.log").write_bytes(b"Killed\n")
    status, output, errors = af3mem("a.log", "b.log", "c.log")
    assert (status, len(errors.splitlines())) == (2, 1)
    assert [line for line in output.splitlines() if not line.startswith("  ")] == [
        "a.log:",
        "the GPU ran out of memory (1.00 GiB asked for in one piece)",
        "b.log:",
        "the process was killed from outside, as is done when host memory runs out: no lack of GPU memory",
    ]
    _, output, _ = af3mem("a.log", "b.log", "c.log", "--json", "-")
    document = json.loads(output)
    assert [one["cause"] for one in document["logs"]] == ["gpu_memory", "killed"]
    assert [one["log"] for one in document["broken"]] == ["c.log"]


def test_standard_input(af3mem):
    status, output, errors = af3mem("-", stdin=TOKENS + OOM)
    assert (status, errors) == (0, "")
    assert "  input   300 tokens, padded to the bucket of 512\n" in output


@pytest.mark.parametrize(
    "log",
    [
        TOKENS.replace(b"\n", b"\r\n") + OOM.replace(b"\n", b"\r\n"),
        b" 10%|#   |\r 20%|##  |\r" + TOKENS + b" 99%|####|\r" + OOM,
        b"\x1b[32m"
        + TOKENS
        + b"\x1b[0m\x1b[1;31mjax\x1b[0m: Out of \x1b[01;31m\x1b[Kmemory\x1b[m\x1b[K while trying to allocate 1.00GiB.",
        TOKENS + b"\xff\xfe caf\xe9 \xed\xa0\x80\n" + OOM,
        b"I0411 run_docker.py:258] " + TOKENS + b"I0411 run_docker.py:258] " + OOM,
        TOKENS + b"\x00" * 10 + b"x" * 1000 + b"\n" + OOM,
        TOKENS + b"x" * 3_000_000 + b"\n" + OOM,
        TOKENS + OOM.strip(),
    ],
    ids=["windows", "progress bar", "colours", "not UTF-8", "prefixes", "a few zeros", "a long line", "no end of line"],
)
def test_a_log_as_terminals_and_containers_leave_it(log):
    found = explained(log)
    assert (found.found.cause.name, found.asked_bytes, found.tokens) == ("gpu_memory", 2**30, 300)


def test_lines_are_counted_as_an_editor_counts_them():
    noise = b"x" * 99 + b"\n"
    assert explained(noise * 50_000 + OOM).found.number == 50_001
    assert explained(b"10%\r20%\r30%\n" + OOM).found.number == 2
    assert explained(b"\x1b[1mx\x1b[0m\n" * 10 + OOM).found.number == 11


class Endless(io.RawIOBase):
    """A log of so many bytes, none of which are kept."""

    def __init__(self, line, size):
        self.line, self.left = line, size

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = (self.line * (len(buffer) // len(self.line) + 1))[: min(len(buffer), self.left)]
        buffer[: len(piece)] = piece
        self.left -= len(piece)
        return len(piece)


@pytest.mark.parametrize("line", [b"nothing of interest\n", b"x" * 4096, b"\r"], ids=["noise", "one line", "progress bar"])
def test_a_long_log_takes_little_memory(line):
    tracemalloc.start()
    try:
        read(lines(io.BufferedReader(Endless(line, 10_000_000)), WORDS))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_of_lines_that_repeat_the_last_is_kept():
    few, many = (explained((TOKENS + OOM) * times) for times in (2, 1000))
    assert (few.found.number, many.found.number) == (4, 2000)
    assert len(repr(many)) == len(repr(few)) + len("2000") - len("4")


@pytest.mark.parametrize(
    "line",
    [
        b"Out of memory while trying to allocate 99999999999999999999999999 bytes\n",
        b"Out of memory while trying to allocate 0 bytes\n",
        b"Out of memory while trying to allocate 1.2.3.4GiB\n",
        b"Got bucket size 999999999999 for input with 000000000 tokens\nKilled\n",
        b"--buckets=0,0 input with 5 tokens Calculating bucket size\nKilled\n",
        b"XLA_CLIENT_MEM_FRACTION=.\nGPU 0: NVIDIA L4 (UUID: GPU-1)\nOut of memory while trying to allocate 5 bytes\n",
        b"XLA_CLIENT_MEM_FRACTION=0\nGPU 0: NVIDIA L4 (UUID: GPU-1)\nOut of memory while trying to allocate 5 bytes\n",
        "Got bucket size ٣ for input with ٣ tokens\nKilled\n".encode(),
    ],
)
def test_numbers_that_cannot_be_right_break_nothing(line):
    found = explained(line)
    assert found.found
    assert render_text([("a", found)])
    assert json.loads(render_json([("a", found)], []))


def test_nothing_of_a_log_commands_a_terminal_or_a_ci_job(af3mem, tmp_path):
    name = "::error::\x1b[31m.log"
    (tmp_path / name).write_bytes(
        b"::error::Killed \x07\x08 ##[error]\xe2\x80\xae x\n" + b"GPU 0: NVIDIA H100 (UUID: GPU-\n: Killed \x08##[group]\n"
    )
    status, output, _ = af3mem(name, name)
    assert status == 0
    assert all(line.isprintable() for line in output.splitlines())
    assert not [line for line in output.splitlines() if line.lstrip().startswith("::") or "##[" in line]


def test_pieces_of_logs_in_any_order_are_read():
    """Whatever is cut, repeated or mixed, there is a record, a text and JSON."""
    chance = random.Random(1)
    whole = b"\n".join(path.read_bytes() for path in LOGS).splitlines()
    for _ in range(CASES):
        picked = [bytearray(chance.choice(whole)) for _ in range(chance.randrange(1, 12))]
        for line in picked:
            for _ in range(chance.randrange(4)):
                if line:
                    at = chance.randrange(len(line))
                    line[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        found = explained(b"\n".join(bytes(line) for line in picked) + b"\nend\n" + b"." * 1000)
        assert steps(found) or not found.is_failure
        assert render_text([("a", found)]).endswith("\n")
        json.loads(render_json([("a", found)], []))
