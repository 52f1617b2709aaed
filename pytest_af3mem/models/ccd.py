"""The chemical component dictionary as a store that opens in milliseconds and reads one component at a time.

AlphaFold 3 needs wwPDB's dictionary to be imported at all, and its wheels do not ship it. The PyPI package biotite does, as
BinaryCIF (51,437 components in 2.0.0). `prepare` turns it, once, into one SQLite file: component code -> number of heavy
atoms and, compressed, the columns in AlphaFold 3's own form (`_chem_comp_atom.atom_id` -> list of text); each column of
`_chem_comp` once more, of all components; and the letters that AlphaFold 3 has for residues, from a table of its own. The file
lies in the plugin's cache folder; nothing is ever written into an AlphaFold 3 installation, and an installation that has files
of its own, made by its `build_data`, keeps using them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import pickle
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import SetupError, first_line
from pytest_af3mem.storage.files import locked, written_atomically

_LAYOUT = 3
_MISSING = {1: ".", 2: "?"}  # BinaryCIF's mask values, as mmCIF writes them
_FIXED_POINT = {  # decimals that the CCD states, in columns that BinaryCIF holds as floating point
    **dict.fromkeys(("model_Cartn_x", "model_Cartn_y", "model_Cartn_z"), 3),
    **dict.fromkeys(("pdbx_model_Cartn_x_ideal", "pdbx_model_Cartn_y_ideal", "pdbx_model_Cartn_z_ideal"), 3),
    "formula_weight": 3,
}
HYDROGENS = frozenset({"H", "D"})
"""Elements that AlphaFold 3 leaves out. It takes them in capitals alone: the h of a user's component is a token."""


Component = Mapping[str, list[str]]


class Store(Mapping[str, Component]):
    """Read-only dictionary: component code -> its columns, each a list of text, decoded when first asked for."""

    def __init__(self, path: Path):
        self.path = path
        self._database = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
        self._decoded: dict[str, Component] = {}

    def __getitem__(self, code: str) -> Component:
        if code not in self._decoded:
            self._decoded[code] = _unpacked(self._row("SELECT columns FROM component WHERE code = ?", code)[0])
        return self._decoded[code]

    def __iter__(self) -> Iterator[str]:
        return (code for (code,) in self._database.execute("SELECT code FROM component ORDER BY code"))

    def __len__(self) -> int:
        return int(self._row("SELECT count(*) FROM component")[0])

    def __hash__(self) -> int:  # AlphaFold 3 memoises functions of the dictionary
        return id(self)

    def headers(self) -> dict[str, Component]:
        """Every component's `_chem_comp` row alone, of which a column is read when it is first asked for: a walk over the whole
        dictionary can afford that.
        """
        names = tuple(name for (name,) in self._database.execute("SELECT name FROM header ORDER BY rowid"))

        @functools.cache
        def column(name: str) -> Component:
            return _unpacked(self._row("SELECT texts FROM header WHERE name = ?", name)[0])

        return {code: _Header(code, names, column) for code in self}

    def close(self) -> None:
        self._database.close()

    def heavy_atoms(self, code: str) -> int:
        """Atoms of the component that are neither hydrogen nor deuterium. Raises KeyError for an unknown code."""
        return int(self._row("SELECT heavy_atoms FROM component WHERE code = ?", code)[0])

    def letter(self, code: str) -> str:
        """The letter that AlphaFold 3 writes for a residue in a sequence; empty where it has none, and writes an unknown."""
        return str(self._row("SELECT coalesce(max(letter), '') FROM letter WHERE code = ?", code)[0])

    def _row(self, query: str, *values: str) -> Sequence[Any]:
        found: Sequence[Any] | None = self._database.execute(query, values).fetchone()
        if found is None:
            raise KeyError(*values)
        return found


class _Header(Mapping[str, list[str]]):
    """One component's texts in columns that `column` reads of all components."""

    def __init__(self, code: str, names: Sequence[str], column: Callable[[str], Component]):
        self._code, self._names, self._column = code, names, column

    def __getitem__(self, name: str) -> list[str]:
        return self._column(name)[self._code]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if self._code in self._column(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def prepare(
    folder: Path,
    *,
    installed: Path | None = None,
    letters: Mapping[str, str] | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Store:
    """Opens the store in `folder`, building it first where it is missing. Two processes that start together build it once.

    `installed` is the `ccd.pickle` of an AlphaFold 3 that has one; then the store is made of that, not of biotite's.
    `letters` are those that the installed AlphaFold 3 has for residues, by code. Raises SetupError when biotite is missing or
    the folder cannot be written.
    """
    name, identity, components = _pickled(installed) if installed else _biotite()
    letters = letters or {}
    digest = hashlib.sha256(json.dumps(letters, sort_keys=True).encode()).hexdigest()[:8]
    path = folder / f"ccd-{identity}-letters-{digest}-layout{_LAYOUT}.sqlite"
    try:
        if not _is_whole(path):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock")):
                if not _is_whole(path):
                    progress(f"building the chemical component dictionary from {name}, once")
                    with written_atomically(path) as unfinished:
                        _write(unfinished, components(progress), letters)
        with contextlib.suppress(OSError):  # the time of its last use, by which `storage.housekeeping` goes
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return Store(path)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SetupError(
            f"the chemical component dictionary cannot be written to {folder} ({reason}): "
            "choose another place with --af3-cache-dir or $AF3MEM_CACHE_DIR"
        ) from error


def _is_whole(path: Path) -> bool:
    """Whether there is a store at `path` that can be read and has all that was written; a damaged one is built again."""
    if not path.exists():
        return False
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(Store(path)) as store:
        return 0 < len(store) == int(store._row("PRAGMA user_version")[0])
    return False


def _write(path: Path, components: Iterable[tuple[str, Component]], letters: Mapping[str, str]) -> None:
    headers: dict[str, dict[str, list[str]]] = {}

    def rows() -> Iterator[tuple[str, int, bytes]]:
        for code, columns in components:
            heavy = sum(symbol.upper() not in HYDROGENS for symbol in columns.get("_chem_comp_atom.type_symbol", ()))
            for name, texts in columns.items():
                if name.startswith("_chem_comp."):
                    headers.setdefault(name, {})[code] = texts
            yield code, heavy, _packed(columns)

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE component (code TEXT PRIMARY KEY, heavy_atoms INTEGER NOT NULL, columns BLOB NOT NULL);"
            "CREATE TABLE header (name TEXT PRIMARY KEY, texts BLOB NOT NULL);"
            "CREATE TABLE letter (code TEXT PRIMARY KEY, letter TEXT NOT NULL); BEGIN"
        )
        database.executemany("INSERT INTO letter VALUES (?, ?)", letters.items())
        database.executemany("INSERT INTO component VALUES (?, ?, ?)", rows())
        database.executemany("INSERT INTO header VALUES (?, ?)", ((name, _packed(texts)) for name, texts in headers.items()))
        (count,) = database.execute("SELECT count(*) FROM component").fetchone()
        database.execute(f"PRAGMA user_version = {count}")  # the mark of a store that is whole
        database.execute("COMMIT")


def _packed(columns: Component) -> bytes:
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), 1)


def _unpacked(blob: bytes) -> Component:
    found: Component = json.loads(zlib.decompress(blob))
    return found


_Source = tuple[str, str, Callable[[Callable[[str], None]], Iterator[tuple[str, Component]]]]
"""A dictionary: its name, what tells it from others in the name of a file, and what reads its components."""


def _pickled(path: Path) -> _Source:
    """The dictionary that AlphaFold 3's `build_data` left in an installation."""

    def components(progress: Callable[[str], None]) -> Iterator[tuple[str, Component]]:
        try:
            dictionary = pickle.loads(path.read_bytes())
            for code in sorted(dictionary):
                yield code, {name: list(values) for name, values in dictionary[code].items()}
        except Exception as error:  # a damaged pickle raises whatever it likes
            text = f"{path} cannot be read ({first_line(error)}): build it again with AlphaFold 3's build_data"
            raise SetupError(text) from error

    status = path.stat()
    return "the installation's ccd.pickle", f"installed-{status.st_size}-{status.st_mtime_ns}", components


def _biotite() -> _Source:
    """The dictionary inside the PyPI package biotite."""
    try:
        source = f"biotite {importlib.metadata.version('biotite')}"
    except importlib.metadata.PackageNotFoundError:
        raise SetupError(
            "AlphaFold 3 needs the chemical component dictionary, and neither AlphaFold 3's own (build_data) nor biotite's "
            "is installed: pip install biotite"
        ) from None

    def components(progress: Callable[[str], None]) -> Iterator[tuple[str, Component]]:
        import biotite.structure.info
        import numpy as np
        from biotite.structure.io import pdbx

        file = pdbx.BinaryCIFFile.read(Path(biotite.structure.info.__file__).parent / "components.bcif")
        codes = file.block["chem_comp"]["id"].as_array()
        tables: list[tuple[dict[str, tuple[int, int]], dict[str, Callable[[int, int], list[str]]]]] = []
        for category, key in (("chem_comp", "id"), ("chem_comp_atom", "comp_id"), ("chem_comp_bond", "comp_id")):
            table = file.block[category]
            owners = table[key].as_array()
            edges = np.flatnonzero(owners[1:] != owners[:-1]) + 1
            starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(owners)]
            spans = dict(zip(owners[starts].tolist(), zip(starts, ends, strict=True), strict=True))
            if len(spans) != len(starts):
                raise SetupError(f"{source}: the rows of {category} are not grouped by component")
            tables.append((spans, {f"_{category}.{name}": _texts(name, column) for name, column in table.items()}))
            progress(f"building the chemical component dictionary from {source}: {category} read")
        for code in sorted(codes.tolist()):
            component: dict[str, list[str]] = {}
            for spans, columns in tables:
                if code in spans:
                    start, end = spans[code]
                    component |= {name: text(start, end) for name, text in columns.items()}
            yield code, component

    return source, source.replace(" ", "-"), components


def _texts(name: str, column: Any) -> Callable[[int, int], list[str]]:
    """Turns rows of a BinaryCIF column into mmCIF text, a component at a time: as one list it would take gigabytes."""
    values, mask = column.data.array, None if column.mask is None or not column.mask.array.any() else column.mask.array
    form: Callable[[Any], str] = str
    if values.dtype.kind == "f":
        form = (f"%.{_FIXED_POINT[name]}f" if name in _FIXED_POINT else "%g").__mod__

    def text(start: int, end: int) -> list[str]:
        texts = list(map(form, values[start:end].tolist()))
        if mask is not None:
            texts = [_MISSING.get(masked, text) for text, masked in zip(texts, mask[start:end].tolist(), strict=True)]
        return texts

    return text
