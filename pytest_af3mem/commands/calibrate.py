"""Measures inputs of several sizes, compiled and on this machine's GPU, shows both numbers and keeps the record.

With --from, the GPU's numbers come from a file of folds that run_alphafold.py made (pytest_af3mem.production), and no GPU is
needed here.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
from pathlib import Path
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.commands import MEASURING, NOT_JUDGED, OK
from pytest_af3mem.commands.arguments import Parser, asking, deliver, show, whole_numbers
from pytest_af3mem.errors import InputError, NotJudged, UsageError
from pytest_af3mem.planning import calibrate, production
from pytest_af3mem.records import calibration
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.production import read as read_folds
from pytest_af3mem.records.verdict import unmeasured
from pytest_af3mem.reports import json, terminal
from pytest_af3mem.reports import production as production_report
from pytest_af3mem.reports.agreement import summary
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings

HELP = "compare compiled numbers with this machine's GPU, and keep the record"
EXAMPLES = ("af3mem calibrate --into records", "af3mem calibrate --from peaks.jsonl")
STATUSES = {NOT_JUDGED: "some are not judged"}
TAKES = MEASURING
_SIZES = "256,512,1024,2048,3072"


def prepare(parser: Parser) -> None:
    parser.take(
        "--sizes",
        group="input",
        metavar="N,N,...",
        help=f"tokens of the inputs (default: {_SIZES})",
        read=lambda text: whole_numbers(text, "--sizes"),
    )
    parser.take(
        "--from",
        group="input",
        dest="folds",
        type=Path,
        metavar="FILE",
        help="compare the folds that pytest_af3mem.production recorded in this file with what is compiled",
    )
    parser.take("--into", group="report", type=Path, metavar="DIR", help="folder of the record (default: in the cache folder)")
    parser.take(
        "--dry-run",
        group="machine",
        action="store_true",
        help="without a GPU: take every step that needs none, on JAX's CPU device, and write no record",
    )


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    pairs, written = [], []
    folder = parsed.into or settings.cache_dir / "calibration"
    if parsed.folds and (parsed.dry_run or parsed.sizes):
        raise UsageError(f"--from reads what a GPU folded: leave {'--dry-run' if parsed.dry_run else '--sizes'} out")
    sizes = parsed.sizes or whole_numbers(_SIZES, "--sizes")
    with asking(settings) as session:
        if parsed.folds:
            return _of_production(session, parsed.folds, folder)
        if parsed.dry_run:
            return _rehearse(session, sizes)
        for pair in calibrate.measure(session, sizes, show):
            pairs.append(pair)
            made = calibrate.record(pairs, datetime.datetime.now(datetime.UTC).date())
            if made is not None:  # after each size, for it cannot be made again without the GPU
                made = calibration.joined(folder, made)
                written = [str(made), f"record: {calibration.write(folder, made)}"]
        notes = session.pool.notes
    rows = [
        Measurement.of(f"af3mem calibrate {pair.request.tokens}", pair.request, answer)
        for pair in pairs
        for answer in (pair.compiled, pair.run)
    ]
    lines = [*notes, *terminal.table(rows), *summary(rows), *(line for pair in pairs for line in pair.problems), *written]
    deliver(settings, "\n".join([*lines, ""]), json.render(rows))
    return OK if all(pair.is_whole for pair in pairs) else NOT_JUDGED


def _of_production(session: Session, path: Path, folder: Path) -> int:
    """Exit status 3 where no line could be held against what is compiled."""
    try:
        folds = read_folds(path, datetime.datetime.now(datetime.UTC))
    except InputError as error:
        raise UsageError(f"--from {str(path)!r} {error}") from error
    found = production.compare(session, folds, show)
    made = production.records(found)
    written = [line for one in made for line in (str(one), f"record: {calibration.write(folder, one)}")]
    text = production_report.render_text(found, [*session.pool.notes, *written])
    deliver(session.settings, text, production_report.render_json(found))
    return OK if any(isinstance(one.answer, Peak) for one in found.programs) else NOT_JUDGED


def _rehearse(session: Session, sizes: list[int]) -> int:
    status = OK
    for tokens in sizes:
        request, compiled = (session.request(tokens=tokens, method=method) for method in ("run", "compiled"))
        try:
            print(f"{tokens} tokens: {session.wait(session.pool.submit(compiled), show)}")
            first, second = map(_rehearsed, session.pool.gpu_runs.rehearsals(request))
        except NotJudged as error:
            status = NOT_JUDGED
            print(unmeasured(error, request.conditions).line)
            continue
        loaded = "loaded the program from" if second["from_cache"] else "compiled the program again and did not find it in"
        print(f"  the second process {loaded} JAX's compilation cache")
        if not first["counted"] and not second["counted"]:
            print(f"  no bytes were read in either, after {', '.join(first['looked'])}: the device has no memory counters")
        print(f"  not judged: {first['reason']}")
    target = session.settings.target
    print(f"dry run for {target} ({gpus.find(target).description}): no record is written, for JAX's CPU device counts no bytes")
    return status


def _rehearsed(found: dict[str, Any]) -> dict[str, Any]:
    """The same, with its steps printed."""
    for (text, start), (_, end) in itertools.pairwise([*found["steps"], ("", found["seconds"])]):
        print(f"  {text:<48}{end - start:>8.1f} s")
    print(f"  {'all':<48}{found['seconds']:>8.1f} s")
    return found
