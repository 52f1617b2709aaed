"""How many tokens a job has, by AlphaFold 3's rules, without AlphaFold 3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.job import Job, Ligand


class Components(Protocol):
    """What counting needs of a chemical component dictionary; `models.ccd.Store` is one."""

    def heavy_atoms(self, code: str) -> int: ...

    def __getitem__(self, code: str) -> Mapping[str, list[str]]: ...


def count(job: Job, components: Components | None = None) -> int:
    """Tokens of all chains: 1 a residue, 1 a heavy atom of a ligand. `components` is needed for ligands only."""
    return sum(
        len(sequence.ids)
        * (
            sum(ligand_tokens(code, components) for code in sequence.ccd_codes)
            if isinstance(sequence, Ligand)
            else len(sequence.sequence)
        )
        for sequence in job.sequences
    )


def ligand_tokens(code: str, components: Components | None) -> int:
    """Tokens of a chemical component that is bound to nothing: its heavy atoms, without O1 where it is a saccharide.

    AlphaFold 3 drops O1 from every saccharide that has no bond there (`get_link_drop_atoms` in its `atom_layout`). Raises
    UsageError for a code that the dictionary does not have or that stands for no atoms.
    """
    if components is None:
        raise UsageError(f"ligand {code!r} cannot be counted: this model has no chemical component dictionary")
    try:
        heavy = components.heavy_atoms(code)
    except KeyError:
        raise UsageError(f"ligand {code!r} is not a code of the chemical component dictionary (CCD), like 'ATP'") from None
    if heavy == 0:
        raise UsageError(f"ligand {code!r} has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it")
    component = components[code]
    is_saccharide = re.search(r"\bsaccharide\b", component["_chem_comp.type"][0].lower()) is not None
    return heavy - (is_saccharide and "O1" in component["_chem_comp_atom.atom_id"])
