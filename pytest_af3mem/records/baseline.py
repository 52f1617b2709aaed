"""The committed file of accepted peaks: as text, searched, and changed. Pure functions.

It is made for review: entries sorted, the number of each in a short line of its own and what explains it in those below, with
the keys of the JSON report, and nothing that changes when the memory does not, such as times or digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from pytest_af3mem.errors import InputError
from pytest_af3mem.gpus.size import EXACT, MOST, Size
from pytest_af3mem.records import holders
from pytest_af3mem.records.peak import Kernels, Peak
from pytest_af3mem.records.request import conditions, of_function
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.document import Node
from pytest_af3mem.storage.typed import Filled, Positive, Signed, at

SCHEMA = 1
UPDATE = "run with --af3-update-baseline"

_TOLERANCE_OF_RUNS = Size(percent=Decimal(1))
_FIRST_LINE = ("test", "tokens", "bucket", "target", "method", "total_bytes", "live_bytes")
_EMPTY = f'{{"schema": {SCHEMA}, "measurements": []}}\n'


@dataclass(frozen=True)
class Entry:
    """An accepted peak, and what it was measured with. `components` are the bytes that each holds at the peak.

    `settings` are those of the model that markers and options stated, XLA flags among them; `config` is what the model made of
    them and of its defaults. Entries of earlier versions do not say what was stated: their `settings` are None.

    Of a function `tokens` and `bucket` are None, and the call is one of the settings.

    Inputs of one test that fall in the same bucket are one program and share an entry; where they differ, it is the largest.
    """

    test: Filled
    tokens: Positive | None
    bucket: Positive | None
    target: Filled
    method: Filled
    total_bytes: Positive
    live_bytes: int | None
    kernels: Kernels
    components: Mapping[str, Signed]
    model: Filled = field(metadata=at("model", "name"))
    distribution: str = field(metadata=at("model", "distribution"))
    config: Mapping[str, Any] = field(metadata=at("model", "config"))
    software: Mapping[str, str]
    settings: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _ = self.function  # or it has tokens

    @classmethod
    def of(cls, test: str, peak: Peak, settings: Mapping[str, Any] | None = None) -> Entry:
        return cls(
            test=test,
            tokens=peak.tokens,
            bucket=peak.bucket,
            target=peak.target,
            method=peak.method,
            total_bytes=peak.total_bytes,
            live_bytes=peak.live_bytes,
            kernels=peak.kernels,
            components=holders.for_review(holders.by_component(peak)),
            model=peak.model.name,
            distribution=peak.model.distribution,
            config=typed.plain(peak.model.config),
            software={name: text for name, text in peak.software.items() if text},
            settings=typed.plain(settings),
        )

    @cached_property
    def parts(self) -> Mapping[str, str]:
        """What must be the same for two peaks to be comparable, besides the test: of settings those that were stated.

        A default of the model is none of them, so that a changed one is judged. Where it is unknown what was stated, the whole
        config must be the same.
        """
        settings = _rendered_values(self.config if self.settings is None else self.settings)
        named = {f"setting {name}": text for name, text in settings.items()}
        padded = {} if self.bucket is None else {"bucket": str(self.bucket)}
        return {"target": self.target, "method": self.method, **padded, "model": self.model, **named}

    @cached_property
    def key(self) -> tuple[str, bool, frozenset[tuple[str, str]]]:
        """What an entry is found by."""
        return self.test, self.settings is None, frozenset(self.parts.items())

    @cached_property
    def unstated(self) -> Entry:
        """As an earlier version wrote it."""
        return replace(self, settings=None)

    @property
    def scope(self) -> tuple[str, str, str]:
        """A run that measures for another GPU, by another method or another model says nothing about this entry."""
        return self.target, self.method, self.model

    @property
    def conditions(self) -> str:
        """As `Peak.conditions`."""
        return conditions(self.tokens, self.bucket, self.target, self.method, self.function)

    @property
    def function(self) -> str:
        """As `Peak.function`."""
        return of_function(self.tokens, self.bucket, self.config)

    @property
    def versions(self) -> Mapping[str, str]:
        return {"model": self.distribution, **self.software}

    def to_json(self) -> dict[str, Any]:
        mappings = {name: getattr(self, name) for name in ("components", "config", "software", "settings")}
        ordered: dict[str, Any] = {name: dict(sorted(value.items())) for name, value in mappings.items() if value is not None}
        written = typed.write(replace(self, **ordered))
        if self.settings is None:
            del written["settings"]
        return written


@dataclass(frozen=True)
class Baseline:
    """All accepted peaks."""

    entries: tuple[Entry, ...] = ()

    @cached_property
    def by_key(self) -> Mapping[Any, Entry]:
        return {entry.key: entry for entry in self.entries}

    def find(self, measured: Entry) -> Entry | None:
        """The entry that `measured` can be compared with; one of an earlier version where there is no other."""
        return self.by_key.get(measured.key) or self.by_key.get(measured.unstated.key)

    @property
    def unstated(self) -> list[Entry]:
        """Entries of earlier versions, which do not say what was stated."""
        return [entry for entry in self.entries if entry.settings is None]

    def why_none(self, measured: Entry) -> str:
        """Why there is no entry to compare with: none at all, or one of other conditions, and which."""
        of_test = [entry for entry in self.entries if entry.test == measured.test]
        same = [entry for entry in of_test if entry.tokens == measured.tokens or entry.bucket == measured.bucket]
        if not same:
            return f"no baseline: {UPDATE}"
        alike = [(entry, measured if entry.settings is not None else measured.unstated) for entry in same]
        differences = min((_differences(entry.parts, one.parts) for entry, one in alike), key=len)
        return f"the baseline is of {', '.join(f'another {difference}' for difference in differences)}: {UPDATE}"

    def updated(self, measured: Iterable[Entry], orphans: Iterable[Entry] = ()) -> Baseline:
        """With what was measured, the largest of each key, in the place of what it is compared with, and without orphans."""
        largest: dict[Any, Entry] = {}
        for entry in sorted(measured, key=lambda one: (one.total_bytes, one.tokens or 0)):
            largest[entry.key] = entry
        compared = filter(None, map(self.find, largest.values()))
        gone = {entry.key for entry in (*orphans, *compared)}
        kept = {key: entry for key, entry in self.by_key.items() if key not in gone}
        return Baseline(tuple((kept | largest).values()))

    def render(self) -> str:
        lines = map(_rendered, sorted(self.entries, key=_order))
        return "\n".join([f'{{"schema": {SCHEMA}, "measurements": [', ",\n".join(lines), "]}", ""]) if self.entries else _EMPTY

    @classmethod
    def parse(cls, text: str) -> Baseline:
        """The inverse of `render`. Raises InputError."""
        for number, line in enumerate(text.splitlines(), start=1):
            if line.startswith(("<<<<<<<", ">>>>>>>")):
                raise InputError("", f"has a merge conflict in line {number}: take one side, then {UPDATE}")
        document = Node.parse(text)
        if isinstance(document.value, dict) and "schema" in document.value:
            schema = document.parts()["schema"]
            if schema.whole(1, MOST) > SCHEMA:
                schema.refuse(f"is newer than the {SCHEMA} that this pytest-af3mem reads: upgrade it")
        fields = document.fields("schema", "measurements", required=("schema", "measurements"))
        found: dict[Any, Node] = {}
        entries = []
        for node in fields["measurements"].items():
            if isinstance(node.value, dict) and "test" in node.value and "tokens" not in node.value:  # null of a function
                raise InputError(f"{node.path}.tokens", "is missing")
            entry = typed.read(Entry, node.value, node.path)
            if entry.key in found:
                raise InputError(node.path, f"is the same measurement as {found[entry.key].path}: remove one of them")
            found[entry.key] = node
            entries.append(entry)
        return cls(tuple(entries))


def usual_tolerance(method: str) -> Size:
    """The growth that passes where none is stated: a compiled program needs what it needs, a run depends on its GPU's state."""
    return _TOLERANCE_OF_RUNS if method == "run" else EXACT


def differing_versions(before: Entry, after: Entry) -> list[str]:
    """Versions that are not those of the baseline: `jax 0.10.1, now 0.10.2`."""
    return _differences(before.versions, after.versions, "{name} {old}, now {new}")


def changed_defaults(before: Entry, after: Entry) -> list[str]:
    """What the model itself sets otherwise than in the baseline: `the model's num_samples is 6, was 5`."""
    if before.settings is None:
        return []
    return _differences(_rendered_values(before.config), _rendered_values(after.config), "the model's {name} is {new}, was {old}")


def _rendered_values(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: typed.render(value, sort_keys=True) for name, value in settings.items()}


def _differences(before: Mapping[str, str], after: Mapping[str, str], how: str = "{name} ({old}, now {new})") -> list[str]:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [how.format(name=name, old=before.get(name, "none"), new=after.get(name, "none")) for name in names]


def _rendered(entry: Entry) -> str:
    """Each component has a line of its own, so that a review shows those that changed."""
    fields = entry.to_json()
    number = typed.render({name: fields.pop(name) for name in _FIRST_LINE}).removesuffix("}")
    return ",\n ".join([number, *(f"{typed.render(name)}: {_lines(name, value)}" for name, value in fields.items())]) + "}"


def _lines(name: str, value: Mapping[str, Any]) -> str:
    if name != "components" or not value:
        return typed.render(value)
    parts = ",\n".join(f"  {typed.render(component)}: {number}" for component, number in value.items())
    return f"{{\n{parts}}}"


def _order(entry: Entry) -> tuple[object, ...]:
    """Sizes of one test in the order of their tokens."""
    function, _, _ = entry.test.partition("[")
    return function, entry.tokens or 0, entry.test, entry.bucket or 0, *entry.scope, sorted(entry.parts.items())
