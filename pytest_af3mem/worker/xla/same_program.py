"""Whether a program was compiled before, as after an edit that changes none of its operations but moves lines of sources.

What XLA makes of a program does not depend on where its operations stand in files. So numbers of lines are left out of what is
compared, and in the answer those of the new sources take the place of the old. Nor does it depend on where a source tree lies.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_af3mem.records.peak import Holder
from pytest_af3mem.records.program_limits import LargeArray
from pytest_af3mem.records.timeline import Band
from pytest_af3mem.storage import typed
from pytest_af3mem.worker.xla.compile_process import Job
from pytest_af3mem.worker.xla.program import Compiled

_Placed = TypeVar("_Placed", Holder, LargeArray, Band)
# A place in a file, as MLIR writes each once, on a line of its own: `#loc3 = loc("/net/model.py":49:53 to :71)`.
_PLACE = re.compile(r'^(#loc\d* = loc\("((?:[^"\\]|\\.)*)"):(\d+):\d+(?: to \d*:\d+)?\)$', re.MULTILINE)


@dataclass(frozen=True)
class Listing:
    """A program's `digest` without numbers of lines, and the file and line of each place in their order."""

    digest: str
    places: tuple[tuple[str, int], ...]


def listing(lowered: Any, tree: Path | None = None) -> Listing:
    """Of a lowered program. Names of scopes, functions and files count; those of files in `tree` from there on."""
    text = lowered.as_text(debug_info=True)
    if tree:
        text = text.replace(f'loc("{tree}/', 'loc("')
    places = tuple((file, int(line)) for _, file, line in _PLACE.findall(text))
    return Listing(hashlib.sha256(_PLACE.sub(r"\1)", text).encode()).hexdigest(), places)


def options(job: Job) -> list[Any]:
    """XLA's options without the path of a toolchain, which is the same wherever it lies."""
    from jaxlib import xla_client

    found = xla_client.CompileOptions.ParseFromString(job.options)
    overrides = sorted((name, value) for name, value in found.env_option_overrides if name != "xla_gpu_cuda_data_dir")
    found.env_option_overrides = []
    return [hashlib.sha256(found.SerializeAsString()).hexdigest(), *map(list, overrides)]


@dataclass(frozen=True)
class _Stored:
    """A program, and the number of the line of each place in its listing."""

    program: Compiled
    lines: tuple[int, ...]


def stored(program: Compiled, listing: Listing) -> dict[str, Any]:
    """For a cache, from which `found` takes it."""
    return typed.write(_Stored(program, tuple(line for _, line in listing.places)))


def read(value: Any) -> tuple[Compiled, list[int]]:
    """What `stored` made. Raises InputError for anything else."""
    known = typed.read(_Stored, value)
    return known.program, list(known.lines)


def found(stored: tuple[Compiled, list[int]], listing: Listing) -> Compiled | None:
    """What was stored of an equal program, with the lines of the new one; None where these do not follow from the old."""
    program, lines = stored
    if len(lines) != len(listing.places):
        return None
    moved: dict[tuple[str, int], set[int]] = {}
    for (file, new), old in zip(listing.places, lines, strict=True):
        moved.setdefault((file, old), set()).add(new)
    large = program.limits.large_arrays
    timeline = program.attribution.timeline
    holders, arrays = _moved(program.attribution.holders, moved), _moved(large or (), moved)
    bands = _moved(timeline.bands if timeline else (), moved)
    if holders is None or arrays is None or bands is None or len({_kind(holder) for holder in holders}) < len(holders):
        return None
    holders.sort(key=lambda one: (-one.bytes, *_kind(one)))
    timeline = timeline and dataclasses.replace(timeline, bands=tuple(bands))
    return dataclasses.replace(
        program,
        attribution=dataclasses.replace(program.attribution, holders=tuple(holders), timeline=timeline),
        limits=dataclasses.replace(program.limits, large_arrays=None if large is None else tuple(arrays)),
    )


def _moved(found: Iterable[_Placed], moved: Mapping[tuple[str, int], set[int]]) -> list[_Placed] | None:
    """The same with the lines of the new sources; None where they do not follow from the old."""
    now: list[_Placed] = []
    for one in found:
        if one.source:
            file, _, line = one.source.rpartition(":")
            places = [new for (path, old), new in moved.items() if str(old) == line and f"/{path}".endswith(f"/{file}")]
            lines = set().union(*places)
            if len(lines) != 1:
                return None
            one = dataclasses.replace(one, source=f"{file}:{lines.pop()}")
        now.append(one)
    return now


def _kind(holder: Holder) -> tuple[str, str, str, str]:
    return holder.component, holder.kind, holder.array, holder.source
