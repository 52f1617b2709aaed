"""`af3mem`: parses arguments and runs one of the modules in `commands`, nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pytest_af3mem import __version__
from pytest_af3mem.commands import (
    USAGE,
    calibrate,
    compare,
    doctor,
    fit,
    measure,
    plan,
    sweep,
    tokens,
    vary,
    watch,
)
from pytest_af3mem.errors import Af3memError
from pytest_af3mem.host import ends_on_signals
from pytest_af3mem.settings import OPTIONS, Option, Settings

_COMMANDS = (measure, vary, tokens, sweep, plan, compare, fit, calibrate, watch, doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit status: 0 done, 1 over budget, 2 something to mend in what was asked or installed, 3 not judged."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = Settings.read({option.name: getattr(parsed, option.name, None) for option in OPTIONS}, flag=_flag)
        run: Callable[[argparse.Namespace, Settings], int] = parsed.run
        with ends_on_signals():
            return run(parsed, settings)
    except Af3memError as error:
        print(f"af3mem: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("af3mem: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="af3mem", description="GPU memory of AlphaFold 3, without a GPU.")
    parser.add_argument("--version", action="version", version=f"pytest-af3mem {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    measuring = [option.name for option in OPTIONS if not option.of_tests_alone]
    for module in _COMMANDS:
        command = commands.add_parser(module.__name__.rpartition(".")[2], help=module.HELP, description=module.__doc__)
        module.prepare(command)
        command.set_defaults(run=module.run)
        taken = getattr(module, "OPTIONS", measuring)
        for option in (each for each in OPTIONS if each.name in taken):
            how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {"action": "store_true"}
            command.add_argument(_flag(option), dest=option.name, help=option.help, **how)
    return parser


def _flag(option: Option) -> str:
    return option.flag.replace("--af3-", "--")


if __name__ == "__main__":
    sys.exit(main())
