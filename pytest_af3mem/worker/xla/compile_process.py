"""Compiling in a process of its own, as far as memory goes: XLA's plan of the buffers, when it is written; or to the end.

XLA decides about buffers in the first half of a compile, and generates code in the second. Told to dump what it does, it writes
the optimised program with its buffer assignment in between, so that nobody need wait for code that is never run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pytest_af3mem.errors import NotJudged

_MAIN = Path(__file__).with_name("compile_main.py")
_LOOK_SECONDS = 0.02
_AHEAD_SECONDS = 2.0  # AlphaFold 3 is traced and lowered in 5, and a process is ready in 1
_SMALL_BYTES = 2**16  # a smaller program is compiled to its end sooner than a process is started
_PLAN = "*_after_optimizations.hlo.pb"
_WRITTEN_AFTER_IT = "*_after_optimizations-memory-usage-report.pb"
_DUMP = {"xla_dump_hlo_as_proto": True, "xla_dump_hlo_as_text": False}
_FAILED = "Could not write XLA debug data"


@dataclass(frozen=True)
class Job:
    """What JAX gives to XLA: a program as bytecode of MLIR, and XLA's options for it, serialized."""

    program: bytes
    options: bytes


@dataclass(frozen=True)
class Output:
    """What a compile gave, and what XLA said meanwhile."""

    content: bytes
    said: str


class _Handed(Exception):
    """Carries what JAX gives to XLA out of JAX."""

    def __init__(self, job: Job | None):
        self.job = job


def job(lowered: Any, options: Mapping[str, bool | int | str]) -> Job | None:
    """What JAX would give to XLA. None where only this process can compile it, as a program that calls back into Python, and
    where JAX gives nothing, of which a whole compile says the reason."""
    from jax._src import compiler
    from jax._src.interpreters import mlir

    def hand_over(backend: Any, module: Any, executable_devices: Any, options: Any, host_callbacks: Any) -> Any:
        raise _Handed(None if host_callbacks else Job(mlir.module_to_bytecode(module), options.SerializeAsString()))

    original = getattr(compiler, "backend_compile_and_load", None)
    if original is None:  # as before JAX 0.7
        return None
    compiler.backend_compile_and_load = hand_over
    try:
        lowered.compile(compiler_options=dict(options))
    except _Handed as handed:
        return handed.job
    except MemoryError:
        raise
    except Exception:
        return None
    finally:
        compiler.backend_compile_and_load = original
    return None


class Compiler:
    """Compiles programs for one target, each in a process of its own.

    As a context it starts the process for the first of them ahead, which imports JAX while the program is traced, and ends it
    where nobody used it. It waits before that: what is traced in less time is small, and compiled in this process.

    A plan takes `threads`, None for as many as XLA likes, and is the same with any number of them.
    """

    def __init__(self, target_config: str, threads: int | None = None):
        self._target = target_config
        self._for_plan = _DUMP if threads is None else {**_DUMP, "xla_gpu_force_compilation_parallelism": threads}
        self._starting = threading.Timer(_AHEAD_SECONDS, self._start)
        self._starting.daemon = True
        self._lock = threading.Lock()
        self._ahead: _Process | None = None

    def __enter__(self) -> Self:
        self._starting.start()
        return self

    def __exit__(self, *_: object) -> None:
        if process := self._started():
            process.close()

    def plan(self, job: Job) -> Output | None:
        """XLA's plan of the buffers, a serialized HloProto. None where this version of JAX gives none that way, or a whole
        compile is no slower.

        Raises NotJudged where the process that compiles dies, or cannot write.
        """
        return self._compiled(job, self._for_plan) if len(job.program) >= _SMALL_BYTES else None

    def executable(self, job: Job) -> Output | None:
        """The serialized executable. None where XLA does not compile it, or not that way. Raises NotJudged as `plan` does."""
        return self._compiled(job, None)

    def _compiled(self, job: Job, for_plan: Mapping[str, bool | int] | None) -> Output | None:
        with contextlib.closing(self._started() or _Process(self._target)) as process:
            return process.compile(job, for_plan)

    def _start(self) -> None:
        with self._lock:
            if not self._starting.finished.is_set():
                with contextlib.suppress(OSError, NotJudged):  # who starts it again when it is needed says why
                    self._ahead = _Process(self._target)

    def _started(self) -> _Process | None:
        """The process that was started ahead, once; not where a new one would get another environment by now."""
        self._starting.cancel()
        with self._lock:
            process, self._ahead = self._ahead, None
        if process and process.surroundings != _surroundings():
            process.close()
            return None
        return process


class _Process:
    """A process that waits for a program to compile, in a folder of its own. Raises NotJudged where that cannot be written."""

    def __init__(self, target_config: str):
        self.surroundings = _surroundings()
        with contextlib.ExitStack() as opened:
            try:
                temporary = tempfile.TemporaryDirectory(prefix="af3mem-compile-", ignore_cleanup_errors=True)
                self._folder = Path(opened.enter_context(temporary))
                started_with = {"parent": os.getpid(), "path": sys.path, "target": target_config}
                (self._folder / "process.json").write_text(json.dumps(started_with))
                log = opened.enter_context((self._folder / "log").open("wb"))
            except OSError as error:
                raise _unwritten(f"{error.strerror}") from error
            command = [sys.executable, "-P", str(_MAIN), str(self._folder)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, bufsize=0)
            self._process = opened.enter_context(process)
            opened.callback(process.kill)
            self._opened = opened.pop_all()

    def compile(self, job: Job, for_plan: Mapping[str, bool | int] | None) -> Output | None:
        """What `Compiler` gives, to be asked for once: the plan, with these options besides the job's own, or the executable."""
        dump, to_end = self._folder / "dump", for_plan is None
        asked = {"options": {} if for_plan is None else {"xla_dump_to": str(dump), **for_plan}, "keep": to_end}
        try:
            (self._folder / "program.mlirbc").write_bytes(job.program)
            (self._folder / "options.pb").write_bytes(job.options)
            (self._folder / "job.json").write_text(json.dumps(asked))
        except OSError as error:
            raise _unwritten(f"{error.strerror}") from error
        status = self._run(dump)
        said = (self._folder / "log").read_text(errors="replace")
        kept = self._folder.glob("executable") if to_end else dump.glob(_PLAN)
        written = next((path.read_bytes() for path in kept), b"")
        sys.stderr.write(said)
        if status < 0:
            name = signal.Signals(-status).name
            hint = (
                ": most often the kernel's answer to too little host memory; --af3-workers 1 needs less" if status == -9 else ""
            )
            raise NotJudged(f"the process that compiles died ({name}{hint}): {_last_line(said)}")
        failures = [line.partition(_FAILED)[2] for line in said.splitlines() if _FAILED in line]
        if failures:
            raise _unwritten(failures[0].rpartition(": ")[2])
        return Output(written, said) if written else None

    def _run(self, dump: Path) -> int:
        """Compiles to the end, or until the plan is dumped, which then counts as exit status 0."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its status says more
            self._process.stdin.write(b"\n")
        while (status := self._process.poll()) is None:
            if any(dump.glob(_WRITTEN_AFTER_IT)):
                return 0
            time.sleep(_LOOK_SECONDS)
        return status

    def close(self) -> None:
        """Ends it, waits until it is gone, and removes its folder."""
        self._opened.close()


def _surroundings() -> tuple[dict[str, str], list[str]]:
    return dict(os.environ), list(sys.path)


def _unwritten(reason: str) -> NotJudged:
    return NotJudged(f"XLA's plan cannot be written to {tempfile.gettempdir()} ({reason}): set $TMPDIR to a folder with room")


def _last_line(text: str) -> str:
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
