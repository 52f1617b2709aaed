"""The child process: reads requests, answers them, one line of JSON each. See `worker.protocol`."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_af3mem.errors import Af3memError, NotJudged, first_line
from pytest_af3mem.gpus import nvml
from pytest_af3mem.models import fingerprint
from pytest_af3mem.records.request import Request
from pytest_af3mem.worker import protocol

if TYPE_CHECKING:
    from pytest_af3mem.worker.running import GpuWorker


def _serve(options: Mapping[str, Any], read: Any, write: Any) -> None:
    def say(message: Mapping[str, Any]) -> None:
        write.write(json.dumps(message) + "\n")
        write.flush()

    from pytest_af3mem.worker.running import GpuWorker

    worker: GpuWorker | None = None
    for line in read:
        message = json.loads(line)
        number = message["number"]
        try:
            if worker is None:
                worker = GpuWorker(
                    options["model"],
                    Path(options["folder"]),
                    results=Path(options["results"]),
                    progress=lambda text: say({"progress": text}),
                    path=Path(options["path"]) if options["path"] else None,
                )
            value = _answer(worker, message)
        except Af3memError as error:
            traceback.print_exception(error.__cause__ or error)
            say({"number": number, **protocol.failure(error)})
        except MemoryError:
            traceback.print_exc()
            text = "the worker ran out of host memory; --af3-workers 1 needs less"
            say({"number": number, **protocol.failure(NotJudged(text)), "last": True})
            return
        except Exception as error:
            traceback.print_exc()
            say({"number": number, **protocol.failure(NotJudged(f"the worker failed: {first_line(error)}"))})
        else:
            say({"number": number, "value": value, "notes": worker.cache.problems})
            worker.cache.problems = []


def _answer(worker: GpuWorker, message: Mapping[str, Any]) -> Any:
    """What is answered to a message, as JSON: see `protocol.VALUES`. Raises NotJudged for a verb that is not there."""
    match message["do"]:
        case "describe":
            return vars(worker.installation)
        case "components":
            return worker.components()
        case "targets":
            return worker.targets()
        case "featurise":
            return worker.featurise(Request.from_json(message["request"]))
        case "measure":
            return worker.measure(Request.from_json(message["request"])).to_json()
        case "run":
            return worker.run(Request.from_json(message["request"]), message["uuid"], message["full"])
        case "rehearse":
            return worker.rehearse(Request.from_json(message["request"]), message["full"])
        case "sequence":
            return worker.sequence([Request.from_json(one) for one in message["requests"]], message["full"])
    raise NotJudged(f"the worker does not know how to {message['do']!r}")


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
