"""Multiple sequence alignments in A3M: FASTA rows in which small letters are insertions and hyphens are gaps."""

from __future__ import annotations

import re
import string
from collections.abc import Collection

from pytest_af3mem.inputs.chemistry import ANY_LETTER
from pytest_af3mem.inputs.job import Protein

_NO_INSERTIONS = str.maketrans("", "", string.ascii_lowercase)
_ALIKE_IN_PROTEINS = str.maketrans("BJOUZ", "DXXCE")  # AlphaFold 3 gives them one code (data/msa_features.py)
_ALIKE_IN_RNA = str.maketrans(dict.fromkeys(set(string.ascii_uppercase) - set("ACGU"), "N"))


def check(a3m: str, query: str, modified: Collection[int], kind: type) -> None:
    """Raises ValueError, with the rule, unless `a3m` is an alignment to `query`, which comes first.

    `query` has the letters of `chemistry.query_letters`; `modified` are the positions, from 1, of modified residues.
    """
    rows = _rows(a3m)
    alike = _ALIKE_IN_PROTEINS if kind is Protein else _ALIKE_IN_RNA
    for number, row in enumerate(rows, start=1):
        if wrong := re.search(r"[^A-Za-z-]", row):
            raise ValueError(f"has {wrong[0]!r} in row {number}: only letters and hyphens can be")
        aligned = row.translate(_NO_INSERTIONS)
        if len(aligned) != len(query):
            raise ValueError(
                f"has {len(aligned)} columns in row {number}, and the query has {len(query)}: all rows must have as many, "
                "small letters (insertions) left out"
            )
        if number == 1:
            first, wanted = aligned.translate(alike), query.translate(alike)
            for position, (found, letter) in enumerate(zip(first, wanted, strict=True), start=1):
                if letter not in (found, ANY_LETTER):
                    of = ": AlphaFold 3's letter for the modified residue there" if position in modified else ""
                    raise ValueError(
                        f"starts with another sequence than the query: {aligned[position - 1]!r} at position {position}, "
                        f"where the query has {query[position - 1]!r}{of}"
                    )


def _rows(a3m: str) -> list[str]:
    rows: list[list[str]] = []
    for line in a3m.splitlines():
        if line.startswith(">"):
            rows.append([])
        elif line.strip():
            if not rows:
                raise ValueError("must be A3M, and start with '>'")
            rows[-1].append(line.strip())
    if not rows:
        raise ValueError("must be A3M, and has no rows")
    return ["".join(parts) for parts in rows]
