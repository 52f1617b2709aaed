"""The chemical component dictionary as a store that opens in milliseconds and reads one component at a time.

AlphaFold 3 needs wwPDB's dictionary to be imported at all, and its wheels do not ship it. The PyPI package biotite does, as
BinaryCIF (51,437 components in 2.0.0). `prepare` turns it, once, into one SQLite file: component code -> number of heavy
atoms and, compressed, the columns in AlphaFold 3's own form (`_chem_comp_atom.atom_id` -> list of text); and, beside it, the
letters that AlphaFold 3 has for residues, from a table of its own. The file lies in the plugin's cache folder; nothing is
ever written into an AlphaFold 3 installation, and an installation that has files of its own, made by its `build_data`, keeps
using them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_af3mem.errors import SetupError, first_line
from pytest_af3mem.storage.files import locked, written_atomically

if TYPE_CHECKING:
    import numpy as np


_LAYOUT = 2
_MISSING = {1: ".", 2: "?"}  # BinaryCIF's mask values, as mmCIF writes them
_FIXED_POINT = {  # decimals that the CCD states, in columns that BinaryCIF holds as floating point
    **dict.fromkeys(("model_Cartn_x", "model_Cartn_y", "model_Cartn_z"), 3),
    **dict.fromkeys(("pdbx_model_Cartn_x_ideal", "pdbx_model_Cartn_y_ideal", "pdbx_model_Cartn_z_ideal"), 3),
    "formula_weight": 3,
}
_HYDROGENS = frozenset({"H", "D"})  # as inputs.chemistry has them, which is of another room


Component = Mapping[str, list[str]]


class Store(Mapping[str, Component]):
    """Read-only dictionary: component code -> its columns, each a list of text, decoded when first asked for."""

    def __init__(self, path: Path):
        self.path = path
        self._database = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
        self._decoded: dict[str, Component] = {}

    def __getitem__(self, code: str) -> Component:
        if code not in self._decoded:
            row = self._database.execute("SELECT header, rest FROM component WHERE code = ?", (code,)).fetchone()
            if row is None:
                raise KeyError(code)
            self._decoded[code] = json.loads(row[0]) | json.loads(zlib.decompress(row[1]))
        return self._decoded[code]

    def __contains__(self, code: object) -> bool:
        return self._database.execute("SELECT 1 FROM component WHERE code = ?", (code,)).fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        return (code for (code,) in self._database.execute("SELECT code FROM component ORDER BY code"))

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM component").fetchone()[0])

    def __hash__(self) -> int:  # AlphaFold 3 memoises functions of the dictionary
        return id(self)

    @property
    def written(self) -> int | None:
        """How many components it was written with; None where that is not said."""
        row = self._database.execute("PRAGMA user_version").fetchone()
        return int(row[0]) or None

    def headers(self) -> dict[str, Component]:
        """Every component's `_chem_comp` row alone: what a walk over the whole dictionary can afford to read."""
        return {code: json.loads(row) for code, row in self._database.execute("SELECT code, header FROM component ORDER BY code")}

    def close(self) -> None:
        self._database.close()

    def heavy_atoms(self, code: str) -> int:
        """Atoms of the component that are neither hydrogen nor deuterium. Raises KeyError for an unknown code."""
        row = self._database.execute("SELECT heavy_atoms FROM component WHERE code = ?", (code,)).fetchone()
        if row is None:
            raise KeyError(code)
        return int(row[0])

    def letter(self, code: str) -> str:
        """The letter that AlphaFold 3 writes for a residue in a sequence; empty where it has none, and writes an unknown."""
        row = self._database.execute("SELECT letter FROM letter WHERE code = ?", (code,)).fetchone()
        return str(row[0]) if row else ""


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
    source = _Pickled(installed) if installed else _Biotite()
    letters = letters or {}
    digest = hashlib.sha256(json.dumps(letters, sort_keys=True).encode()).hexdigest()[:8]
    path = folder / f"ccd-{source.identity}-letters-{digest}-layout{_LAYOUT}.sqlite"
    try:
        if not _is_whole(path):
            folder.mkdir(parents=True, exist_ok=True)
            with locked(path.with_suffix(".lock")):
                if not _is_whole(path):
                    progress(f"building the chemical component dictionary from {source.name}, once")
                    components = source.components(progress)
                    with written_atomically(path) as unfinished:
                        _write(unfinished, components, letters)
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
        return 0 < len(store) == store.written
    return False


def _write(path: Path, components: Iterable[tuple[str, dict[str, list[str]]]], letters: Mapping[str, str]) -> None:
    def rows() -> Iterator[tuple[str, int, str, bytes]]:
        for code, columns in components:
            heavy = sum(symbol.upper() not in _HYDROGENS for symbol in columns.get("_chem_comp_atom.type_symbol", ()))
            header = {name: values for name, values in columns.items() if name.startswith("_chem_comp.")}
            rest = {name: values for name, values in columns.items() if name not in header}
            yield code, heavy, json.dumps(header), zlib.compress(json.dumps(rest, separators=(",", ":")).encode(), 1)

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE component"
            " (code TEXT PRIMARY KEY, heavy_atoms INTEGER NOT NULL, header TEXT NOT NULL, rest BLOB NOT NULL);"
            "CREATE TABLE letter (code TEXT PRIMARY KEY, letter TEXT NOT NULL); BEGIN"
        )
        database.executemany("INSERT INTO letter VALUES (?, ?)", letters.items())
        database.executemany("INSERT INTO component VALUES (?, ?, ?, ?)", rows())
        (count,) = database.execute("SELECT count(*) FROM component").fetchone()
        database.execute(f"PRAGMA user_version = {count}")  # the mark of a store that is whole
        database.execute("COMMIT")


class _Pickled:
    """The dictionary that AlphaFold 3's `build_data` left in an installation."""

    name = "the installation's ccd.pickle"

    def __init__(self, path: Path):
        self._path = path
        status = path.stat()
        self.identity = f"installed-{status.st_size}-{status.st_mtime_ns}"

    def components(self, progress: Callable[[str], None]) -> Iterator[tuple[str, dict[str, list[str]]]]:
        try:
            dictionary = pickle.loads(self._path.read_bytes())
            for code in sorted(dictionary):
                yield code, {name: list(values) for name, values in dictionary[code].items()}
        except Exception as error:  # a damaged pickle raises whatever it likes
            text = f"{self._path} cannot be read ({first_line(error)}): build it again with AlphaFold 3's build_data"
            raise SetupError(text) from error


class _Biotite:
    """The dictionary inside the PyPI package biotite."""

    def __init__(self) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            self.name = f"biotite {version('biotite')}"
        except PackageNotFoundError:
            raise SetupError(
                "AlphaFold 3 needs the chemical component dictionary, and neither AlphaFold 3's own (build_data) nor biotite's "
                "is installed: pip install biotite"
            ) from None
        self.identity = self.name.replace(" ", "-")

    def components(self, progress: Callable[[str], None]) -> Iterator[tuple[str, dict[str, list[str]]]]:
        import biotite.structure.info
        import numpy as np
        from biotite.structure.io import pdbx

        file = pdbx.BinaryCIFFile.read(Path(biotite.structure.info.__file__).parent / "components.bcif")
        codes = file.block["chem_comp"]["id"].as_array()
        tables: list[tuple[dict[str, tuple[int, int]], dict[str, _Column]]] = []
        for category, key in (("chem_comp", "id"), ("chem_comp_atom", "comp_id"), ("chem_comp_bond", "comp_id")):
            table = file.block[category]
            owners = table[key].as_array()
            edges = np.flatnonzero(owners[1:] != owners[:-1]) + 1
            starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(owners)]
            spans = dict(zip(owners[starts].tolist(), zip(starts, ends, strict=True), strict=True))
            if len(spans) != len(starts):
                raise SetupError(f"{self.name}: the rows of {category} are not grouped by component")
            tables.append((spans, {f"_{category}.{name}": _Column(name, column) for name, column in table.items()}))
            progress(f"building the chemical component dictionary from {self.name}: {category} read")
        for code in sorted(codes.tolist()):
            component: dict[str, list[str]] = {}
            for spans, columns in tables:
                if code in spans:
                    start, end = spans[code]
                    component |= {name: column.text(start, end) for name, column in columns.items()}
            yield code, component


class _Column:
    """A BinaryCIF column, turned into mmCIF text a component at a time (as one list it would take gigabytes)."""

    def __init__(self, name: str, column: Any):
        self._values: np.ndarray = column.data.array
        self._mask: np.ndarray | None = None if column.mask is None or not column.mask.array.any() else column.mask.array
        if self._values.dtype.kind == "f":
            self._form: Callable[[Any], str] = (f"%.{_FIXED_POINT[name]}f" if name in _FIXED_POINT else "%g").__mod__
        else:
            self._form = str

    def text(self, start: int, end: int) -> list[str]:
        text = list(map(self._form, self._values[start:end].tolist()))
        if self._mask is not None:
            for row, mask in enumerate(self._mask[start:end].tolist()):
                if mask:
                    text[row] = _MISSING[mask]
        return text
