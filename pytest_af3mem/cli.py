"""`af3mem`: parses arguments and wires the other rooms, nothing else."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem import __version__, doctor
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.peak import Peak
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.request import bucket, freeze
from pytest_af3mem.session import Session
from pytest_af3mem.settings import OPTIONS, Option, Settings
from pytest_af3mem.verdict import Measurement

OK, NOT_JUDGED, USAGE = 0, 3, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit status: 0 done, 2 something to mend in what was asked or installed, 3 not judged."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = Settings.read({option.name: getattr(parsed, option.name, None) for option in OPTIONS}, flag=_flag)
        run: Callable[[argparse.Namespace, Settings], int] = parsed.run
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

    measure = commands.add_parser("measure", help="measure one generated input", description="Measures one generated input.")
    measure.add_argument("--tokens", required=True, metavar="N", help="tokens of the input, exactly")
    measure.add_argument("--chains", type=int, default=1, metavar="N", help="protein chains (default: 1)")
    measure.add_argument("--ligand", metavar="CODE", help="CCD code of a ligand to add, such as ATP")
    measure.add_argument("--msa-depth", type=int, default=0, metavar="N", help="rows of each chain's MSA (default: 0)")
    measure.add_argument("--seed", type=int, default=0, metavar="N", help="another input of the same kind (default: 0)")
    measure.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the model; repeatable")
    measure.set_defaults(run=_measure)

    tokens = commands.add_parser(
        "tokens",
        help="tokens and bucket of AlphaFold 3 inputs",
        description="Says how many tokens the inputs have, without AlphaFold 3: one line for each job of each file.",
    )
    tokens.add_argument("files", nargs="+", type=Path, metavar="FILE", help="AlphaFold 3 or AlphaFold Server JSON")
    tokens.set_defaults(run=_tokens)

    checkup = commands.add_parser(
        "doctor",
        help="what is installed, what is missing, which targets compile",
        description="Says what is installed, what is missing and how to mend it, and which targets compile here.",
    )
    checkup.set_defaults(run=_doctor)

    for command in (measure, tokens, checkup):
        for option in OPTIONS:
            how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {"action": "store_true"}
            command.add_argument(_flag(option), dest=option.name, help=option.help, **how)
    return parser


def _flag(option: Option) -> str:
    return option.flag.replace("--af3-", "--")


def _measure(parsed: argparse.Namespace, settings: Settings) -> int:
    if not (parsed.tokens.isdecimal() and len(parsed.tokens) < 10):
        raise UsageError(f"--tokens {parsed.tokens!r} must be a whole number of at least 1")
    options = {
        name: value
        for name, value, usual in (
            ("chains", parsed.chains, 1),
            ("ligand", parsed.ligand, None),
            ("msa_depth", parsed.msa_depth, 0),
            ("seed", parsed.seed, 0),
        )
        if value != usual
    }
    session = Session(settings)
    try:
        request = session.request(size=int(parsed.tokens), options=options, settings=dict(map(_setting, parsed.set)))
        command = session.command(int(parsed.tokens), freeze(options), request)
        try:
            answer: Peak | NotJudged = session.wait(session.pool.submit(request), _show)
        except NotJudged as error:
            answer = error
        finally:
            _show("")
        measurement = Measurement.of("af3mem measure", request, answer, command=command)
        notes = session.pool.notes
    finally:
        session.close()
    report = json.render([measurement])
    if settings.json == Path("-"):
        print(report, end="")
    else:
        print(*notes, *terminal.table([measurement]), terminal.section(measurement), sep="\n")
        if settings.json:
            settings.json.write_text(report)
    return OK if measurement.peak else NOT_JUDGED


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--set {text!r} must be NAME=VALUE, like num_samples=1")
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError):
        literal = value  # a bare word is text
    return freeze({name: literal})[0]


def _show(text: str) -> None:
    """Progress on standard error, on terminals only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{f'af3mem: {text}' if text else ''}", end="", file=sys.stderr, flush=True)


def _tokens(parsed: argparse.Namespace, settings: Settings) -> int:
    broken = False
    session = Session(settings)
    try:
        buckets = session.buckets
        print(f"{'tokens':>6}  {'bucket':>6}  {'padding':>7}  job")
        for path in parsed.files:
            try:
                jobs = session.read(path)
                counted = [session.tokens(job) for job in jobs]
            except UsageError as error:
                broken = True
                print(f"af3mem: {str(path)!a}: {error}", file=sys.stderr)
                continue
            for index, (job, size) in enumerate(zip(jobs, counted, strict=True)):
                where = f"{path}[{index}]" if len(jobs) > 1 else str(path)
                padded = bucket(size, buckets)
                print(f"{size:>6}  {padded:>6}  {padded - size:>7}  {where} {job.name!a}")
    finally:
        _show("")
        session.close()
    return USAGE if broken else OK


def _doctor(parsed: argparse.Namespace, settings: Settings) -> int:
    session = Session(settings)
    try:
        findings = doctor.examine(session, _show)
    finally:
        _show("")
        session.close()
    print(doctor.render(findings))
    return OK if findings.healthy else USAGE


if __name__ == "__main__":
    sys.exit(main())
