"""`af3mem`: parses arguments and runs one of the modules in `commands`, nothing else."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, TextIO

from pytest_af3mem import __version__, commands
from pytest_af3mem.commands import (
    bisect,
    cache,
    calibrate,
    compare,
    doctor,
    explain,
    fit,
    history,
    measure,
    plan,
    read,
    sweep,
    tokens,
    vary,
    watch,
)
from pytest_af3mem.commands.arguments import Parser, show
from pytest_af3mem.errors import Af3memError, UsageError, near, shown
from pytest_af3mem.session.host import ends_on_signals
from pytest_af3mem.session.settings import OPTIONS, Option, Settings, resolve_auto

_GROUPS = {"model": "model", "python": "model", "path": "model", "buckets": "model", "json": "report", "all_holders": "report"}
_BUG = "af3mem: this is a fault of pytest-af3mem, and says nothing of the memory: please report it"
_COMMANDS = (measure, vary, tokens, sweep, plan, compare, bisect, history, fit, read, calibrate, watch, explain, doctor, cache)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, and gives its exit status. Status 1 says that memory is too much, so nothing else may end with it."""
    _settle_streams()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()  # so that what cannot be written is met here, and not when Python ends
    except (Af3memError, UnicodeEncodeError) as error:
        return _refused(str(error))
    except BrokenPipeError:  # of `af3mem ... | head`: nobody reads on
        _discard(sys.stdout)
        return commands.UNREAD
    except OSError as error:
        _discard(sys.stdout)
        return _refused(f"{error.strerror or error}{f': {error.filename!r}' if error.filename else ''}")
    except KeyboardInterrupt:
        _tell("af3mem: interrupted")
        return commands.INTERRUPTED
    except Exception:
        _tell(f"{traceback.format_exc()}{_BUG}")
        return commands.FAULT


def _run(arguments: Sequence[str] | None) -> int:
    stated = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    if not stated:
        parser.print_help(sys.stderr)
        return _refused("error: the following arguments are required: COMMAND")
    names = [_name(module) for module in _COMMANDS]
    if not stated[0].startswith("-") and stated[0] not in names:
        raise UsageError(f"{stated[0]!r} is not a command{near(stated[0], names)} (there are {', '.join(names)})")
    parsed = parser.parse_args(stated)
    settings = resolve_auto(Settings.read(vars(parsed), flag=_flag))
    parsed.read(parsed)
    try:
        with ends_on_signals():
            return int(parsed.run(parsed, settings))
    finally:
        show("")


def _settle_streams() -> None:
    """Standard output and error take any text, and are there: Python has None for one that was closed, as cron may do."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (it lasts as long as the process)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refused(text: str) -> int:
    _tell(f"af3mem: {shown(text)}")
    return commands.USAGE


def _tell(text: str) -> None:
    """On standard error, where that can be written."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Lets what a stream cannot write go nowhere: Python would try again at its end, and fail."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):  # a stream without a descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="af3mem",
        description="GPU memory of AlphaFold 3, without a GPU.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_epilog([doctor.EXAMPLES[0], measure.EXAMPLES[0]], {commands.OVER: "over", commands.NOT_JUDGED: "not judged"}),
    )
    parser.add_argument("--version", action="version", version=f"pytest-af3mem {__version__}")
    offered = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for module in _COMMANDS:
        epilog = _epilog(module.EXAMPLES, module.STATUSES)
        command = offered.add_parser(_name(module), help=module.HELP, description=_filled(module.__doc__ or ""), epilog=epilog)
        module.prepare(command)
        command.set_defaults(run=module.run, read=command.read)
        for option in (each for each in OPTIONS if each.name in module.TAKES):
            how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {"action": "store_true"}
            command.take(_flag(option), group=_GROUPS.get(option.name, "machine"), help=option.help, **how)
    return parser


def _epilog(examples: Sequence[str], statuses: Mapping[int, str]) -> str:
    meanings = ", ".join(f"{status} {text}" for status, text in sorted({**commands.STATUSES, **statuses}.items()))
    return "\n".join(["examples:", *(f"  {example}" for example in examples), "", _filled(f"exit status: {meanings}")])


def _filled(text: str) -> str:
    width = shutil.get_terminal_size().columns - 2
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in text.strip().split("\n\n"))


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _flag(option: Option) -> str:
    return option.flag.replace("--af3-", "--")


if __name__ == "__main__":
    sys.exit(main())
