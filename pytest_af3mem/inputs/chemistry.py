"""Chemical components of a job: the CCD with the user's own before it, SMILES, and which code stands at a position."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.inputs import mmcif
from pytest_af3mem.inputs.chains import Chain, Dna, Ligand, Modification, Polymer, Protein, Rna
from pytest_af3mem.models.ccd import HYDROGENS, Store

_AMINO_ACIDS = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL".split()
RESIDUES: Mapping[type, Mapping[str, str]] = {  # letter of a sequence -> CCD code; any other letter is unknown
    Protein: dict(zip("ARNDCQEGHILKMFPSTWYV", _AMINO_ACIDS, strict=True)),
    Rna: {letter: letter for letter in "ACGU"},
    Dna: {letter: f"D{letter}" for letter in "ACGT"},
}
UNKNOWN: Mapping[type, tuple[str, str]] = {Protein: ("X", "UNK"), Rna: ("N", "N"), Dna: ("N", "DN")}
"""The letter and the CCD code of an unknown residue, which AlphaFold 3 folds as one token too."""


_READ_AS = {"UNK": "GLY"}  # AlphaFold 3 takes its atoms (`get_all_atoms_in_entry` of structure/chemical_components.py)
ANY_LETTER = "?"


class Dictionary:
    """The components that a job can name: those of its own `user_ccd` come before those of the CCD."""

    def __init__(self, components: Store | None, user_ccd: str | None = None):
        self._components = components
        self._own = _parsed(user_ccd) if user_ccd else {}

    @property
    def is_complete(self) -> bool:
        """Whether a code that is not here is in no dictionary; without a CCD that cannot be told."""
        return self._components is not None

    def __contains__(self, code: object) -> bool:
        try:
            return isinstance(code, str) and (code in self._own or self.heavy_atoms(code) >= 0)
        except (KeyError, UsageError):
            return False

    def heavy_atoms(self, code: str) -> int:
        code = _READ_AS.get(code, code)
        if code in self._own:
            return sum(element not in HYDROGENS for element in self.atoms(code).values())
        return self._ccd(code).heavy_atoms(code)

    def atoms(self, code: str) -> dict[str, str]:
        """Name -> element of the component's atoms, in its order, hydrogens included."""
        code = _READ_AS.get(code, code)
        component = self._own.get(code) or self._ccd(code)[code]
        return dict(zip(self.names(code), component.get("_chem_comp_atom.type_symbol", ()), strict=False))

    def names(self, code: str) -> Sequence[str]:
        """Those of the component's atoms, hydrogens included; AlphaFold 3 fails on a component that has none."""
        return (self._own.get(code) or self._ccd(code)[code]).get("_chem_comp_atom.atom_id", ())

    def seen_atom(self, code: str) -> str:
        """The atom by which AlphaFold 3 knows a residue without bonds: the first, or the second after O1; empty for none."""
        try:
            first, *others = self.names(code) or [""]
        except (KeyError, UsageError):
            return ""
        return others[0] if first == "O1" and others else first

    def element(self, code: str, name: str) -> str:
        """Element of an atom; empty for one that is in no dictionary."""
        try:
            return self.atoms(code).get(name, "")
        except (KeyError, UsageError):
            return ""

    def is_glycan(self, code: str) -> bool:
        """Whether AlphaFold 3 counts it among saccharides; it knows those of the CCD alone (chemical_component_sets_gen)."""
        return code != "UNX" and re.search(r"\bsaccharide\b", self.kind(code)) is not None

    def kind(self, code: str) -> str:
        """The component's type in the CCD, in small letters; empty for one that is not there."""
        try:
            return self._components[code].get("_chem_comp.type", [""])[0].lower() if self._components is not None else ""
        except KeyError:
            return ""

    def letter(self, code: str) -> str:
        """The letter that AlphaFold 3 writes for a residue, as a rule its parent's; empty where it writes an unknown one.

        It has a table of its own for that (`residue_names.letters_three_to_one`), which a user's component does not change.
        """
        return self._components.letter(code) if self._components is not None else ""

    def _ccd(self, code: str) -> Store:
        if self._components is None:
            raise UsageError(f"ligand {code!r} cannot be counted: this model has no chemical component dictionary")
        return self._components


def code_at(sequence: Chain, position: int) -> str:
    """CCD code of the residue at `position`, counted from 1; empty for a SMILES, which has none."""
    if isinstance(sequence, Ligand):
        return sequence.ccd_codes[position - 1] if sequence.ccd_codes else ""
    modified = {position: code for code, position in sequence.modifications}
    letter = sequence.sequence[position - 1]
    return modified.get(position) or RESIDUES[type(sequence)].get(letter, UNKNOWN[type(sequence)][1])


def used_codes(sequences: Iterable[Chain]) -> set[str]:
    """CCD codes of all residues and ligands."""
    codes: set[str] = set()
    for sequence in sequences:
        if isinstance(sequence, Ligand):
            codes.update(sequence.ccd_codes)
        else:
            modified = {position: code for code, position in sequence.modifications}
            letters = {letter for position, letter in enumerate(sequence.sequence, start=1) if position not in modified}
            known, unknown = RESIDUES[type(sequence)], UNKNOWN[type(sequence)][1]
            codes |= {*modified.values(), *(known.get(letter, unknown) for letter in letters)}
    return codes


def query_letters(sequence: str, modifications: Sequence[Modification], kind: type, dictionary: Dictionary) -> str:
    """The query as AlphaFold 3 compares it with the first row of an MSA: letters that it knows, of modified residues too.

    Without a dictionary those of modified residues cannot be told, and are `ANY_LETTER`.
    """
    letters = [letter if letter in RESIDUES[kind] else UNKNOWN[kind][0] for letter in sequence]
    for code, position in modifications:
        letters[position - 1] = (dictionary.letter(code) or UNKNOWN[kind][0]) if dictionary.is_complete else ANY_LETTER
    return "".join(letters)


def polymer_of(code: str, dictionary: Dictionary) -> type[Polymer]:
    """The kind of chain that a residue links into, by its type in the CCD. Raises UsageError for one that links into none.

    Types: https://mmcif.wwpdb.org/dictionaries/mmcif_pdbx_v50.dic/Items/_chem_comp.type.html
    """
    kind = dictionary.kind(code)
    for text, polymer in (("peptide linking", Protein), ("rna linking", Rna), ("dna linking", Dna)):
        if kind.endswith(text):
            return polymer
    if not dictionary.is_complete:
        raise UsageError(f"modification {code!r} cannot be counted: this model has no chemical component dictionary")
    raise UsageError(
        f"modification {code!r} is not a residue of a protein, RNA or DNA in the chemical component dictionary (CCD)"
    )


@functools.lru_cache(maxsize=1024)
def smiles_tokens(smiles: str) -> int:
    """Heavy atoms of a SMILES by RDKit, which AlphaFold 3 reads it with.

    Raises ValueError where RDKit does not read it or finds no such atom, SetupError where RDKit is missing.
    """
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise SetupError("a ligand given as SMILES needs RDKit, which is not installed here: pip install rdkit") from error
    try:
        with rdBase.BlockLogs():
            molecule: Any = Chem.MolFromSmiles(smiles)
            elements = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    except Exception as error:  # text that is no UTF-8, and whatever its C++ throws; it gives None for what it does not read
        raise ValueError("is not a SMILES that RDKit reads") from error
    heavy = sum(element not in HYDROGENS for element in elements)
    if not heavy:
        raise ValueError("has no atoms but hydrogens")
    return heavy


@functools.lru_cache(maxsize=8)
def _parsed(user_ccd: str) -> Mapping[str, mmcif.Block]:
    try:
        return mmcif.components(user_ccd)
    except ValueError as error:
        raise UsageError(f"user_ccd {error}") from error
