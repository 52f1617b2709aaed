"""What a job is made of: chains, ligands, templates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN = 60


Modification = tuple[str, int]
"""CCD code of the residue that stands there instead, and its position in the chain, from 1."""


Atom = tuple[str, int, str]
"""Chain id, residue in the chain (from 1), and the atom's name in the CCD."""


class Brief:
    """Shows what is not as usual, and of long texts the beginning and the length: sequences and MSAs fill screens."""

    def __repr__(self) -> str:
        parts = [
            f"{field.name}={_brief(value)}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


def _brief(value: Any) -> str:
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"{value[: _SHOWN // 2]!r}... ({len(value):,} characters)"
    if isinstance(value, tuple) and len(value) > _SHOWN:
        return f"({', '.join(map(_brief, value[:3]))}, ... {len(value):,} in all)"
    return repr(value)


@dataclass(frozen=True, repr=False)
class Template(Brief):
    """One protein chain in mmCIF text, and which of its residues stand for which of the query's, both counted from 0."""

    mmcif: str
    query_indices: tuple[int, ...]
    template_indices: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        indices = {"queryIndices": list(self.query_indices), "templateIndices": list(self.template_indices)}
        return {"mmcif": self.mmcif, **indices}


@dataclass(frozen=True, repr=False)
class Protein(Brief):
    """One protein sequence and the ids of its copies.

    MSAs are A3M text; an empty one means none, as an empty tuple does of templates. What is None is left to AlphaFold 3's
    search in its databases; where it is not searched, it counts as none.
    """

    ids: tuple[str, ...]
    sequence: str
    unpaired_msa: str | None = ""
    paired_msa: str | None = ""
    modifications: tuple[Modification, ...] = ()
    templates: tuple[Template, ...] | None = ()
    description: str | None = None

    def to_json(self) -> dict[str, Any]:
        templates = None if self.templates is None else [template.to_json() for template in self.templates]
        return _polymer("protein", self, unpairedMsa=self.unpaired_msa, pairedMsa=self.paired_msa, templates=templates)


@dataclass(frozen=True, repr=False)
class Rna(Brief):
    """One RNA sequence and the ids of its copies; its MSA as a protein's."""

    ids: tuple[str, ...]
    sequence: str
    unpaired_msa: str | None = ""
    modifications: tuple[Modification, ...] = ()
    description: str | None = None

    def to_json(self) -> dict[str, Any]:
        return _polymer("rna", self, unpairedMsa=self.unpaired_msa)


@dataclass(frozen=True, repr=False)
class Dna(Brief):
    """One strand of DNA and the ids of its copies."""

    ids: tuple[str, ...]
    sequence: str
    modifications: tuple[Modification, ...] = ()
    description: str | None = None

    def to_json(self) -> dict[str, Any]:
        return _polymer("dna", self)


@dataclass(frozen=True, repr=False)
class Ligand(Brief):
    """One ligand, or ion, and the ids of its copies: chemical components by their codes in the CCD, or a SMILES."""

    ids: tuple[str, ...]
    ccd_codes: tuple[str, ...] = ()
    smiles: str | None = None
    description: str | None = None

    def to_json(self) -> dict[str, Any]:
        what = {"ccdCodes": list(self.ccd_codes)} if self.smiles is None else {"smiles": self.smiles}
        return _json("ligand", self, **what)


Polymer = Protein | Rna | Dna
Chain = Polymer | Ligand
MODIFICATION_KEYS = {Protein: ("ptmType", "ptmPosition"), **dict.fromkeys((Rna, Dna), ("modificationType", "basePosition"))}
"""Where a `Modification` stands in JSON."""


def length(chain: Chain) -> int:
    """Residues of a polymer, or components of a ligand; 0 for a SMILES."""
    return len(chain.ccd_codes if isinstance(chain, Ligand) else chain.sequence)


def chain_ids() -> Iterator[str]:
    """A, B, ..., Z, AA, BA, ...: the order in which mmCIF files of the PDB name chains."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    suffixes: Sequence[str] = [""]
    while True:
        suffixes = [letter + suffix for suffix in suffixes for letter in letters]
        yield from suffixes


def _polymer(key: str, chain: Polymer, **own: Any) -> dict[str, Any]:
    names = MODIFICATION_KEYS[type(chain)]
    modified = {"modifications": [dict(zip(names, each, strict=True)) for each in chain.modifications]}
    return _json(key, chain, sequence=chain.sequence, **(modified if chain.modifications else {}), **own)


def _json(key: str, chain: Chain, **own: Any) -> dict[str, Any]:
    described = {} if chain.description is None else {"description": chain.description}
    return {key: {"id": list(chain.ids), **own, **described}}
