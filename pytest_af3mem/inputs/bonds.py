"""Bonds between named atoms of a job's chains."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_af3mem.inputs.chains import Atom, Chain, Dna, Ligand, Rna, length
from pytest_af3mem.inputs.chemistry import Dictionary, code_at
from pytest_af3mem.models.ccd import HYDROGENS
from pytest_af3mem.storage.document import Node


def read(node: Node, sequences: tuple[Chain, ...], dictionary: Dictionary) -> tuple[tuple[Atom, Atom], ...]:
    """The pairs of atoms. Raises InputError for what AlphaFold 3 would refuse."""
    chains = {chain: sequence for sequence in sequences for chain in sequence.ids}
    pairs: list[tuple[Atom, Atom]] = []
    for each in node.items():
        atoms = [_atom(atom, chains, dictionary) for atom in each.items()]
        if len(atoms) != 2:
            each.refuse(f"must be a pair of atoms, and has {len(atoms)}")
        pair = atoms[0], atoms[1]
        if pair in pairs:
            each.refuse("is a bond that is given twice")
        if pair[0] == pair[1]:
            each.note("is a bond of an atom to itself")
        pairs.append(pair)
    return tuple(pairs)


def _atom(node: Node, chains: Mapping[str, Chain], dictionary: Dictionary) -> Atom:
    ends = list(node.items())
    if len(ends) != 3:
        node.refuse("must be an atom: [chain id, residue from 1, name of the atom]")
    chain, name = ends[0].filled(), ends[2].filled()
    if chain not in chains:
        ends[0].refuse("is not the id of a chain")
    sequence = chains[chain]
    if isinstance(sequence, Ligand) and sequence.smiles is not None:
        ends[0].refuse("is a ligand by SMILES, whose atoms have no names and cannot be bonded: give it by CCD code")
    position = ends[1].whole(1, length(sequence), or_truth=True)
    code = code_at(sequence, position)
    if code in dictionary and name not in dictionary.names(code):
        ends[2].refuse(f"is not an atom of {code}")
    if code in dictionary and dictionary.element(code, name) in HYDROGENS:
        ends[2].note("is a hydrogen: AlphaFold 3 ignores its bonds, and chains of which it sees no other atom")
    if isinstance(sequence, Rna | Dna) and position > 1 and name == "OP3":
        ends[2].refuse("is an atom that AlphaFold 3 gives to the first residue of a chain alone")
    return chain, position, name
