"""How many tokens a job has, by AlphaFold 3's rules, without AlphaFold 3.

The rules lie in its `tokenizer` (model/features.py), `get_link_drop_atoms` (model/atom_layout/atom_layout.py) and
`clean_structure` (model/pipeline/structure_cleaning.py). Its featuriser is the authority: where they differ, this is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from typing import TYPE_CHECKING

from pytest_af3mem.errors import UsageError
from pytest_af3mem.inputs.chains import Atom, Chain, Dna, Ligand, Polymer, Protein, Rna, length
from pytest_af3mem.inputs.chemistry import RESIDUES, UNKNOWN, Dictionary, code_at, smiles_tokens
from pytest_af3mem.models.ccd import HYDROGENS, Store

if TYPE_CHECKING:
    from pytest_af3mem.inputs.job import Job

_AMINO_ACIDS = frozenset(RESIDUES[Protein].values()) | {"UNK", "MSE"}
_NUCLEOTIDES = frozenset(RESIDUES[Rna].values()) | frozenset(RESIDUES[Dna].values()) | {"N", "DN"}
_UNKNOWN = frozenset({"UNK", "N", "DN"})
_CCD_CODE = re.compile(r"[A-Z0-9]{1,3}|[A-Z0-9]{5}")


def count(job: Job, components: Store | None = None) -> int:
    """Tokens of a job, as `count_chains` counts them."""
    return count_chains(job.sequences, components, job.bonded_atom_pairs, job.user_ccd)


def count_chains(
    sequences: Sequence[Chain],
    components: Store | None = None,
    bonds: Sequence[tuple[Atom, Atom]] = (),
    user_ccd: str | None = None,
) -> int:
    """Tokens of all chains.

    1 a residue or nucleotide, an unknown one and selenomethionine included; 1 a heavy atom of a ligand, and of any other
    modified residue without OXT inside a protein chain and without OP3 after a nucleic acid's first residue. A chain of
    unknown residues alone is dropped. `components` is needed for ligands by CCD code and for modifications only.
    """
    dictionary = Dictionary(components, user_ccd)
    linked = _linked(sequences, bonds, dictionary) if bonds else frozenset()
    bonded: dict[str, dict[int, set[str]]] = {}
    for chain, position, name in (atom for pair in bonds for atom in pair):
        bonded.setdefault(chain, {}).setdefault(position, set()).add(name)
    total = 0
    for sequence in sequences:
        if is_unknown(sequence):
            continue
        touched = bonded.keys() & set(sequence.ids)
        for chain in touched:
            own = {position for position in bonded[chain] if (chain, position) in linked}
            total += _tokens(sequence, dictionary, bonded[chain], own)
        if alike := len(sequence.ids) - len(touched):
            total += alike * _tokens(sequence, dictionary, {}, set())
    return total


def _tokens(sequence: Chain, dictionary: Dictionary, bonded: Mapping[int, Set[str]], linked: Set[int]) -> int:
    """Tokens of one copy of a sequence.

    `bonded` are the names of the atoms that have bonds of their own, by position; `linked` the positions of `_linked`.
    """
    if not _is_seen(sequence, dictionary, bonded, linked):
        return 0
    if isinstance(sequence, Ligand):
        if sequence.smiles is not None:
            try:
                return smiles_tokens(sequence.smiles)
            except ValueError as error:
                raise UsageError(f"ligand {sequence.smiles!r} {error}") from error
        return sum(_component_tokens(code, dictionary, at in linked) for at, code in enumerate(sequence.ccd_codes, start=1))
    modified = {position: code for code, position in sequence.modifications}
    tokens = (_residue_tokens(sequence, code, at, dictionary, bonded.get(at, ())) for at, code in modified.items())
    return len(sequence.sequence) - len(modified) + sum(tokens)


def is_unknown(sequence: Chain) -> bool:
    """Whether all residues are one unknown; AlphaFold 3 leaves such a chain out (`drop_missing_sequence`)."""
    if isinstance(sequence, Ligand):
        codes = set(sequence.ccd_codes)
    else:
        modified = {position for _, position in sequence.modifications}
        known = RESIDUES[type(sequence)]
        if any(letter in known for at, letter in enumerate(sequence.sequence, 1) if at not in modified):
            return False
        codes = {code for code, _ in sequence.modifications}
        codes |= {UNKNOWN[type(sequence)][1]} if len(modified) < len(sequence.sequence) else set()
    return len(codes) == 1 and codes <= _UNKNOWN


def _is_seen(sequence: Chain, dictionary: Dictionary, bonded: Mapping[int, Set[str]], linked: Set[int]) -> bool:
    """Whether AlphaFold 3 keeps the chain: it looks at bonded atoms, or at one of a residue that has none, without hydrogens.

    The O1 that a saccharide loses does not count either.
    """
    if isinstance(sequence, Ligand):
        if sequence.smiles is not None:
            return True
        alone = set(range(1, length(sequence) + 1))
    else:
        alone = {position for _, position in sequence.modifications}
    if len(alone | bonded.keys()) < length(sequence):
        return True  # a standard residue without bonds
    for position in alone | bonded.keys():
        code = code_at(sequence, position)
        loses_o1 = isinstance(sequence, Ligand) and position not in linked and dictionary.is_glycan(code)
        for name in bonded.get(position) or {dictionary.seen_atom(code)}:
            if dictionary.element(code, name) not in HYDROGENS and not (name == "O1" and loses_o1):
                return True
    return False


def _residue_tokens(sequence: Polymer, code: str, position: int, dictionary: Dictionary, bonded: Collection[str]) -> int:
    """Tokens of a modified residue, of whose atoms the `bonded` ones have bonds of their own."""
    if code in (_AMINO_ACIDS if isinstance(sequence, Protein) else _NUCLEOTIDES):
        return 1
    try:
        atoms = dictionary.atoms(code)
    except KeyError:
        raise UsageError(f"modification {code!r} is not a code of the chemical component dictionary (CCD), like 'SEP'") from None
    heavy = {name for name, element in atoms.items() if element not in HYDROGENS}
    if not isinstance(sequence, Protein):
        return len(heavy - ({"OP3"} if position > 1 else set()))
    # AlphaFold 3 takes a residue for the chain's last if it sees its OXT. Without bonds it looks at one atom, the first.
    is_last = position == length(sequence) or "OXT" in (bonded or {dictionary.seen_atom(code)})
    return len(heavy - (set() if is_last else {"OXT"}))


def _component_tokens(code: str, dictionary: Dictionary, linked: bool) -> int:
    """Tokens of a ligand's component; `linked` says whether its O1 is bonded to another, which keeps it in a saccharide."""
    try:
        heavy = dictionary.heavy_atoms(code)
    except KeyError:
        raise UsageError(f"ligand {code!r} is not a code of the chemical component dictionary (CCD), like 'ATP'") from None
    if not dictionary.names(code):
        raise UsageError(f"ligand {code!r} has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it")
    return heavy - (not linked and dictionary.is_glycan(code) and "O1" in dictionary.names(code))


def _linked(sequences: Sequence[Chain], bonds: Sequence[tuple[Atom, Atom]], dictionary: Dictionary) -> frozenset[tuple[str, int]]:
    """Chain and position of the components whose O1 AlphaFold 3 keeps: those bonded there to another residue.

    Of several bonds at one atom it looks at the first alone, among those to polymers and among those between ligands.
    """
    named = {chain: sequence for sequence in sequences for chain in sequence.ids}
    used: dict[bool, set[Atom]] = {True: set(), False: set()}
    linked = set()
    for pair in bonds:
        ends = [(named[chain], code_at(named[chain], position), name) for chain, position, name in pair]
        ligands = sum(isinstance(sequence, Ligand) for sequence, _, _ in ends)
        is_glycan = any(dictionary.is_glycan(code) for _, code, _ in ends)
        is_known = not any(is_unknown(sequence) for sequence, _, _ in ends)
        is_heavy = all(dictionary.element(code, name) not in HYDROGENS for _, code, name in ends)
        if not (ligands and is_glycan and is_known and is_heavy) or pair[0][:2] == pair[1][:2]:
            continue
        seen = used[ligands == 2]
        if not seen & set(pair):
            linked |= {(chain, position) for chain, position, name in pair if name == "O1"}
        seen |= set(pair)
    return frozenset(linked)


def needs_components(job: Job) -> bool:
    """Whether a dictionary of chemical components has a say in the job's tokens, or in whether AlphaFold 3 would refuse it."""
    if job.bonded_atom_pairs:
        return True
    return any(sequence.ccd_codes if isinstance(sequence, Ligand) else sequence.modifications for sequence in job.sequences)


def needed_components(job: Job) -> list[str]:
    """The CCD codes without which the tokens are not known: none that count as one residue, nor the user's own.

    A component of the user's with an O1 is one where the CCD may have its code too, for a saccharide there loses that atom.
    """
    named = {chain: sequence for sequence in job.sequences for chain in sequence.ids}
    codes = [code_at(named[chain], position) for pair in job.bonded_atom_pairs for chain, position, _ in pair]
    for sequence in job.sequences:
        if isinstance(sequence, Ligand):
            codes += sequence.ccd_codes
        else:
            one_token = _AMINO_ACIDS if isinstance(sequence, Protein) else _NUCLEOTIDES
            codes += [code for code, _ in sequence.modifications if code not in one_token]
    own = Dictionary(None, job.user_ccd)
    return [code for code in dict.fromkeys(codes) if code not in own or ("O1" in own.names(code) and _CCD_CODE.fullmatch(code))]
