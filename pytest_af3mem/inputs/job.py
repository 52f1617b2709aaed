"""What is folded: an AlphaFold 3 input as frozen data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pytest_af3mem.errors import InputError
from pytest_af3mem.inputs import ambient, buckets, dialect
from pytest_af3mem.inputs.chains import Atom, Brief, Chain, Dna, Ligand, Modification, Protein, Rna, Template

__all__ = ["Atom", "Dna", "Job", "Ligand", "Modification", "Protein", "Rna", "Template"]


@dataclass(frozen=True, repr=False)
class Job(Brief):
    """One AlphaFold 3 input: what `run_alphafold.py --json_path` reads.

    `bonded_atom_pairs` are covalent bonds that components do not have of themselves; `user_ccd` is mmCIF text of
    components that the CCD lacks, or that are to stand for those that it has. `notes` say, of a job that was read, what
    AlphaFold 3 takes in another way than its author may think, such as letters that are not residues.
    """

    name: str
    sequences: tuple[Chain, ...]
    seeds: tuple[int, ...] = (1,)
    bonded_atom_pairs: tuple[tuple[Atom, Atom], ...] = ()
    user_ccd: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def to_json(self) -> str:
        """AlphaFold 3's JSON, dialect `alphafold3`: version 1, which every release reads, or 4 if something is described.

        Versions 2 and 3 added files next to the JSON, for MSAs and templates and for the user's CCD; here all is inside.
        """
        described = any(sequence.description is not None for sequence in self.sequences)
        fields: dict[str, Any] = {
            "name": self.name,
            "modelSeeds": list(self.seeds),
            "sequences": [sequence.to_json() for sequence in self.sequences],
            "dialect": "alphafold3",
            "version": 4 if described else 1,
        }
        if self.bonded_atom_pairs:
            fields["bondedAtomPairs"] = [[list(atom) for atom in pair] for pair in self.bonded_atom_pairs]
        if self.user_ccd is not None:
            fields["userCCD"] = self.user_ccd
        return json.dumps(fields)

    @property
    def tokens(self) -> int:
        """Tokens that AlphaFold 3 will count, by our own count; see `inputs.tokens`.

        The chemical component dictionary is that of the session that runs; outside of one, that of the installed model.
        Raises UsageError for a component that is in no dictionary, and for a job of which no chain is left.
        """
        return ambient.current().tokens(self)

    @property
    def bucket(self) -> int:
        """Tokens after padding, by the buckets of the session that runs; outside of one, those of the installed model."""
        return buckets.bucket(self.tokens, ambient.current().buckets)

    @classmethod
    def from_json(cls, text: str, *, strict: bool = False) -> Job:
        """The one job of a JSON document. Raises InputError for what AlphaFold 3 would refuse.

        What it would ignore or mistake is in the job's `notes`, and refused if `strict`.
        """
        first, *others = dialect.parse(text, strict=strict)
        if others:
            raise InputError("", f"holds {1 + len(others)} jobs where one is wanted: read it with inputs.reading.from_json")
        return cls(*first)
