"""Writes docs/reference.md, of what the code says of itself: `python docs/reference.py`.

The page is committed, since who reads a clone or its pages on a forge has no site; `tests/unit/test_docs.py` fails where it is
not what this makes.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest_af3mem
from pytest_af3mem import commands
from pytest_af3mem.commands import cli
from pytest_af3mem.commands.arguments import JOB_OPTIONS, Parser
from pytest_af3mem.plugin.fixture import GpuPeak
from pytest_af3mem.plugin.markers import MARKERS
from pytest_af3mem.session.settings import OPTIONS

PAGE = Path(__file__).with_name("reference.md")
SHARED = {cli._flag(option): option for option in OPTIONS}

TOP = """\
# Reference

Made by `python docs/reference.py` of what the code says of itself. [Words](words.md) explains its words; begin with
[The first hour](start.md).
"""
OPTIONS_RULE = """\
Each option has three spellings. The first that is set wins: the command line, the environment, pytest's ini file. Without
`--af3-gpu` the tests that measure are skipped. Paths in the ini file are relative to its folder, wherever pytest is started.
"""
ENVIRONMENT = {
    "AF3MEM_SHIPPED": "`no` measures what the answers that the package brings along would answer, too",
    "AF3MEM_TRUST_CACHE": "`1` uses a cache folder that other users may write, which is refused otherwise",
    "XDG_CACHE_HOME": "where the cache folder lies, instead of `~/.cache`",
    "XLA_FLAGS": "XLA's flags, instead of those of AlphaFold 3's container, where `--af3-flags` is not given",
    "GITHUB_ACTIONS, GITHUB_STEP_SUMMARY": "set by GitHub: failing tests are annotated, and the job's summary gets the table",
}
PYTEST_STATUSES = """\
`pytest` ends as it always does: 0 where all passed, 1 where a test failed (its memory is over, or was not judged), 4 where an
option is wrong or the model is not installed, 5 where no test was found.
"""


def render() -> str:
    """The whole page."""
    parts = [TOP, *_options(), *_markers(), *_fixture(), *_python(), *_commands(), *_statuses()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _options() -> Iterator[str]:
    yield "## Options of pytest\n"
    yield OPTIONS_RULE
    rows = [("--af3-gpu", "af3_gpu", "AF3MEM_GPU", "run the tests that measure GPU memory")]
    rows += [(_spelled(option.flag, option.metavar), f"af3_{option.name}", option.variable, option.help) for option in OPTIONS]
    yield _table(("option", "ini key", "environment", "what it does"), ((*map(_code, names), text) for *names, text in rows))
    yield "Other variables of the environment:\n"
    yield _table(("variable", "what it does"), ((_code(names), text) for names, text in ENVIRONMENT.items()))


def _markers() -> Iterator[str]:
    yield "## Markers\n"
    for name, marker in MARKERS.items():
        yield f"### {name}\n"
        yield _signed(name, marker.function)


def _fixture() -> Iterator[str]:
    yield "## The fixture gpu_peak\n"
    yield _prose(GpuPeak)
    for method, name in (
        (GpuPeak.__call__, "gpu_peak"),
        (GpuPeak.sequence, "gpu_peak.sequence"),
        (GpuPeak.shapes, "gpu_peak.shapes"),
    ):
        yield f"### {name}\n"
        yield _signed(name, method)


def _python() -> Iterator[str]:
    yield "## Python\n"
    yield f"`from pytest_af3mem import {', '.join(name for name in pytest_af3mem.__all__ if name[0] != '_')}`\n"
    for name in sorted(pytest_af3mem.__all__, key=str.lower):
        value = getattr(pytest_af3mem, name)
        if inspect.isclass(value):
            yield f"### {name}\n"
            yield _prose(value)
            for member, what in vars(value).items():
                if member[0] != "_" and isinstance(what, property | classmethod) and what.__doc__:
                    call = "" if isinstance(what, property) else _parameters(getattr(value, member))
                    yield f"`{name}.{member}{call}`: {_escaped(' '.join(what.__doc__.split()))}\n"
        elif callable(value):
            yield f"### {name}\n"
            yield _signed(name, value)


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    yield "`af3mem COMMAND --help` says the same. `python -m pytest_af3mem` is `af3mem`.\n"
    yield _table(
        ("command", "what it does"), ((f"[`{cli._name(one)}`](#af3mem-{cli._name(one)})", one.HELP) for one in cli._COMMANDS)
    )
    yield "### Options that commands share\n"
    yield "They mean what pytest's options of these names mean:\n"
    taken = {flag: [cli._name(one) for one in cli._COMMANDS if SHARED[flag].name in one.TAKES] for flag in SHARED}
    everywhere = {cli._name(one) for one in cli._COMMANDS if set(one.TAKES) == set(commands.MEASURING)}
    yield _table(
        ("option", "commands"),
        ((_code(_spelled(flag, SHARED[flag].metavar)), _of(names, everywhere)) for flag, names in taken.items() if names),
    )
    yield f"Measuring commands are {_list(sorted(everywhere))}.\n"
    yield "An input to generate, of exactly `--tokens` tokens, is shaped by:\n"
    yield _table(
        ("option", "what it does"), ((_code(_spelled(flag, how["metavar"])), how["help"]) for flag, how in JOB_OPTIONS.items())
    )
    (offered,) = (action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
    for module in cli._COMMANDS:
        name = cli._name(module)
        yield f"### af3mem {name}\n"
        yield _prose(module)
        yield "\n".join(f"    {example}" for example in module.EXAMPLES)
        yield from _arguments(offered.choices[name], {flag for flag, option in SHARED.items() if option.name in module.TAKES})
        yield f"Exit status: {_meanings({**commands.STATUSES, **module.STATUSES})}.\n"


def _arguments(parser: Parser, shared: set[str]) -> Iterator[str]:
    """The arguments of one command; of those that it shares with others the page tells once."""
    actions = [action for group in parser._action_groups for action in group._group_actions]
    own = [action for action in actions if not set(action.option_strings) & {"-h", *shared, *JOB_OPTIONS}]
    if own:
        yield _table(("argument", "what it does"), ((_code(_argument(action)), action.help or "") for action in own))
    if any(set(action.option_strings) & set(JOB_OPTIONS) for action in actions):
        yield "It takes the options of a generated input, too.\n"


def _argument(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"{action.metavar}..." if action.nargs in ("*", "+") else str(action.metavar)
    return _spelled(action.option_strings[-1], "" if action.nargs == 0 else str(action.metavar))


def _statuses() -> Iterator[str]:
    yield "## Exit statuses\n"
    yield "`af3mem` ends with these; 1 says that memory is too much, and nothing else.\n"
    said: dict[int, str] = {
        **commands.STATUSES,
        commands.OVER: "over: more memory than is allowed, or than there is",
        commands.NOT_JUDGED: "not judged, with the reason",
        commands.UNREAD: "nobody read its output, as in `af3mem ... | head`",
    }
    yield _table(("status", "what it means"), ((str(status), text) for status, text in sorted(said.items())))
    yield PYTEST_STATUSES


def _meanings(statuses: dict[int, str]) -> str:
    return ", ".join(f"{status} {text}" for status, text in sorted(statuses.items()))


def _of(names: list[str], measuring: set[str]) -> str:
    others = [name for name in names if name not in measuring]
    return "; ".join(filter(None, ["all that measure" if measuring <= set(names) else "", _list(others)]))


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _spelled(flag: str, metavar: str) -> str:
    return f"{flag} {metavar}".rstrip()


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Rows as Markdown; of the doubled percent signs that argparse wants one is shown."""
    cells = [[_escaped(cell.replace("%%", "%")).replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ("---",) * len(head), *cells]) + "\n"


def _escaped(text: str) -> str:
    """Asterisks as such, but for those in code."""
    return re.sub(r"(`[^`]*`)|\*", lambda found: found[1] or r"\*", text)


def _signed(name: str, function: Callable[..., Any]) -> str:
    return f"```text\n{name}{_parameters(function)}\n```\n\n{_prose(function)}"


def _parameters(function: Callable[..., Any]) -> str:
    """`(job=None, *, tokens=None)`: without types, and long defaults as dots."""
    signature = inspect.signature(function)
    shown = []
    for one in signature.parameters.values():
        default = ... if one.default is not one.empty and len(repr(one.default)) > 30 else one.default
        if one.name != "self":
            shown.append(one.replace(annotation=one.empty, default=default))
    return str(inspect.Signature(shown)).replace("Ellipsis", "...")


def _prose(documented: object) -> str:
    """A docstring as Markdown: what stands under `Args:` becomes a list."""
    text = _escaped(inspect.getdoc(documented) or "")
    text = text[:1].upper() + text[1:]
    before, _, rest = text.partition("\nArgs:\n")
    arguments, _, after = rest.partition("\n\n")
    items = re.split(r"\n(?=  \S)", arguments) if arguments else []
    listed = "\n".join(
        re.sub(r"^([\\*\w, ]+):", lambda found: f"- `{found[1]}`:".replace("\\", ""), " ".join(item.split())) for item in items
    )
    return "\n\n".join(part.strip("\n") for part in (before, listed, after) if part.strip()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
