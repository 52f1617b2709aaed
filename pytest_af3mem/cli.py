"""`af3mem`: parses arguments and wires the other rooms, nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem import __version__, calibration, cli_gpu, doctor, gpus
from pytest_af3mem.commands import NOT_JUDGED, OK, OVER, USAGE, compare, fit, plan, sweep
from pytest_af3mem.commands.arguments import add_job_options as _add_job_options
from pytest_af3mem.commands.arguments import axis as _axis
from pytest_af3mem.commands.arguments import job_options as _job_options
from pytest_af3mem.commands.arguments import setting as _setting
from pytest_af3mem.commands.arguments import show as _show
from pytest_af3mem.commands.arguments import size as _size
from pytest_af3mem.errors import Af3memError, NotJudged, UsageError
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.peak import Peak
from pytest_af3mem.planning import vary
from pytest_af3mem.reports import effects as effects_report
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.request import bucket, freeze
from pytest_af3mem.session import Session
from pytest_af3mem.settings import OPTIONS, Option, Settings
from pytest_af3mem.size import Size
from pytest_af3mem.verdict import Measurement, Outcome

_PLANNING = {"sweep": sweep, "plan": plan, "compare": compare, "fit": fit}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Exit status: 0 done, 1 over budget, 2 something to mend in what was asked or installed, 3 not judged."""
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

    measure = commands.add_parser("measure", help="measure one input", description="Measures one input.")
    what = measure.add_mutually_exclusive_group(required=True)
    what.add_argument("--tokens", metavar="N", help="measure a generated input of exactly so many tokens")
    what.add_argument("--job", type=Path, metavar="FILE", help="measure the one of this AlphaFold 3 JSON")
    _add_job_options(measure)
    measure.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the model; repeatable")
    measure.add_argument(
        "--budget", metavar="SIZE", help='exit with status 1 where the peak is over it, such as "16 GiB" or "95 %%"'
    )
    measure.set_defaults(run=_measure)

    varied = commands.add_parser(
        "vary",
        help="change one component of the input or the model at a time, and see what it costs",
        description="Measures a generated input, then the same with one component changed at a time.",
    )
    varied.add_argument("--tokens", required=True, metavar="N", help="tokens of the input, exactly")
    _add_job_options(varied)
    varied.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the model; repeatable")
    varied.add_argument(
        "--over",
        action="append",
        required=True,
        metavar="NAME=VALUE,...",
        help="what to change: tokens, an option of the input ('none' for no ligands, ...), or a setting of the model; repeatable",
    )
    varied.set_defaults(run=_vary)

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

    planning = []
    for name, module in _PLANNING.items():
        planning.append(commands.add_parser(name, help=module.HELP, description=module.__doc__))
        module.prepare(planning[-1])
        planning[-1].set_defaults(run=module.run)

    for command in (measure, varied, tokens, checkup, *planning, *cli_gpu.add(commands, _show)):
        for option in (each for each in OPTIONS if not each.of_tests_alone):
            how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {"action": "store_true"}
            command.add_argument(_flag(option), dest=option.name, help=option.help, **how)
    return parser


def _flag(option: Option) -> str:
    return option.flag.replace("--af3-", "--")


def _measure(parsed: argparse.Namespace, settings: Settings) -> int:
    options = _job_options(parsed)
    if parsed.job and options:
        raise UsageError(f"--{next(iter(options)).replace('_', '-')} shapes a generated input: leave it out beside --job")
    budget = Size.parse(parsed.budget, name="--budget") if parsed.budget is not None else None
    session = Session(settings)
    try:
        chosen = dict(map(_setting, parsed.set))
        if parsed.job:
            request = session.request(_only_job(session, parsed.job), settings=chosen)
            command = session.command(request, job=parsed.job)
        else:
            size = _size(parsed.tokens)
            request = session.request(size=size, options=options, settings=chosen)
            command = session.command(request, size=size, options=freeze(options))
        try:
            answer: Peak | NotJudged = session.wait(session.pool.submit(request), _show)
        except NotJudged as error:
            answer = error
        finally:
            _show("")
        limit = budget.of(gpus.find(request.target).memory_bytes) if budget else None
        measurement = Measurement.of("af3mem measure", request, answer, budget_bytes=limit, command=command)
        notes = session.pool.notes
    finally:
        session.close()
    report = json.render([measurement], all_holders=settings.all_holders)
    if settings.json == Path("-"):
        print(report, end="")
    else:
        beside = calibration.beside([measurement], settings.cache_dir)
        print(*notes, *terminal.table([measurement]), terminal.section(measurement), *beside, sep="\n")
        if settings.json:
            settings.json.write_text(report)
    if measurement.verdict is None or measurement.verdict.outcome is Outcome.WITHIN:
        return OK
    return OVER if measurement.verdict.outcome is Outcome.OVER else NOT_JUDGED


def _vary(parsed: argparse.Namespace, settings: Settings) -> int:
    base = vary.Conditions(_size(parsed.tokens), _job_options(parsed), dict(map(_setting, parsed.set)))
    axes = dict(map(_axis, parsed.over))
    session = Session(settings)
    try:
        effects = vary.vary(session, base, axes, _show)
        notes = session.pool.notes
    finally:
        _show("")
        session.close()
    if settings.json == Path("-"):
        print(effects_report.render(effects), end="")
    else:
        print(*notes, effects[0].request.conditions, *effects_report.table(effects), sep="\n")
        if settings.json:
            settings.json.write_text(effects_report.render(effects))
    return OK if all(isinstance(one.answer, Peak) for one in effects) else NOT_JUDGED


def _only_job(session: Session, path: Path) -> Job:
    try:
        first, *others = session.read(path)
    except UsageError as error:
        raise UsageError(f"--job {str(path)!r}: {error}") from error
    if others:
        raise UsageError(f"--job {str(path)!r} holds {1 + len(others)} jobs: give a file with one")
    return first


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
