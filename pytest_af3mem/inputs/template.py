"""A template as AlphaFold 3 reads it: which residues its one polymer chain has, and what it asks of the mmCIF before.

The rules lie in its `structure/parsing.py`, in `structure/cpp` and in `get_polymer_features` of `data/templates.py`; its
featuriser is the authority, as for tokens. Chains have the ids of `label_asym_id`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from itertools import groupby, takewhile
from operator import itemgetter
from typing import NamedTuple

from pytest_af3mem.inputs import conformations, mmcif
from pytest_af3mem.inputs.mmcif import Block

_ATOM_SITE = """id label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y
    Cartn_z occupancy B_iso_or_equiv auth_asym_id pdbx_PDB_model_num""".split()
_NUMBERS = {"occupancy": "an occupancy", "B_iso_or_equiv": "a B factor"} | dict.fromkeys(
    ("Cartn_x", "Cartn_y", "Cartn_z"), "a coordinate"
)
_POLYMERS = frozenset(
    "polypeptide(L),polypeptide(D),cyclic-pseudo-peptide,peptide nucleic acid,polyribonucleotide,polydeoxyribonucleotide,"
    "polydeoxyribonucleotide/polyribonucleotide hybrid,other".split(",")
)
_WATERS = frozenset({"HOH", "DOD"})
_POLYMER_SCHEME = "asym_id seq_id mon_id pdb_seq_num pdb_ins_code pdb_strand_id".split()
_LIGAND_SCHEME = "asym_id mon_id pdb_seq_num pdb_ins_code".split()


class _Residue(NamedTuple):
    """What a table says of a residue, or the first of its atoms; `rows` are those of its atoms in `_atom_site` that are read.

    `number` is that of the authors; `position`, in the sequence, is "." for what is no polymer.
    """

    chain: str
    position: str
    component: str
    number: str
    insertion: str
    rows: Sequence[int] = ()

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.chain, self.number, self.component, "?" if self.insertion == "." else self.insertion

    @property
    def place(self) -> tuple[str, ...]:
        return (self.chain, self.position) if self.position != "." else (self.chain, self.number, self.key[3])


class _Chains(NamedTuple):
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
    for column, what in _NUMBERS.items():
        for value in (site[column][row] for residue in read for row in residue.rows):
            if mmcif.number(value) is None:
                raise ValueError(f"has {_short(value)} for {what} in _atom_site.{column}")
    listed = _listed_residues(block, chains, read)
    _check_order(read, listed)
    polymers = dict.fromkeys(residue.chain for residue in read if chains.is_polymer(residue.chain))
    if len(polymers) != 1:
        raise ValueError(f"must hold a single polymer chain with atoms, and has {len(polymers)}")
    return sum(residue.chain in polymers for residue in listed)


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
            position, component, number, insertion = (
                column[rows[0]] for column in (site["label_seq_id"], site["label_comp_id"], numbers, insertions)
            )
            found.append(_Residue(chain, position, component, number, insertion, rows))
    return found


def _listed_residues(block: Block, chains: _Chains, read: Sequence[_Residue]) -> list[_Residue]:
    """All residues, those without atoms included, by the tables that list them; where there are none, by the atoms.

    Of several residues at one place it is the one whose atoms are read.
    """
    polymers = _polymer_rows(block, chains, read)
    for row in polymers:
        if not re.fullmatch(r"[-+]?\d+", row.position):
            what = f"{_short(row.position)} for a position in the chain {_short(row.chain)}"
            raise ValueError(f"has {what}, which must be a whole number")
    others = [row for row in _ligand_rows(block, chains, read) if row.component not in _WATERS]
    chosen = {residue.place: residue.component for residue in read}
    listed = [row for row in (*polymers, *others) if chosen.get(row.place, row.component) == row.component]
    for row in listed:
        if row.chain not in chains.entities:
            raise ValueError(f"lists residues of the chain {_short(row.chain)}, which _struct_asym.id does not name")
        if row.component == "HOH":
            raise ValueError(f"has water (HOH) in the chain {_short(row.chain)}, which is of another entity")
    return listed


def _polymer_rows(block: Block, chains: _Chains, read: Sequence[_Residue]) -> list[_Residue]:
    """Each residue of the polymers."""
    scheme = mmcif.rows(block, "_pdbx_poly_seq_scheme", _POLYMER_SCHEME)
    if scheme is not None:
        return [_Residue._make((*row[:5], ())) for row in scheme]
    starts = [residue for residue in read if chains.type(residue.chain) == "polymer"]
    sequence = mmcif.rows(block, "_entity_poly_seq", ("entity_id", "num", "mon_id"))
    if sequence is None:
        return starts
    numbers = {chains.entity(residue.chain) + residue.position: residue.number for residue in starts}
    insertions = {residue.position: residue.insertion for residue in starts}
    of_entity = {entity: list(rows) for entity, rows in groupby(sorted(sequence, key=itemgetter(0)), key=itemgetter(0))}
    return [
        _Residue(chain, position, component, numbers.get(entity + position, "."), insertions.get(position, "."))
        for chain, entity in chains.entities.items()
        for _, position, component in of_entity.get(entity, ())
    ]


def _ligand_rows(block: Block, chains: _Chains, read: Sequence[_Residue]) -> list[_Residue]:
    """Each residue of what is no polymer."""
    branches = mmcif.rows(block, "_pdbx_branch_scheme", _LIGAND_SCHEME)
    if branches is None:  # its insertion codes may be left out
        branches = mmcif.rows(block, "_pdbx_branch_scheme", _LIGAND_SCHEME[:3])
    others = mmcif.rows(block, "_pdbx_nonpoly_scheme", _LIGAND_SCHEME)
    if branches is None and others is None:
        return [residue._replace(position=".") for residue in read if chains.type(residue.chain) != "polymer"]
    rows = ((*row, ".")[:4] for row in (*(branches or ()), *(others or ())))
    return [_Residue(chain, ".", component, number, insertion) for chain, component, number, insertion in rows]


def _check_order(read: Sequence[_Residue], listed: Sequence[_Residue]) -> None:
    """Raises ValueError unless the residues that have atoms are listed, and in the same order."""
    places = {residue.key: place for place, residue in enumerate(listed)}
    last = ("", -1)
    for residue in read:
        what = f"the residue {_short(residue.component + ' ' + residue.number)} of the chain {_short(residue.chain)}"
        if residue.key not in places:
            raise ValueError(f"has atoms of {what}, which its tables of sequences and schemes do not list")
        if last[0] == residue.chain and places[residue.key] < last[1]:
            raise ValueError(f"has atoms of {what} after those of a later one")
        last = residue.chain, places[residue.key]


def _short(value: str) -> str:
    return repr(value[:40])
