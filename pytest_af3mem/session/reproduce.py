"""The shell command that asks for the same measurement again, and settings of the model as text."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError
from pytest_af3mem.records.request import Request, freeze
from pytest_af3mem.session.settings import AUTO, Settings


def setting(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` as the name and the value of a setting. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--set {text!r} must be NAME=VALUE, like num_samples=1")
    literal = value.title() if value in ("true", "false") else value
    return freeze({name: ast.literal_eval(literal) if _is_literal(literal) else value})[0]  # a bare word is text


def command(
    settings: Settings,
    request: Request,
    *,
    tokens: int | None = None,
    options: Iterable[tuple[str, Any]] = (),
    job: Path | None = None,
    does: Sequence[str] = ("measure",),
) -> str:
    """The shell command that makes the same request again in a session with these settings, or `does` another thing with it.

    Its job is generated with so many `tokens` and these `options`, or the one in a file.
    """
    target = gpus.spelled(request.target)
    words = ["af3mem", *does, *(("--job", str(job)) if job else ("--tokens", str(tokens))), "--target", target]
    for name, value in options:
        flag = f"--{name.replace('_', '-')}"
        if name == "smiles":
            words += [word for smiles in ([value] if isinstance(value, str) else value) for word in (flag, smiles)]
        elif value is not None:
            words += [flag, "+".join(value) if isinstance(value, tuple) else str(value)]
    for name, value in request.settings:
        words += ["--set", f"{name}={_spelled(value)}"]
    if request.method != "compiled" or settings.method == AUTO:
        words += ["--method", request.method, *(["--full-run"] if settings.full_run else ())]
    words += ["--launch"] if request.launch else []
    for name in ("model", "python", "path", "buckets"):
        value = getattr(settings, name)
        if value != getattr(Settings(), name):
            words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def _spelled(value: Any) -> str:
    """A setting as `--set` reads it back: a Python value, or a bare word."""
    return value if isinstance(value, str) and not _is_literal(value) else repr(value)


def _is_literal(text: str) -> bool:
    """Whether it is a Python value."""
    try:
        repr(ast.literal_eval(text))  # which Python refuses of numbers of thousands of digits
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # the last two by thousands of operators
        return False
    return True
