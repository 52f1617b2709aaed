"""The commands of `af3mem` that are about a real GPU: `calibrate` and `watch`. They parse arguments and wire the other rooms."""

from __future__ import annotations

import argparse
import datetime
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_af3mem import calibration, gpus, watch
from pytest_af3mem.commands import NOT_JUDGED, OK
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.planning import calibrate
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.session import Session
from pytest_af3mem.settings import Settings
from pytest_af3mem.verdict import Measurement, unmeasured
from pytest_af3mem.witnesses import summary

_SIZES = "256,512,1024,2048,3072"
_Show = Callable[[str], None]


def add(commands: Any, show: _Show) -> list[argparse.ArgumentParser]:
    """Adds both commands; those of them that take the options of a measurement."""
    calibrating = commands.add_parser(
        "calibrate",
        help="hold compiled numbers against this machine's GPU, and keep the record",
        description="Measures inputs of several sizes compiled and on this machine's GPU, shows both and keeps the record.",
    )
    calibrating.add_argument("--sizes", default=_SIZES, metavar="N,N,...", help=f"tokens of the inputs (default: {_SIZES})")
    calibrating.add_argument("--into", type=Path, metavar="DIR", help="folder of the record (default: in the cache folder)")
    calibrating.add_argument(
        "--dry-run", action="store_true", help="without a GPU: every step that needs none, on JAX's CPU device; no record"
    )
    calibrating.set_defaults(run=lambda parsed, settings: _calibrate(parsed, settings, show))

    watching = commands.add_parser(
        "watch",
        help="what a running process holds of the GPU, and how much of that is its pool's reserve",
        description="Says what a running process holds of the GPU, and how much of that is only its pool's reserve.",
    )
    watching.add_argument("pid", metavar="PID", help="process id, as nvidia-smi shows it")
    watching.set_defaults(run=_watch)
    return [calibrating, watching]


def _calibrate(parsed: argparse.Namespace, settings: Settings, show: _Show) -> int:
    sizes = _sizes(parsed.sizes)
    session = Session(settings)
    try:
        if parsed.dry_run:
            return _rehearse(session, sizes, show)
        pairs = calibrate.measure(session, sizes, show)
        notes = session.pool.notes
    finally:
        show("")
        session.close()
    rows = [
        Measurement.of(f"af3mem calibrate {pair.request.tokens}", pair.request, answer)
        for pair in pairs
        for answer in (pair.compiled, pair.run)
    ]
    made = calibrate.record(pairs, datetime.datetime.now(datetime.UTC).date())
    print(*notes, *terminal.table(rows), *summary(rows), *(line for pair in pairs for line in pair.problems), sep="\n")
    if settings.json:
        settings.json.write_text(json.render(rows))
    if made is not None:
        print(made, f"record: {calibration.write(parsed.into or settings.cache_dir / 'calibration', made)}", sep="\n")
    return OK if all(pair.is_whole for pair in pairs) else NOT_JUDGED


def _rehearse(session: Session, sizes: list[int], show: _Show) -> int:
    status = OK
    for size in sizes:
        request, compiled = (session.request(size=size, method=method) for method in ("run", "compiled"))
        try:
            print(f"{size} tokens: {session.wait(session.pool.submit(compiled), show)}")
            found = session.pool.rehearse(request)
        except NotJudged as error:
            status = NOT_JUDGED
            print(unmeasured(error, request.conditions).line)
            continue
        for (text, start), (_, end) in itertools.pairwise([*found["steps"], ("", found["seconds"])]):
            print(f"  {text:<48}{end - start:>8.1f} s")
        print(f"  {'all':<48}{found['seconds']:>8.1f} s")
        print(f"  not judged: {found['reason']}")
    target = session.settings.target
    print(f"dry run for {target} ({gpus.find(target).description}): no record is written, for JAX's CPU device counts no bytes")
    return status


def _sizes(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() and 0 < int(word) < 10**6 for word in words):
        raise UsageError(f"--sizes {text!r} must be whole numbers of tokens, like {_SIZES}")
    return [int(word) for word in words]


def _watch(parsed: argparse.Namespace, settings: Settings) -> int:
    if not parsed.pid.isdecimal():
        raise UsageError(f"PID {parsed.pid!r} must be the number of a process, as nvidia-smi shows it")
    try:
        for seen in watch.look(int(parsed.pid)):
            print(*watch.render(seen), sep="\n")
    except NotJudged as error:
        print(f"af3mem: {error}", file=sys.stderr)
        return NOT_JUDGED
    return OK
