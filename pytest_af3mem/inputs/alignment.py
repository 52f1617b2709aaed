"""Multiple sequence alignments in A3M: FASTA rows in which small letters are insertions and hyphens are gaps."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Collection, Iterator

from pytest_af3mem.inputs.chains import Protein, Rna
from pytest_af3mem.inputs.chemistry import ANY_LETTER, UNKNOWN

_SPACE = " \t\v\f\r"  # what AlphaFold 3's C++ strips off lines; of Unicode's other spaces and line ends it knows none
_ALIKE_IN_PROTEINS = str.maketrans("BJOUZ", "DXXCE")  # AlphaFold 3 gives them one code (data/msa_features.py)
_ALIKE_IN_RNA = str.maketrans(dict.fromkeys(set(string.ascii_uppercase) - set("ACGU"), "N"))


def check(a3m: str, query: str, modified: Collection[int], kind: type[Protein] | type[Rna]) -> None:
    """Raises ValueError, with the rule, unless `a3m` is an alignment to `query`, which comes first.

    `query` has the letters of `chemistry.query_letters`; `modified` are the positions, from 1, of modified residues.
    """
    try:
        a3m.encode()
    except UnicodeEncodeError:
        raise ValueError("has half a character (a lone surrogate), which UTF-8 does not allow") from None
    for number, row in enumerate(rows(a3m), start=1):
        for wrong in re.findall(r"[^A-Za-z-]", row):
            if not wrong.islower():
                raise ValueError(f"has {wrong!a} in row {number}: only letters and hyphens are allowed")
        aligned = re.sub(r"[^A-Z-]", "", row)
        if len(aligned) != len(query):
            raise ValueError(
                f"has {len(aligned)} columns in row {number}, and the query has {len(query)}: all rows must have as many, "
                "small letters (insertions) left out"
            )
        if number == 1:
            _check_query(aligned, query, modified, kind)


def _check_query(first: str, query: str, modified: Collection[int], kind: type[Protein] | type[Rna]) -> None:
    alike = _ALIKE_IN_PROTEINS if kind is Protein else _ALIKE_IN_RNA
    for position, (found, letter) in enumerate(zip(first, query, strict=True), start=1):
        if letter != ANY_LETTER and found.translate(alike) != letter.translate(alike):
            of = ", unknown" if letter == UNKNOWN[kind][0] else ""
            of += ": AlphaFold 3's letter for the modified residue there" if position in modified else ""
            raise ValueError(
                f"starts with another sequence than the query: {found!r} at position {position}, "
                f"where the query has {letter!r}{of}"
            )


def rows(a3m: str) -> list[str]:
    """The sequences, as AlphaFold 3 reads them: from the first line on that starts with ">". What stands above is not read.

    So the line by which MMseqs2 and ColabFold start their files, `#62<tab>1`, does not matter.
    """
    found: list[list[str]] = []
    for line in _lines(a3m):
        if line.startswith(">"):
            found.append([])
        elif found:
            found[-1].append(line)
    return ["".join(parts) for parts in found]


def unread(a3m: str) -> str:
    """The first line above the rows that is not a comment: what is there was meant for a row, and is lost."""
    above = itertools.takewhile(lambda line: not line.startswith(">"), _lines(a3m))
    return next((line for line in above if not line.startswith("#")), "")


def _lines(a3m: str) -> Iterator[str]:
    return filter(None, (line.strip(_SPACE) for line in a3m.split("\n")))
