"""What fills a chain whose length is fixed: letters, alignments and templates, each a function of a source of bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

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


Source = Callable[[int], bytes]
"""Gives so many bytes."""


def source(seed: int | str) -> Source:
    """The same bytes for the same seed. Seed 0 has nothing but zeros: chains of alanine or adenine, easy to read."""
    return random.Random(seed).randbytes if seed else bytes


def msa(polymer: type[Polymer], query: str, depth: int, source: Source) -> str:
    """A3M text of `depth` rows, the query first; each other row differs from it in one stretch, with gaps and insertions."""
    rows = [query][:depth]
    length, table = len(query), _TO_ALIGNED[polymer]
    noise = source(3 * max(0, depth - 1))
    for start, share, inserted in zip(noise[::3], noise[1::3], noise[2::3], strict=True):
        first = start * length >> 8
        stretch = source(1 + (share * (length - first) >> 8)).translate(table).decode()
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
    letters = list(source(length).translate(_TO_RESIDUE[polymer]).decode())
    modifications = tuple(zip(modified, positions, strict=True))
    for code, position in modifications:
        letter = dictionary.letter(code)
        letters[position - 1] = letter if letter in RESIDUES[polymer] else UNKNOWN[polymer][0]
    sequence = "".join(letters)
    if polymer is Dna:
        return Dna(ids, sequence, modifications)
    query = query_letters(sequence, modifications, polymer, dictionary)
    unpaired = msa(polymer, query, msa_depth, source)
    if polymer is Rna:
        return Rna(ids, sequence, unpaired, modifications)
    paired = msa(polymer, query, paired_msa_depth, source)
    hits = tuple(template(sequence[:template_residues], number) for number in range(templates))
    return Protein(ids, sequence, unpaired, paired, modifications, hits)


def template(sequence: str, number: int = 0) -> Template:
    """A template with one atom a residue, along a line, for the whole of a protein `sequence`.

    `number` moves the line, so that templates differ.
    """
    codes = [RESIDUES[Protein].get(letter, UNKNOWN[Protein][1]) for letter in sequence]
    numbered = list(enumerate(codes, 1))
    listed = [f"1 {at} {code} n" for at, code in numbered]
    scheme = [f"A 1 {at} {code} {at} A . n" for at, code in numbered]
    atoms = [f"ATOM {at} C CA . {code} A 1 {at} . {at * 3.8:.3f} {number:.3f} 0.000 1.00 50.00 {at} A 1" for at, code in numbered]
    mmcif = _HEAD + _loop("_entity_poly_seq.", "entity_id num mon_id hetero", listed) + _CHAIN
    mmcif += _loop("_pdbx_poly_seq_scheme.", _SCHEME, scheme) + _loop("_atom_site.", _ATOM_SITE, atoms)
    return Template(mmcif, tuple(range(len(sequence))), tuple(range(len(sequence))))


def _loop(category: str, columns: str, rows: Iterable[str]) -> str:
    return "\n".join(["loop_", *(category + column for column in columns.split()), *rows, ""])


# The items that AlphaFold 3 reads of a template (structure/parsing.py and data/templates.py).
_HEAD = """data_TMPL
_entry.id TMPL
_exptl.method 'X-RAY DIFFRACTION'
_pdbx_audit_revision_history.revision_date 1999-12-31
_entity.id 1
_entity.type polymer
_entity_poly.entity_id 1
_entity_poly.type 'polypeptide(L)'
"""
_CHAIN = """_struct_asym.id A
_struct_asym.entity_id 1
"""
_SCHEME = "asym_id entity_id seq_id mon_id auth_seq_num pdb_strand_id pdb_ins_code hetero"
_ATOM_SITE = """group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id
    pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"""
