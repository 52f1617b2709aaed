"""What a real GPU once read, and what was compiled for it without one: records that a compiled number is held against.

One JSON file a GPU, written by `af3mem calibrate`; another of folds in production, which `--from` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import InputError, SetupError
from pytest_af3mem.records.agreement import ByPhase, by_phase, share
from pytest_af3mem.records.measurement import Measurement
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.files import written_atomically
from pytest_af3mem.storage.typed import Filled, Positive, at

_SCHEMA = 1
_PACKAGE = Path(__file__).parents[1]
SHIPPED = (_PACKAGE / "calibrations", _PACKAGE.parent / "fixtures" / "calibration")  # in the wheel, in a clone
VERSIONS = ("jax", "jaxlib", "tokamax")
PRODUCTION = "production"


@dataclass(frozen=True)
class Point:
    """Both numbers of one bucket, in bytes: compiled without the GPU, and as read on it (see `Peak` and `Run`).

    `by_phase` is None in records that were written before phases were read. Of folds in production the allocator's peak alone is
    known, the highest of so many `folds`.
    """

    tokens: Positive
    bucket: Positive
    compiled_bytes: Positive
    program_bytes: Positive | None
    allocator_bytes: Positive
    steady_peak_bytes: int | None
    pool_bytes: int | None
    process_bytes: int | None
    by_phase: ByPhase | None = None
    folds: Positive | None = None

    @property
    def gap(self) -> float:
        """How much more the GPU's allocator gave than was compiled without it: 0.01 is 1 % more."""
        return share(self.compiled_bytes, self.allocator_bytes)

    @classmethod
    def of(cls, compiled: Peak, run: Peak) -> Point:
        assert run.run is not None
        assert run.allocator_bytes is not None
        assert run.tokens is not None
        assert run.bucket is not None
        return cls(
            tokens=run.tokens,
            bucket=run.bucket,
            compiled_bytes=compiled.total_bytes,
            program_bytes=run.program_bytes,
            allocator_bytes=run.allocator_bytes,
            steady_peak_bytes=run.run.steady_peak_bytes,
            pool_bytes=run.run.pool_bytes,
            process_bytes=run.process_bytes,
            by_phase=by_phase(run),
        )


@dataclass(frozen=True)
class Calibration:
    """One GPU, at several sizes. `date` is the day, as 2026-11-24; `model` the distribution that was measured.

    `origin` is "production" for folds of a runner, of which the driver is not known; empty for what `af3mem calibrate` measured.
    """

    target: Filled
    device: str
    driver: str
    date: Filled
    model: str
    software: Mapping[str, str]
    points: tuple[Point, ...] = field(metadata=at("sizes"))
    origin: str = ""

    def __str__(self) -> str:
        least, most = min(point.gap for point in self.points), max(point.gap for point in self.points)
        tokens = f"{min(point.bucket for point in self.points)} to {max(point.bucket for point in self.points)} tokens"
        made = f"{sum(point.folds or 0 for point in self.points)} folds" if self.origin else f"driver {self.driver}"
        gpu = "in production the GPU" if self.origin else "the GPU"
        return (
            f"{self.target}: {gpu} took {least * 100:+.2f} to {most * 100:+.2f} % of what was compiled "
            f"({tokens}, {self.model}, jax {self.software.get('jax', '?')}, {made}, {self.date})"
        )

    def to_json(self) -> dict[str, Any]:
        written = {"schema": _SCHEMA, **typed.write(self)}
        if not self.origin:  # as earlier versions read it
            del written["origin"]
            for size in written["sizes"]:
                del size["folds"]
        return written

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Raises InputError for what is no such record."""
        stated = typed.read(_Stated, data, others=True).schema
        if stated != _SCHEMA:
            raise InputError("schema", f"is not {_SCHEMA}", str(stated))
        found = typed.read(cls, {name: value for name, value in data.items() if name != "schema"})
        if not found.points:
            raise InputError("sizes", "must not be empty")
        return found


@dataclass(frozen=True)
class _Stated:
    schema: int


def read(folders: Iterable[Path]) -> tuple[list[Calibration], list[str]]:
    """The records in these folders, of one target and origin the later, and what is wrong with those that cannot be read."""
    found: dict[tuple[str, str], Calibration] = {}
    problems = []
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        try:
            record = Calibration.from_json(typed.parse(path.read_bytes()))
        except (OSError, InputError) as error:
            problems.append(f"calibration {path} is not used: {error.strerror if isinstance(error, OSError) else error}")
            continue
        place = record.target, record.origin
        if place not in found or found[place].date <= record.date:
            found[place] = record
    return list(found.values()), problems


def known(cache_dir: Path) -> tuple[list[Calibration], list[str]]:
    """The project's records and those in a user's cache folder, as `read` gives them."""
    return read((*SHIPPED, cache_dir / "calibration"))


def beside(measurements: Sequence[Measurement], cache_dir: Path) -> list[str]:
    """What real GPUs may be expected to take beyond what was only compiled for them, a line for each target."""
    peaks = [one.peak for one in measurements if one.peak]
    compiled, ran = {one.target: one for one in peaks if not one.run}, {one.target for one in peaks if one.run}
    records, problems = known(cache_dir) if compiled else ([], [])
    lines = []
    for name, peak in compiled.items():
        of_target = [one for one in records if one.target == name]
        if name not in ran:
            lines += [expectation(name, [one], peak.software) for one in of_target] or [expectation(name, [], peak.software)]
    return [*lines, *problems]


def joined(folder: Path, record: Calibration) -> Calibration:
    """The record with the other sizes of the one in `folder`, where that is of the same day, GPU, driver, model and software."""
    try:
        earlier = Calibration.from_json(typed.parse(_path(folder, record).read_bytes()))
    except (OSError, InputError):
        return record
    if replace(earlier, points=()) != replace(record, points=()):
        return record
    points = {point.bucket: point for point in (*earlier.points, *record.points)}
    return replace(record, points=tuple(points[bucket] for bucket in sorted(points)))


def _path(folder: Path, record: Calibration) -> Path:
    return folder / f"{record.target.replace('/', '-')}{f'-{record.origin}' if record.origin else ''}.json"


def write(folder: Path, record: Calibration) -> Path:
    """Writes `TARGET.json`, a slice's name with a dash for its slash. Raises SetupError where it cannot."""
    path = _path(folder, record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_atomically(path, of_the_user=True) as unfinished:
            unfinished.write_text(typed.render(record.to_json(), indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise SetupError(f"the calibration {path} cannot be written ({error.strerror}): choose another with --into") from error
    return path


def expectation(target: str, records: Sequence[Calibration], software: Mapping[str, str]) -> str:
    """What a real GPU may be expected to take beyond a compiled number, in one line; without a record, where to read on."""
    record = next((one for one in records if one.target == target), None)
    if record is None:
        return f"{target}: no GPU of it was read yet (af3mem calibrate, on one); docs/truth.md has what published peaks support"
    then = {name: record.software[name] for name in VERSIONS if name in record.software}
    other = [f"{name} {version}" for name, version in then.items() if version != software.get(name)]
    return f"{record}; that was with {', '.join(other)}" if other else str(record)
