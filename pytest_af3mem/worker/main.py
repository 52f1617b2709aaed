"""The child process: reads requests, answers them, one line of JSON each. See `worker.protocol`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_af3mem.errors import Af3memError, NotJudged, first_line
from pytest_af3mem.gpus import nvml
from pytest_af3mem.models import fingerprint
from pytest_af3mem.records.request import Request
from pytest_af3mem.worker import protocol

if TYPE_CHECKING:
    from pytest_af3mem.worker.running import GpuWorker


def main(options: Mapping[str, Any]) -> None:
    """Serves until standard input ends. `options` are those that the pool started this process with."""
    sys.argv = sys.argv[:1]  # tokamax parses it with absl, and refuses options that are not its own
    os.set_inheritable(options["replies"], False)
    replies = os.fdopen(options["replies"], "w")
    os.environ.update(options["environment"])
    nvml.lend(options["nvml"])
    if not os.environ.get("XLA_FLAGS", "x").strip():
        del os.environ["XLA_FLAGS"]  # XLA aborts the process on flags that are only blanks
    if options["path"]:
        sys.path.insert(0, options["path"])
    fingerprint.ignore_bytecode(options["path"])
    _serve(options, sys.stdin, replies)


def _serve(options: Mapping[str, Any], messages: Iterable[str], replies: IO[str]) -> None:
    """Answers until the messages end, or the host's memory does. The worker is made for the first of them."""

    def say(reply: Mapping[str, Any]) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    worker: GpuWorker | None = None
    for message in map(json.loads, messages):
        try:
            if message["do"] == "read":
                found = _read(Path(message["path"]), lambda text: say({"progress": text}))
                say({"number": message["number"], "value": found})
                continue
            worker = worker or _made(options, lambda text: say({"progress": text}))
            value = _answer(worker, message)
        except Exception as error:
            known = _as_known(error)
            traceback.print_exception(error.__cause__ or error if known is error else error)
            is_last = isinstance(error, MemoryError)
            say({"number": message["number"], **protocol.failure(known), **({"last": True} if is_last else {})})
            if is_last:
                return
        else:
            say({"number": message["number"], "value": value, "notes": worker.cache.problems})
            worker.cache.problems = []


def _made(options: Mapping[str, Any], progress: Callable[[str], None]) -> GpuWorker:
    from pytest_af3mem.worker.running import GpuWorker  # not before `ignore_bytecode`, for it measures too

    return GpuWorker(
        options["model"],
        Path(options["folder"]),
        results=Path(options["results"]),
        progress=progress,
        path=Path(options["path"]) if options["path"] else None,
        shipped=Path(options["shipped"]) if options.get("shipped") else None,
    )


def _read(path: Path, progress: Callable[[str], None]) -> dict[str, Any]:
    """What a compiled program comes to that lies in a file; it takes no model, which may not be installed."""
    from pytest_af3mem.worker.xla import program_file  # as in `_made`

    return program_file.read(path, progress).to_json()


def _as_known(error: Exception) -> Af3memError:
    """What the other end is told of an error."""
    if isinstance(error, Af3memError):
        return error
    if isinstance(error, MemoryError):
        return NotJudged("the worker ran out of host memory; --af3-workers 1 needs less")
    return NotJudged(f"the worker failed: {first_line(error)}")


def _answer(worker: GpuWorker, message: Mapping[str, Any]) -> Any:
    """What is answered to a message, as JSON: see `protocol.VALUES`. Raises NotJudged for a verb that is not there."""
    match message["do"]:
        case "describe":
            return vars(worker.installation)
        case "components":
            return worker.components()
        case "targets":
            return worker.targets(message["described"])
        case "featurise":
            return worker.featurise(Request.from_json(message["request"]))
        case "measure":
            return worker.measure(Request.from_json(message["request"]), message.get("threads")).to_json()
        case "run":
            return worker.run(Request.from_json(message["request"]), message["uuid"], message["full"], _stored(message))
        case "rehearse":
            return worker.rehearse(Request.from_json(message["request"]), message["full"], _stored(message))
        case "sequence":
            return worker.sequence([Request.from_json(one) for one in message["requests"]], message["full"])
    raise NotJudged(f"the worker does not know how to {message['do']!r}")


def _stored(message: Mapping[str, Any]) -> Path | None:
    """The folder of JAX's compilation cache that a message names, if it does."""
    return Path(message["stored"]) if message.get("stored") else None
