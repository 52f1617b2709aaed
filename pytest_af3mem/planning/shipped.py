"""Makes the tables of answers that come with this project, and holds them against what is measured now."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.models import fingerprint
from pytest_af3mem.planning.ask import Show, answer
from pytest_af3mem.records import shipped
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Request
from pytest_af3mem.records.shipped import Row, Table
from pytest_af3mem.session.session import Session
from pytest_af3mem.worker.environment import ENVIRONMENT


def make(session: Session, target: str, sizes: Sequence[int], folder: Path, show: Show) -> Iterator[str]:
    """Measures those of the sizes that the table of `target` lacks, and writes it after each; a line for each of them.

    A table of other versions, sources or another description of the target is begun anew. Raises UsageError where variables are
    set that change what is measured.
    """
    if session.installation.environment != fingerprint.environment(ENVIRONMENT):
        raise UsageError("unset the variables that begin with AF3_, JAX_, TOKAMAX_ and XLA_: shipped answers are of none")
    empty = Table(shipped.SCHEMA, target, gpus.find(target).target_config(), session.installation, ())
    made = shipped.table(folder, target) or empty
    if dataclasses.replace(made, rows=()) != empty:
        yield f"{target}: begun anew, for its table is of other versions or sources"
        made = empty
    missing = [tokens for tokens in sizes if tokens not in made.by_bucket]
    yield f"{target}: {len(sizes) - len(missing)} of {len(sizes)} sizes are there"
    requests = [session.request(tokens=tokens, target=target, method="compiled") for tokens in missing]
    for request, future in [(one, session.pool.submit(one)) for one in requests]:
        try:
            row = _row(session, request, future, show)
        except NotJudged as error:
            yield f"{target}: not judged: {request.tokens} tokens: {error}"
        else:
            made = made.with_row(row)
            shipped.write(folder, made)
            yield f"{target}: {row.peak}"


def _row(session: Session, request: Request, future: Future[Peak], show: Show) -> Row:
    """Raises NotJudged where nothing was measured, and where another input of the bucket has other shapes."""
    if request.tokens is None or request.bucket != request.tokens or request.settings:
        raise NotJudged("a table has buckets alone, with the settings and flags that go without saying")
    found = answer(session, future, show)
    if isinstance(found, NotJudged):
        raise found
    signature = session.pool.signature(request)
    other = dataclasses.replace(request, job=generate(request.tokens, chains=2, msa_depth=8).to_json(), generated=False)
    if session.pool.signature(other) != signature:
        raise NotJudged("two inputs of this bucket have other shapes, so that no answer is that of all of them")
    return Row(signature, dataclasses.replace(found, seconds=0.0, cached=False, same_program=False, shipped=False))


def check(session: Session, target: str, sizes: Sequence[int], folder: Path, show: Show) -> Iterator[tuple[bool, str]]:
    """Measures these sizes again, and says of each whether the table has the same. `session` must know no answers."""
    found = shipped.table(folder, target)
    if found is None:
        yield False, f"{target}: no table"
        return
    now = dataclasses.replace(found, installation=session.installation, target_config=gpus.find(target).target_config())
    if now != found:
        yield False, f"{target}: of other versions, sources or another description of it than are here"
    for tokens in sizes:
        row = found.by_bucket.get(tokens)
        if row is None:
            yield False, f"{target}: {tokens} tokens are not in its table"
            continue
        request = session.request(tokens=tokens, target=target, method="compiled")
        measured = answer(session, session.pool.submit(request), show)
        if isinstance(measured, NotJudged):
            yield False, f"{target}: not judged: {tokens} tokens: {measured}"
            continue
        differing = _differing(row.peak, measured)
        yield not differing, f"{target}: {row.peak}: {f'differs in {differing}' if differing else 'the same'}"


def _differing(known: Peak, measured: Peak) -> str:
    """The names of what differs between two peaks, but how they were found and what they were found with."""
    left, right = known.to_json(), measured.to_json()
    how = {"seconds", "cached", "same_program", "shipped", "software", "model"}
    return ", ".join(name for name in left if name not in how and left[name] != right[name])
