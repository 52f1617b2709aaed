"""What pool and worker say to each other: what can be asked, and how an error gets across. Needs the standard library alone.

Each message is one line of JSON. The pool asks `{"do": verb, "number": n, ...}`; the worker says any number of
`{"progress": text}`, then `{"number": n, "value": ...}` or `{"number": n, "error": name, "text": ..., "fields": ...}`. After a
reply with `"last": true` it takes no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_af3mem.errors import Af3memError, InputError, NotJudged, OutOfMemory, SetupError, UsageError

VALUES: dict[str, tuple[type, ...]] = {
    "describe": (dict,),
    "components": (str, type(None)),
    "targets": (dict,),
    "featurise": (dict,),
    "measure": (dict,),
    "run": (dict,),
    "rehearse": (dict,),
    "sequence": (list,),
    "read": (dict,),
}
"""What can be asked, and the types of its answer."""


WAITING = "waiting for another process that measures the same"
"""The progress of a worker that does nothing: it does not count towards the time that a measurement may take."""


_FIELDS: dict[type[Af3memError], tuple[str, ...]] = {
    Af3memError: (),
    UsageError: (),
    InputError: ("path", "rule"),
    SetupError: (),
    NotJudged: ("detail",),
    OutOfMemory: ("detail", "asked_bytes", "limit_bytes"),
}
_BY_NAME = {error.__name__: error for error in _FIELDS}


def failure(error: Af3memError) -> dict[str, Any]:
    """An error as JSON, under the nearest of its classes that the other end knows."""
    known = next(kind for kind in type(error).__mro__ if kind in _FIELDS)
    fields = {name: getattr(error, name, None) for name in _FIELDS[known]}
    return {"error": known.__name__, "text": str(error), "fields": fields}


def error(reply: Mapping[str, Any], detail: str = "") -> Af3memError:
    """The error that `failure` wrote; `detail` is for one that has none. A name that is not known here is not judged."""
    kind = _BY_NAME.get(str(reply["error"]), NotJudged)
    text, fields = str(reply.get("text", "")), reply.get("fields")
    fields = fields if isinstance(fields, dict) else {}
    found = kind.__new__(kind, text)  # not by its constructor, which would make the text of its parts again
    vars(found).update({name: fields.get(name) for name in _FIELDS[kind]})
    if isinstance(found, NotJudged):
        found.detail = found.detail or detail
    return found


def read(line: bytes, number: int) -> dict[str, Any]:
    """A line that a worker wrote: progress, or the reply to the message of this number. Raises NotJudged for anything else."""
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        if isinstance(reply.get("progress"), str):
            return reply
        if reply.get("number") == number and ("value" in reply or "error" in reply):
            return reply
    raise NotJudged(f"the worker wrote something that is not a reply: {line[:60]!a}")


def check(verb: str, value: Any) -> None:
    """Raises NotJudged for an answer of a type that `verb` does not have."""
    if not isinstance(value, VALUES[verb]):
        raise NotJudged(f"the worker wrote something that is not an answer to {verb!r}: {ascii(value)[:60]}")
