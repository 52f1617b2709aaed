"""A template as AlphaFold 3 reads it: which residues its one polymer chain has, and what it asks of the mmCIF before.

The rules lie in its `structure/parsing.py`, in `structure/cpp` and in `get_polymer_features` of `data/templates.py`; its
featuriser is the authority, as for tokens. Chains have the ids of `label_asym_id`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from pytest_af3mem.inputs import conformations, mmcif
from pytest_af3mem.inputs.mmcif import Block

_ATOM_SITE = """id label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y
    Cartn_z occupancy B_iso_or_equiv auth_asym_id pdbx_PDB_model_num""".split()
_POLYMERS = frozenset(
    {
        "polypeptide(L)",
        "polypeptide(D)",
        "cyclic-pseudo-peptide",
        "peptide nucleic acid",
        "polyribonucleotide",
        "polydeoxyribonucleotide",
        "polydeoxyribonucleotide/polyribonucleotide hybrid",
        "other",
    }
)
_WATERS = frozenset({"HOH", "DOD"})
_POLYMER_SCHEME = "asym_id seq_id mon_id pdb_seq_num pdb_ins_code pdb_strand_id".split()
_LIGAND_SCHEME = "asym_id pdb_seq_num mon_id pdb_ins_code".split()


_Key = tuple[str, str, str, str]
"""A residue as atoms name it: chain, number by the authors, component, insertion code."""


@dataclass(frozen=True)
class _Residue:
    """Atoms that stand together and belong together: their rows in `_atom_site` that are looked at, and what the first says."""

    rows: Sequence[int]
    chain: str
    position: str
    number: str
    component: str
    insertion: str


@dataclass(frozen=True)
class _Chains:
    """What the tables say of chains, or what AlphaFold 3 makes of the atoms where there is none.

    Attributes:
      entities: The entity of each chain.
      types: The type of each entity: "polymer", "water" and so on.
      polymers: The type of each polymer, "polypeptide(L)" and so on.
    """

    entities: Mapping[str, str]
    types: Mapping[str, str]
    polymers: Mapping[str, str]

    def entity(self, chain: str) -> str:
        return self.entities.get(chain, chain)  # AlphaFold 3 leaves names alone that it does not find

    def type(self, chain: str) -> str:
        entity = self.entity(chain)
        return self.types.get(entity, entity)

    def is_polymer(self, chain: str) -> bool:
        kind = self.type(chain)
        return self.polymers.get(self.entity(chain), kind) in _POLYMERS

    def is_read(self, chain: str) -> bool:
        """Whether its atoms are read: no water, and no polymer without a type."""
        entity = self.entity(chain)
        kind = self.types.get(entity, next(iter(self.types.values()), "polymer"))  # AlphaFold 3 takes the first for a missing one
        return entity in self.polymers if kind == "polymer" else kind != "water"


def residues(text: str) -> int:
    """Residues of a template's chain, those without coordinates included: template indices are below it.

    Raises ValueError, with the rule, unless it is one structure with coordinates, a date and a single polymer chain.
    """
    block = mmcif.structure(text)
    site = _atom_site(block)
    _check_date(block)
    chains = _chains(block, site)
    read = _read_residues(site, chains)
    _check_numbers(site, read)
    listed = _listed_residues(block, chains, read)
    _check_order(read, listed)
    polymers = dict.fromkeys(residue.chain for residue in read if chains.is_polymer(residue.chain))
    if len(polymers) != 1:
        raise ValueError(f"must hold a single polymer chain with atoms, and has {len(polymers)}")
    (chain,) = polymers
    return sum(key[0] == chain for key in listed)


def _atom_site(block: Block) -> Block:
    """The columns of `_atom_site`, by their short names."""
    site = {item.removeprefix("_atom_site."): values for item, values in block.items() if item.startswith("_atom_site.")}
    if missing := [column for column in _ATOM_SITE if column not in site]:
        raise ValueError(f"has no _atom_site.{missing[0]}")
    if not site["id"]:
        raise ValueError("has no atoms: _atom_site has no rows")
    if len({len(values) for values in site.values()}) != 1:
        raise ValueError("has columns of unequal length in _atom_site")
    return site


def _check_date(block: Block) -> None:
    try:
        datetime.date.fromisoformat(min(block.get("_pdbx_audit_revision_history.revision_date") or [""]))
    except ValueError:
        raise ValueError("has no release date: state _pdbx_audit_revision_history.revision_date, like 1989-11-17") from None


def _pairs(block: Block, category: str, key: str, value: str) -> list[tuple[str, str]] | None:
    """Two columns of a category, row by row; None where it has no key, for then AlphaFold 3 makes both."""
    keys, values = block.get(f"{category}.{key}"), block.get(f"{category}.{value}")
    if keys is None:
        return None
    if values is None or len(keys) != len(values):
        raise ValueError(f"has {category}.{key}, and {'no' if values is None else 'not as many values of'} {category}.{value}")
    return list(zip(keys, values, strict=True))


def _chains(block: Block, site: Block) -> _Chains:
    asym = _pairs(block, "_struct_asym", "id", "entity_id")
    entity = _pairs(block, "_entity", "id", "type")
    poly = _pairs(block, "_entity_poly", "entity_id", "type")
    labels = site.get("label_entity_id")
    if labels and entity is None and set(labels) == {"?"}:
        labels = site["label_asym_id"]  # an entity for each chain
    if asym is None:
        if not labels:
            raise ValueError("has neither _struct_asym nor _atom_site.label_entity_id, to tell chains by")
        asym = [(chain, own) for own, chain in dict.fromkeys(zip(labels, site["label_asym_id"], strict=True))]
    entities = dict(asym)
    if len(entities) != len(asym):
        raise ValueError("has a chain twice in _struct_asym, or of two entities in _atom_site")
    if entity is None:
        if labels is None:
            labels = [entities.get(chain, chain) for chain in site["label_asym_id"]]
        entity, guessed = _guessed_entities(site, labels)
        poly = guessed if poly is None else poly
    elif poly is None and block.get("_entity_poly.type"):
        raise ValueError("has _entity_poly.type, and no _entity_poly.entity_id")
    return _Chains(entities, dict(entity), dict(poly or ()))


def _guessed_entities(site: Block, labels: Sequence[str]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Each entity with its type, and each polymer with one, as AlphaFold 3 makes them of atoms without such tables."""
    if "group_PDB" not in site:
        raise ValueError("has neither _entity nor _atom_site.group_PDB, to tell polymers by")
    entities, polymers = [], []
    for entity, rows in groupby(zip(labels, site["label_comp_id"], site["group_PDB"], strict=True), key=lambda row: row[0]):
        atoms = [row[1:] for row in rows]
        if any(group != "HETATM" for _, group in atoms):
            entities.append((entity, "polymer"))
            polymers.append((entity, "other"))  # which one of the polymers it is does not matter here
        else:
            entities.append((entity, "water" if {component for component, _ in atoms} <= _WATERS else "non-polymer"))
    return entities, polymers


def _read_residues(site: Block, chains: _Chains) -> list[_Residue]:
    """The residues of the first model whose atoms are read, each with its atoms but for those of other conformations."""
    models, asym, insertions = site["pdbx_PDB_model_num"], site["label_asym_id"], site["pdbx_PDB_ins_code"]
    numbers = site.get("auth_seq_id", site["label_seq_id"])
    first = [row for row, _ in enumerate(takewhile(lambda model: model == models[0], models))]
    found: list[_Residue] = []
    for chain, of_chain in groupby(first, key=lambda row: asym[row]):
        if chain not in chains.entities or not chains.is_read(chain):
            continue
        if any(residue.chain == chain for residue in found):
            raise ValueError(f"has atoms of the chain {_short(chain)} in two places, with others between")
        for _, of_residue in groupby(of_chain, key=lambda row: (numbers[row], insertions[row] if "auth_seq_id" in site else "")):
            rows = conformations.kept(site, list(of_residue))
            position, component = site["label_seq_id"][rows[0]], site["label_comp_id"][rows[0]]
            found.append(_Residue(rows, chain, position, numbers[rows[0]], component, _insertion(insertions[rows[0]])))
    return found


def _check_numbers(site: Block, read: Sequence[_Residue]) -> None:
    what = {"occupancy": "an occupancy", "B_iso_or_equiv": "a B factor"}
    for column in ("Cartn_x", "Cartn_y", "Cartn_z", *what):
        for value in (site[column][row] for residue in read for row in residue.rows):
            if mmcif.number(value) is None:
                raise ValueError(f"has {_short(value)} for {what.get(column, 'a coordinate')} in _atom_site.{column}")


def _listed_residues(block: Block, chains: _Chains, read: Sequence[_Residue]) -> list[_Key]:
    """All residues, those without atoms included, by the tables that list them; where there are none, by the atoms.

    Of several residues at one place it is the one whose atoms are read.
    """
    listed: list[_Key] = []
    chosen = {(residue.chain, residue.position): residue.component for residue in read if residue.position != "."}
    for chain, position, component, number, insertion in _polymer_rows(block, chains, read):
        if chosen.get((chain, position), component) == component:
            if not re.fullmatch(r"[-+]?\d+", position):
                raise ValueError(
                    f"has {_short(position)} for a position in the chain {_short(chain)}, which must be a whole number"
                )
            listed.append((chain, number, component, _insertion(insertion)))
    bound = {(residue.chain, residue.number, residue.insertion): residue.component for residue in read if residue.position == "."}
    for chain, number, component, insertion in _ligand_rows(block, chains, read):
        if component not in _WATERS and bound.get((chain, number, _insertion(insertion)), component) == component:
            listed.append((chain, number, component, _insertion(insertion)))
    for chain, _, component, _ in listed:
        if chain not in chains.entities:
            raise ValueError(f"lists residues of the chain {_short(chain)}, which _struct_asym.id does not name")
        if component == "HOH":
            raise ValueError(f"has water (HOH) in the chain {_short(chain)}, which is of another entity")
    return listed


def _rows(block: Block, category: str, columns: Sequence[str]) -> list[tuple[str, ...]] | None:
    """Rows of a category; None where it lacks one of the columns, for then AlphaFold 3 does without it."""
    found = [block[item] for item in (f"{category}.{column}" for column in columns) if item in block]
    if len(found) < len(columns):
        return None
    if len({len(values) for values in found}) != 1:
        raise ValueError(f"has columns of unequal length in {category}")
    return list(zip(*found, strict=True))


def _polymer_rows(block: Block, chains: _Chains, read: Sequence[_Residue]) -> Iterable[tuple[str, ...]]:
    """Chain, position, component, number by the authors and insertion code of each residue of polymers."""
    scheme = _rows(block, "_pdbx_poly_seq_scheme", _POLYMER_SCHEME)
    if scheme is not None:
        return [row[:5] for row in scheme]
    starts = [residue for residue in read if chains.type(residue.chain) == "polymer"]
    sequence = _rows(block, "_entity_poly_seq", ("entity_id", "num", "mon_id"))
    if sequence is None:
        return [(each.chain, each.position, each.component, each.number, each.insertion) for each in starts]
    numbers = {chains.entity(residue.chain) + residue.position: residue.number for residue in starts}
    insertions = {residue.position: residue.insertion for residue in starts}
    of_entity: dict[str, list[tuple[str, str]]] = {}
    for entity, position, component in sequence:
        of_entity.setdefault(entity, []).append((position, component))
    return [
        (chain, position, component, numbers.get(entity + position, "."), insertions.get(position, "."))
        for chain, entity in chains.entities.items()
        for position, component in of_entity.get(entity, ())
    ]


def _ligand_rows(block: Block, chains: _Chains, read: Sequence[_Residue]) -> Iterable[tuple[str, ...]]:
    """Chain, number by the authors, component and insertion code of each residue of what is no polymer."""
    branches = _rows(block, "_pdbx_branch_scheme", _LIGAND_SCHEME)
    if branches is None:  # its insertion codes may be left out
        plain = _rows(block, "_pdbx_branch_scheme", _LIGAND_SCHEME[:3])
        branches = None if plain is None else [(*row, ".") for row in plain]
    others = _rows(block, "_pdbx_nonpoly_scheme", _LIGAND_SCHEME)
    if branches is None and others is None:
        single = [residue for residue in read if chains.type(residue.chain) != "polymer"]
        return [(each.chain, each.number, each.component, each.insertion) for each in single]
    return [*(branches or ()), *(others or ())]


def _check_order(read: Sequence[_Residue], listed: Sequence[_Key]) -> None:
    """Raises ValueError unless the residues that have atoms are listed, and in the same order."""
    places = {key: place for place, key in enumerate(listed)}
    last = ("", -1)
    for residue in read:
        what = f"the residue {_short(residue.component + ' ' + residue.number)} of the chain {_short(residue.chain)}"
        key = (residue.chain, residue.number, residue.component, residue.insertion)
        if key not in places:
            raise ValueError(f"has atoms of {what}, which its tables of sequences and schemes do not list")
        if last[0] == residue.chain and places[key] < last[1]:
            raise ValueError(f"has atoms of {what} after those of a later one")
        last = residue.chain, places[key]


def _short(value: str) -> str:
    return repr(value[:40])


def _insertion(code: str) -> str:
    return "?" if code == "." else code
