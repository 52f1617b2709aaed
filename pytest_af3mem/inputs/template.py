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


class _Chain(NamedTuple):
    """What the tables say of a chain, or what AlphaFold 3 makes of its atoms where there is none.

    `is_listed` says whether tables of polymers list its residues, `is_polymer` whether it may be the one of a template, `is_read`
    whether its atoms are read.
    """

    entity: str
    is_listed: bool
    is_polymer: bool
    is_read: bool


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
    polymers = dict.fromkeys(residue.chain for residue in read if chains[residue.chain].is_polymer)
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


def _chains(block: Block, site: Block) -> Mapping[str, _Chain]:
    """The chains by their ids, with the type of each entity ("polymer", "water") and of each polymer ("polypeptide(L)")."""
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
    types, polymers = dict(entity or ()), dict(poly or ())
    if entity is None:
        types, guessed = _guessed_types(site, labels or [entities.get(chain, chain) for chain in site["label_asym_id"]])
        polymers = guessed if poly is None else polymers
    elif poly is None and block.get("_entity_poly.type"):
        raise ValueError("has _entity_poly.type, and no _entity_poly.entity_id")
    first = next(iter(types.values()), "polymer")  # what AlphaFold 3 takes for a missing one, when it reads atoms
    chains: dict[str, _Chain] = {}
    for chain, own in entities.items():
        kind, atoms = types.get(own, own), types.get(own, first)
        is_read = own in polymers if atoms == "polymer" else atoms != "water"
        chains[chain] = _Chain(own, kind == "polymer", polymers.get(own, kind) in _POLYMERS, is_read)
    return chains


def _guessed_types(site: Block, labels: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The type of each entity and of each polymer, as AlphaFold 3 makes them of atoms without such tables."""
    if "group_PDB" not in site:
        raise ValueError("has neither _entity nor _atom_site.group_PDB, to tell polymers by")
    types: dict[str, str] = {}
    polymers: dict[str, str] = {}
    for entity, rows in groupby(zip(labels, site["label_comp_id"], site["group_PDB"], strict=True), key=itemgetter(0)):
        _, components, groups = zip(*rows, strict=True)
        if set(groups) != {"HETATM"}:
            types[entity], polymers[entity] = "polymer", "other"  # which one of the polymers it is does not matter here
        else:
            types[entity] = "water" if set(components) <= _WATERS else "non-polymer"
    return types, polymers


def _read_residues(site: Block, chains: Mapping[str, _Chain]) -> list[_Residue]:
    """The residues of the first model whose atoms are read, each with its atoms but for those of other conformations."""
    models, asym, insertions = site["pdbx_PDB_model_num"], site["label_asym_id"], site["pdbx_PDB_ins_code"]
    numbers = site.get("auth_seq_id", site["label_seq_id"])
    first = [row for row, _ in enumerate(takewhile(lambda model: model == models[0], models))]
    found: list[_Residue] = []
    for chain, of_chain in groupby(first, key=lambda row: asym[row]):
        if chain not in chains or not chains[chain].is_read:
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


def _listed_residues(block: Block, chains: Mapping[str, _Chain], read: Sequence[_Residue]) -> list[_Residue]:
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
        if row.chain not in chains:
            raise ValueError(f"lists residues of the chain {_short(row.chain)}, which _struct_asym.id does not name")
        if row.component == "HOH":
            raise ValueError(f"has water (HOH) in the chain {_short(row.chain)}, which is of another entity")
    return listed


def _polymer_rows(block: Block, chains: Mapping[str, _Chain], read: Sequence[_Residue]) -> list[_Residue]:
    """Each residue of the polymers."""
    scheme = mmcif.rows(block, "_pdbx_poly_seq_scheme", _POLYMER_SCHEME)
    if scheme is not None:
        return [_Residue._make((*row[:5], ())) for row in scheme]
    starts = [residue for residue in read if chains[residue.chain].is_listed]
    sequence = mmcif.rows(block, "_entity_poly_seq", ("entity_id", "num", "mon_id"))
    if sequence is None:
        return starts
    numbers = {chains[residue.chain].entity + residue.position: residue.number for residue in starts}
    insertions = {residue.position: residue.insertion for residue in starts}
    of_entity = {entity: list(rows) for entity, rows in groupby(sorted(sequence, key=itemgetter(0)), key=itemgetter(0))}
    return [
        _Residue(chain, position, component, numbers.get(own.entity + position, "."), insertions.get(position, "."))
        for chain, own in chains.items()
        for _, position, component in of_entity.get(own.entity, ())
    ]


def _ligand_rows(block: Block, chains: Mapping[str, _Chain], read: Sequence[_Residue]) -> list[_Residue]:
    """Each residue of what is no polymer."""
    branches = mmcif.rows(block, "_pdbx_branch_scheme", _LIGAND_SCHEME)
    if branches is None:  # its insertion codes may be left out
        branches = mmcif.rows(block, "_pdbx_branch_scheme", _LIGAND_SCHEME[:3])
    others = mmcif.rows(block, "_pdbx_nonpoly_scheme", _LIGAND_SCHEME)
    if branches is None and others is None:
        return [residue._replace(position=".") for residue in read if not chains[residue.chain].is_listed]
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
