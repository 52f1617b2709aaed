"""Answers that come with this project: a table for each target, measured before, and read as a layer below the cache.

An answer is found by the identity that the cache files it under, of which the table holds every part. Where no AlphaFold 3 is
installed there is none, and commands look an answer up by target and bucket (`session.shipped`), and say of which versions it is.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import InputError
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.request import Installation
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.cache import digest
from pytest_af3mem.storage.files import written_atomically
from pytest_af3mem.storage.typed import Filled, Positive

SCHEMA = 1
FOLDER = Path(__file__).parents[1] / "answers"
"""In this package; no part of the sources that an identity is of (`models.fingerprint.OWN`)."""
SWITCH = "AF3MEM_SHIPPED"
_SUFFIX = ".json.gz"


@dataclass(frozen=True)
class Row:
    """The peak of one bucket, and the digest of the shapes of the features that every input in it has."""

    signature: Filled
    peak: Peak


@dataclass(frozen=True)
class Table:
    """What was measured for one target, compiled with the settings and flags that go without saying, by `installation`."""

    schema: Positive
    target: Filled
    target_config: Filled
    installation: Installation
    rows: tuple[Row, ...]

    @property
    def by_bucket(self) -> dict[int, Row]:
        return {row.peak.bucket: row for row in self.rows if row.peak.bucket is not None}

    def identity(self, row: Row) -> dict[str, Any]:
        """As `records.identity.peak_identity`, all of it from here."""
        return {
            "installation": dataclasses.asdict(self.installation),
            "method": "compiled",
            "launch": False,
            "target": [self.target, self.target_config],
            "settings": {},
            "signature": row.signature,
        }

    def with_row(self, row: Row) -> Table:
        """The same with another answer, which takes the place of that of its bucket."""
        assert row.peak.bucket is not None
        rows = {**self.by_bucket, row.peak.bucket: row}
        return dataclasses.replace(self, rows=tuple(rows[bucket] for bucket in sorted(rows)))


def folder() -> Path | None:
    """Where answers are looked up; None where the variable `SWITCH` says that none are."""
    return None if os.environ.get(SWITCH, "").lower() in ("0", "false", "no", "off") else FOLDER


def citation(peak: Peak) -> str:
    """What is said of a shipped answer wherever one is used."""
    return f"shipped answer, measured with {peak.model.distribution}, jax {peak.software.get('jax', '?')}"


def place(folder: Path, target: str) -> Path:
    return folder / f"{target.replace('/', '-')}{_SUFFIX}"


def table(folder: Path, target: str) -> Table | None:
    """The table of a target; None where there is none. Raises InputError where it cannot be read."""
    try:
        path = place(folder, target)
        status = path.stat()
        found = _read(path, status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError("", f"cannot be read: {error}") from error
    return found if found.target == target else None


def tables(folder: Path | None) -> Iterator[Table]:
    """All that can be read."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")) if folder else ():
        try:
            yield _read(path, path.stat().st_mtime_ns, path.stat().st_size)
        except (OSError, InputError):
            continue


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed_ns: int, size: int) -> Table:
    try:
        data = typed.parse(gzip.decompress(path.read_bytes()))
    except (EOFError, ValueError, OSError) as error:
        raise InputError("", f"cannot be unpacked: {error}") from error
    found = typed.read(Table, data)
    if found.schema != SCHEMA:
        raise InputError("schema", f"is not {SCHEMA}", str(found.schema))
    return found


def write(folder: Path, made: Table) -> Path:
    """Writes the table of a target, the same bytes for the same answers. Raises OSError."""
    path = place(folder, made.target)
    folder.mkdir(parents=True, exist_ok=True)
    with written_atomically(path, of_the_user=True) as unfinished:
        unfinished.write_bytes(gzip.compress(typed.render(made, sort_keys=True).encode(), mtime=0))
    return path


def peak_of(folder: Path, identity: Mapping[str, Any]) -> Peak | None:
    """The answer of this very identity. Raises InputError where a table cannot be read."""
    found = table(folder, identity["target"][0])
    asked = digest(identity)
    return next((row.peak for row in (found.rows if found else ()) if found and digest(found.identity(row)) == asked), None)


def signature_of(folder: Path, installation: Installation, target: str, bucket: int) -> str | None:
    """The digest of the shapes that inputs in this bucket have by this very installation. Raises InputError, as `peak_of`."""
    found = table(folder, target)
    if found is None or found.installation.identity != installation.identity:
        return None
    row = found.by_bucket.get(bucket)
    return row.signature if row else None
