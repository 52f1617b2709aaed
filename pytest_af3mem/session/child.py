"""One worker process, as pytest sees it: it is started, asked and ended. Whatever it does meanwhile costs one reply.

It replies on a descriptor of its own, so that anything may print on its standard output, an interpreter's wrapper included.
It ends by itself when its standard input hangs up, which the kernel sees to when this process is gone, however it went; and
when this process is not to be found, for one that was forked of it may hold the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import NotJudged, SetupError
from pytest_af3mem.gpus import nvml
from pytest_af3mem.records import shipped
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.worker import protocol

_LOOK_SECONDS = 0.5  # between looks whether it lives: where a child of its own has the descriptor, that does not close
_END_SECONDS = 10
_REPLY_BYTES = 2**28
_LOG_LINES, _LOG_LINE_LENGTH, _LOG_TAIL_BYTES = 20, 300, 2**16


# The package is loaded by its folder: the worker's interpreter need not have it, and nothing else of ours gets on its path.
# The current folder comes last, so that a model of the user's own is found there and shadows nothing.
# Who watches does so before anything is imported that may hang. A signal at the parent's death (PR_SET_PDEATHSIG) would not do:
# it comes when the thread ends that started the process, and this one serves others after that.
_START = """
import json, os, sys
options = json.loads(sys.argv[1])
try:
    os.fstat(options["replies"])
except OSError:
    sys.exit("it does not get the descriptors that are open for it, on which it would reply: start Python by `exec`")
if sys.version_info < (3, 11):
    text = "%s is Python %d.%d, too old: " % ((sys.executable,) + sys.version_info[:2])
    text += "give one that holds AlphaFold 3 (Python 3.12 or 3.13)"
    reply = {{"number": 1, "error": "SetupError", "text": text, "last": True}}
    os.write(options["replies"], (json.dumps(reply) + "\\n").encode())
    sys.exit()
import select, signal, threading
def end_with(parent):
    pytest = select.poll()
    pytest.register(0, 0)
    process = "/proc/%d" % options["process"] if options["processes"] == os.readlink("/proc/self/ns/pid") else "/"
    while os.getppid() == parent and os.path.exists(process) and not pytest.poll(1000):
        pass
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
import importlib.util
sys.path = [entry for entry in sys.path if entry] + [""]
spec = importlib.util.spec_from_file_location("pytest_af3mem", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["pytest_af3mem"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
from pytest_af3mem.worker.main import main
main(options)
"""


class Died(NotJudged):
    """The worker is gone; `cause` is its exit status or signal."""

    def __init__(self, cause: str, detail: str):
        super().__init__(f"the worker died ({cause})", detail)
        self.cause = cause


class Child:
    """A worker that has been started, its log, and `scratch`, in which it has a temporary folder.

    One thread asks; `kill` may come from any. What it started in a session of its own outlives it.
    """

    def __init__(
        self, settings: Settings, results: Path, scratch: Path, environment: Mapping[str, str], inherited: Iterable[int] = ()
    ):
        package = Path(__file__).parents[1]
        self.doing = ""
        self._log_start = 0
        self._number = 0
        self._unread = bytearray()
        self._lines: deque[bytes] = deque()
        self._ending = threading.Lock()
        with contextlib.ExitStack() as opened:
            try:
                temporary = tempfile.mkdtemp(dir=scratch)
                opened.callback(shutil.rmtree, temporary, ignore_errors=True)
                self._log = opened.enter_context(tempfile.TemporaryFile())
                self._replies, replies = os.pipe()
                opened.callback(os.close, self._replies)
                options = {
                    "model": settings.model,
                    "path": str(settings.path) if settings.path else None,
                    "folder": str(settings.cache_dir.resolve()),
                    "results": str(results.resolve()),
                    "shipped": str(answers) if (answers := shipped.folder()) and not settings.no_cache else None,
                    "environment": dict(environment),
                    "nvml": nvml.library(),
                    "replies": replies,
                    "process": os.getpid(),
                    "processes": str(Path("/proc/self/ns/pid").readlink()),
                }
                start = _START.format(init=str(package / "__init__.py"), folder=str(package))
                try:
                    self._process = subprocess.Popen(
                        [settings.python, "-c", start, json.dumps(options)],
                        stdin=subprocess.PIPE,
                        stdout=self._log,
                        stderr=self._log,
                        bufsize=0,
                        env={**os.environ, "TMPDIR": temporary},
                        start_new_session=True,  # Ctrl-C is for pytest, which then ends its workers
                        pass_fds=(replies, *inherited),
                    )
                finally:
                    os.close(replies)
            except OSError as error:
                raise SetupError(f"--af3-python {settings.python} cannot be started: {error.strerror}") from error
            assert self._process.stdin is not None
            opened.enter_context(self._process.stdin)
            self._stdin = self._process.stdin.fileno()
            os.set_blocking(self._stdin, False)
            self._opened = opened.pop_all()

    def ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's reply. Raises NotJudged when it dies, replies with nonsense or takes longer than `seconds`.

        Taking the message counts towards that. Afterwards it is of no use, as it is after a reply that is the `last`.
        """
        deadline = _Deadline(seconds)
        if self._number:  # what it printed before it was first asked, as one that cannot start does, is of the first answer
            self._log_start = self._log_size()
        self._number += 1
        unsent = memoryview(json.dumps({**message, "number": self._number}).encode() + b"\n")
        try:
            with selectors.PollSelector() as events:
                events.register(self._replies, selectors.EVENT_READ)
                events.register(self._stdin, selectors.EVENT_WRITE)
                while True:
                    while self._lines:
                        reply = protocol.read(self._lines.popleft(), self._number)
                        if "progress" not in reply:
                            return reply | ({"last": True} if unsent else {})
                        self.doing = reply["progress"]
                        deadline.hear(self.doing)
                    ready = {key.fd for key, _ in events.select(min(_LOOK_SECONDS, self._left(deadline)))}
                    if self._stdin in ready:
                        unsent = self._sent(unsent)
                        if not unsent:
                            events.unregister(self._stdin)
                    if self._replies in ready:
                        self._read()
                    if not ready and not self.is_alive():
                        raise Died(self._cause_of_death(), self.log())
        finally:
            self.doing = ""

    def _left(self, deadline: _Deadline) -> float:
        left = deadline.left
        if left <= 0:
            doing = f" while {self.doing}" if self.doing else ""
            raise NotJudged(f"the worker took too long{doing} and was ended; --af3-timeout allows more", self.log())
        return left

    def _sent(self, message: memoryview) -> memoryview:
        """What of the message is left to send; nothing to a worker that is dead, which reading its reply will tell."""
        try:
            return message[os.write(self._stdin, message) :]
        except BlockingIOError:
            return message
        except OSError:
            return message[:0]

    def _read(self) -> None:
        chunk = os.read(self._replies, 2**16)
        if not chunk:
            raise Died(self._cause_of_death(), self.log())
        self._unread += chunk
        if len(self._unread) > _REPLY_BYTES:
            raise NotJudged("the worker wrote something that is not a reply: a line without an end", self.log())
        if b"\n" in chunk:
            *lines, self._unread = self._unread.split(b"\n")
            self._lines += map(bytes, lines)

    def is_alive(self) -> bool:
        return self._exit_status() is None

    def _exit_status(self) -> int | None:
        """None while it runs; negative is a signal. It is not reaped, so that its number is no one else's until `end`."""
        if self._process.returncode is not None:
            return self._process.returncode
        try:
            found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else reaped it
            return self._process.wait()
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def _cause_of_death(self) -> str:
        end = time.monotonic() + _END_SECONDS
        while (status := self._exit_status()) is None and time.monotonic() < end:
            time.sleep(0.01)
        if status is None:
            return "it closed the descriptor on which it replies"
        if status == -signal.SIGKILL:
            return "SIGKILL: most often the kernel's answer to too little host memory; --af3-workers 1 needs less"
        known = {number.value: number.name for number in signal.Signals}
        return known.get(-status, f"signal {-status}") if status < 0 else f"exit status {status}"

    def log(self) -> str:
        """The last lines of what the worker and its libraries printed since it was last asked."""
        start = max(self._log_start, self._log_size() - _LOG_TAIL_BYTES)
        tail = os.pread(self._log.fileno(), _LOG_TAIL_BYTES, start).decode(errors="replace")
        return "\n".join(line[:_LOG_LINE_LENGTH] for line in tail.splitlines()[-_LOG_LINES:])

    def _log_size(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    def kill(self) -> None:
        """Ends it and what it started, once: its number may be that of another process group later."""
        with self._ending:
            self._exit_status()
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """As `kill`, and waits until it is gone."""
        self.kill()
        with self._ending, contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)

    def release(self) -> None:
        """As `end`, and gives back what it held here. Not while another thread asks it."""
        self.end()
        self._opened.close()


class _Deadline:
    """The end of the time for a reply. While the worker waits for others its own time stands still; others have as much."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._own: float | None = None

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def hear(self, doing: str) -> None:
        own = self._own
        if doing == protocol.WAITING and own is None:
            self._own, self._end = self.left, time.monotonic() + self._seconds
        elif doing != protocol.WAITING and own is not None:
            self._own, self._end = None, time.monotonic() + own
