"""What fills a chain whose length is fixed: letters, alignments and templates, each a function of a source of bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from pytest_af3mem.inputs.chains import Dna, Polymer, Protein, Rna, Template
from pytest_af3mem.inputs.chemistry import RESIDUES, UNKNOWN, Dictionary, query_letters

POLYMERS: dict[str, type[Polymer]] = {"protein": Protein, "rna": Rna, "dna": Dna}


# Bytes become letters by a table: a deep alignment is made a hundred times faster than by drawing letters one at a time.
_LETTERS = {polymer: bytes(sorted("".join(RESIDUES[polymer]).encode())) for polymer in POLYMERS.values()}
_TO_RESIDUE = {polymer: bytes(letters[byte % len(letters)] for byte in range(256)) for polymer, letters in _LETTERS.items()}
_TO_ALIGNED = {
    polymer: bytes((letters + b"-")[byte % (len(letters) + 1)] for byte in range(256)) for polymer, letters in _LETTERS.items()
}
_INSERTIONS = ("", "", "", "a", "ca")


class Source(Protocol):
    """What content needs of a `random.Random`."""

    def randbytes(self, n: int) -> bytes: ...


class _Zeros:
    def randbytes(self, n: int) -> bytes:
        return bytes(n)


def source(seed: int | str) -> Source:
    """The same bytes for the same seed. Seed 0 has nothing but zeros: chains of alanine or adenine, easy to read."""
    return random.Random(seed) if seed else _Zeros()


def residues(polymer: type[Polymer], length: int, source: Source) -> str:
    """A sequence of `length` standard residues or nucleotides."""
    return source.randbytes(length).translate(_TO_RESIDUE[polymer]).decode()


def msa(polymer: type[Polymer], query: str, depth: int, source: Source) -> str:
    """A3M text of `depth` rows, the query first; each other row differs from it in one stretch, with gaps and insertions."""
    rows = [query][:depth]
    length, table = len(query), _TO_ALIGNED[polymer]
    noise = source.randbytes(3 * max(0, depth - 1))
    for start, share, inserted in zip(noise[::3], noise[1::3], noise[2::3], strict=True):
        first = start * length >> 8
        stretch = source.randbytes(1 + (share * (length - first) >> 8)).translate(table).decode()
        rows.append(query[:first] + stretch + _INSERTIONS[inserted % len(_INSERTIONS)] + query[first + len(stretch) :])
    return "".join([f">{index}\n{row}\n" for index, row in enumerate(rows)])


def chain(
    polymer: type[Polymer],
    ids: tuple[str, ...],
    length: int,
    source: Source,
    *,
    modified: Sequence[str] = (),
    dictionary: Dictionary,
    msa_depth: int = 0,
    paired_msa_depth: int = 0,
    templates: int = 0,
    template_residues: int | None = None,
) -> Polymer:
    """A chain of `length` residues of which some are the `modified` ones, by their CCD codes; at least one stays standard.

    Modified residues stand where AlphaFold 3 takes away the atom that leaves: not last in a protein, nor first in a nucleic
    acid. The sequence has the letter of their parent there, and the first row of the MSA the one that AlphaFold 3 compares it
    with. Templates cover the first `template_residues` residues, by default all. What a kind of chain cannot have is left out.
    """
    first = 1 if polymer is Protein else 2
    positions = [first + index * (length - 1) // len(modified) for index in range(len(modified))]
    letters = list(residues(polymer, length, source))
    for code, position in zip(modified, positions, strict=True):
        letters[position - 1] = parent(polymer, code, dictionary)
    sequence, modifications = "".join(letters), tuple(zip(modified, positions, strict=True))
    if polymer is Dna:
        return Dna(ids, sequence, modifications)
    query = query_letters(sequence, modifications, polymer, dictionary)
    unpaired = msa(polymer, query, msa_depth, source)
    if polymer is Rna:
        return Rna(ids, sequence, unpaired, modifications)
    paired = msa(polymer, query, paired_msa_depth, source)
    hits = tuple(template(sequence[:template_residues], number) for number in range(templates))
    return Protein(ids, sequence, unpaired, paired, modifications, hits)


def parent(polymer: type[Polymer], code: str, dictionary: Dictionary) -> str:
    """The letter of the standard residue that a modified one stands for, to AlphaFold 3; that of an unknown one for others."""
    letter = dictionary.letter(code)
    return letter if letter in RESIDUES[polymer] else UNKNOWN[polymer][0]


def template(sequence: str, number: int = 0) -> Template:
    """A template with one atom a residue, along a line, for the whole of a protein `sequence`.

    `number` moves the line, so that templates differ.
    """
    codes = [RESIDUES[Protein].get(letter, UNKNOWN[Protein][1]) for letter in sequence]
    listed = "\n".join(f"1 {at} {code} n" for at, code in enumerate(codes, 1))
    scheme = "\n".join(f"A 1 {at} {code} {at} A . n" for at, code in enumerate(codes, 1))
    atoms = "\n".join(
        f"ATOM {at} C CA . {code} A 1 {at} . {at * 3.8:.3f} {number:.3f} 0.000 1.00 50.00 {at} A 1"
        for at, code in enumerate(codes, 1)
    )
    everywhere = tuple(range(len(sequence)))
    return Template(_TEMPLATE.format(listed=listed, scheme=scheme, atoms=atoms), everywhere, everywhere)


# The items that AlphaFold 3 reads of a template (structure/parsing.py and data/templates.py).
_TEMPLATE = """data_TMPL
_entry.id TMPL
_exptl.method 'X-RAY DIFFRACTION'
_pdbx_audit_revision_history.revision_date 1999-12-31
_entity.id 1
_entity.type polymer
_entity_poly.entity_id 1
_entity_poly.type 'polypeptide(L)'
loop_
_entity_poly_seq.entity_id
_entity_poly_seq.num
_entity_poly_seq.mon_id
_entity_poly_seq.hetero
{listed}
_struct_asym.id A
_struct_asym.entity_id 1
loop_
_pdbx_poly_seq_scheme.asym_id
_pdbx_poly_seq_scheme.entity_id
_pdbx_poly_seq_scheme.seq_id
_pdbx_poly_seq_scheme.mon_id
_pdbx_poly_seq_scheme.auth_seq_num
_pdbx_poly_seq_scheme.pdb_strand_id
_pdbx_poly_seq_scheme.pdb_ins_code
_pdbx_poly_seq_scheme.hetero
{scheme}
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_entity_id
_atom_site.label_seq_id
_atom_site.pdbx_PDB_ins_code
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.pdbx_PDB_model_num
{atoms}
"""
