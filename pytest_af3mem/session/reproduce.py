"""The shell command that asks for the same measurement again, and settings of the model as text."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import UsageError
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.session.settings import Settings


def setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--set {text!r} must be NAME=VALUE, like num_samples=1")
    try:
        literal = ast.literal_eval(value.title() if value in ("true", "false") else value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last two by thousands of operators
        literal = value  # a bare word is text
    return freeze({name: literal})[0]


def command(
    settings: Settings,
    request: Request,
    *,
    tokens: int | None = None,
    options: Iterable[tuple[str, Any]] = (),
    job: Path | None = None,
) -> str:
    """The shell command that makes the same request again in a session with these settings.

    Its job is generated with so many `tokens` and these `options`, or the one in a file.
    """
    words = ["af3mem", "measure", *(("--job", str(job)) if job else ("--tokens", str(tokens))), "--target", request.target]
    for name, value in options:
        flag = f"--{name.replace('_', '-')}"
        if name == "smiles":
            words += [word for smiles in ([value] if isinstance(value, str) else value) for word in (flag, smiles)]
        elif value is not None:
            words += [flag, "+".join(value) if isinstance(value, tuple) else str(value)]
    for name, value in request.settings:
        words += ["--set", f"{name}={_spelled(value)}"]
    stated, usual = settings, Settings()
    if request.method != "compiled" or stated.method == "auto":
        words += ["--method", request.method, *(["--full-run"] if stated.full_run else ())]
    if stated.model != usual.model:
        words += ["--model", stated.model]
    if stated.python != usual.python:
        words += ["--python", stated.python]
    if stated.path:
        words += ["--path", str(stated.path)]
    if stated.buckets:
        words += ["--buckets", ",".join(map(str, stated.buckets))]
    return shlex.join(words)


def _spelled(value: Any) -> str:
    """A setting as `--set` reads it back: a Python value, or a bare word."""
    try:
        ast.literal_eval(str(value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return str(value) if isinstance(value, str) else repr(value)
    return repr(value)
