"""How many tokens a job has, by AlphaFold 3's rules, without AlphaFold 3."""

from __future__ import annotations

from typing import Protocol

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.job import Job, Ligand


class Components(Protocol):
    """What counting needs of a chemical component dictionary; `models.ccd.Store` is one."""

    def heavy_atoms(self, code: str) -> int: ...


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
    """Heavy atoms of a chemical component. Raises UsageError for a code that the dictionary does not have."""
    if components is None:
        raise UsageError(f"ligand {code!r} cannot be counted: this model has no chemical component dictionary")
    try:
        return components.heavy_atoms(code)
    except KeyError:
        raise UsageError(f"ligand {code!r} is not a code of the chemical component dictionary (CCD), like 'ATP'") from None
