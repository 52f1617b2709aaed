"""What is folded: an AlphaFold 3 input as frozen data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Protein:
    """One protein sequence and the ids of its copies. MSAs are A3M text; an empty one means none."""

    ids: tuple[str, ...]
    sequence: str
    unpaired_msa: str = ""
    paired_msa: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "protein": {
                "id": list(self.ids),
                "sequence": self.sequence,
                "unpairedMsa": self.unpaired_msa,
                "pairedMsa": self.paired_msa,
                "templates": [],
            }
        }


@dataclass(frozen=True)
class Ligand:
    """One ligand of chemical components, by their codes in the CCD, and the ids of its copies."""

    ids: tuple[str, ...]
    ccd_codes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"ligand": {"id": list(self.ids), "ccdCodes": list(self.ccd_codes)}}


@dataclass(frozen=True)
class Job:
    """One AlphaFold 3 input: what `run_alphafold.py --json_path` reads."""

    name: str
    sequences: tuple[Protein | Ligand, ...]
    seeds: tuple[int, ...] = (1,)

    def to_json(self) -> str:
        """AlphaFold 3's JSON: dialect `alphafold3`, version 1, which every release reads."""
        return json.dumps(
            {
                "name": self.name,
                "modelSeeds": list(self.seeds),
                "sequences": [sequence.to_json() for sequence in self.sequences],
                "dialect": "alphafold3",
                "version": 1,
            }
        )


def chain_ids() -> Iterator[str]:
    """A, B, ..., Z, AA, BA, ...: the order in which mmCIF files of the PDB name chains."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    suffixes: Sequence[str] = [""]
    while True:
        suffixes = [letter + suffix for suffix in suffixes for letter in letters]
        yield from suffixes
