"""Hypothesis strategies of AlphaFold 3 inputs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TypeVar

from hypothesis import strategies as st

from pytest_af3mem.errors import UsageError, check_whole_number
from pytest_af3mem.inputs import ambient, synthesis
from pytest_af3mem.inputs.chains import Atom, Chain, Ligand, Polymer, chain_ids, length
from pytest_af3mem.inputs.chemistry import Dictionary, code_at, polymer_of
from pytest_af3mem.inputs.generate import MAX_TOKENS, ligand_tokens, modification_tokens
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.synthesis import POLYMERS
from pytest_af3mem.inputs.tokens import count
from pytest_af3mem.models.alphafold3_files import NEWEST_BUCKETS as BUCKETS
from pytest_af3mem.models.ccd import HYDROGENS, Store

LIGANDS: tuple[str | tuple[str, ...], ...] = (
    *"MG ZN CA NA K CL FE MN CU NI CO CD IOD SO4 PO4 GOL EDO PEG".split(),
    *"ATP ADP AMP GTP NAD FAD FMN SAM COA HEM PLP CLR CLA RET STU BTN".split(),
    *"NAG BMA MAN GLC GAL FUC SIA".split(),
    ("NAG", "NAG"),
    ("NAG", "NAG", "BMA"),
)
"""Ions, solvents, cofactors and saccharides that are common in the PDB; several codes are one ligand, bonded O4 to C1."""


SMILES = ("O", "CCO", "[NH4+]", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "[2H]C([2H])([2H])O")


MODIFICATIONS = tuple("SEP TPO PTR MSE MLY M3L HYP CSO OCS KCX CME ALY PSU 5MC 2MG OMC OMG H2U 5MU 5CM 8OG 6OG".split())
"""Phosphorylated, methylated and oxidised residues, and bases of tRNA and of damaged DNA."""


_TEMPLATE_RESIDUES = 16
_T = TypeVar("_T")


def jobs(
    *,
    tokens: int | None = None,
    min_tokens: int = 1,
    max_tokens: int = 1024,
    kinds: str | Collection[str] = ("protein", "rna", "dna"),
    min_chains: int = 1,
    max_chains: int = 4,
    max_copies: int = 3,
    ligands: Sequence[str | tuple[str, ...]] = LIGANDS,
    smiles: Sequence[str] = SMILES,
    max_ligands: int = 3,
    modifications: Sequence[str] = MODIFICATIONS,
    max_modifications: int = 3,
    max_msa_depth: int = 100,
    max_templates: int = 2,
    bonds: bool = True,
    max_seeds: int = 2,
    buckets: Sequence[int] = BUCKETS,
) -> st.SearchStrategy[Job]:
    """AlphaFold 3 inputs of mixed chains, ligands, modified residues, MSAs, templates, bonds and seeds.

    Every job has at least one chain, and each chain at least one standard residue. Bounds shrink towards their least, and choices
    towards the first: to a single protein chain of alanine of the fewest tokens, without anything else.

    Args:
      tokens: Exactly so many tokens; instead of `min_tokens` and `max_tokens`.
      min_tokens, max_tokens: The range of tokens, both included. Sizes at the edge of a bucket, and one token to either side,
        come up more often than others.
      kinds: What chains may be: "protein", "rna", "dna".
      min_chains, max_chains: Polymers with sequences of their own.
      max_copies: Copies of a chain.
      ligands: CCD codes to choose ligands and ions from; a tuple of codes is one ligand whose components are bonded O4
        to C1, as in a glycan. Those that do not fit into the tokens are not chosen. Shrinks towards the first of those of
        fewest tokens.
      smiles: SMILES to choose ligands from.
      max_ligands: Ligands in a job.
      modifications: CCD codes to choose modified residues from, for chains of their kind.
      max_modifications: Modified residues in a chain.
      max_msa_depth: Rows of a chain's unpaired MSA, and of its paired one.
      max_templates: Templates of a protein.
      bonds: Whether a ligand may be bonded to a polymer. Shrinks towards no bond.
      max_seeds: Model seeds of a job.
      buckets: Padding buckets whose edges are favoured.

    Codes are looked up in the chemical component dictionary of the session that runs; for a model without one, as for
    one of your own, give `ligands=()` and `modifications=()`.

    Raises UsageError for bounds that cannot be.
    """
    if tokens is not None:
        if (min_tokens, max_tokens) != (1, 1024):
            raise UsageError(f"tokens={tokens} is exact: leave out min_tokens and max_tokens")
        min_tokens = max_tokens = tokens
    named = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not named or set(named) - POLYMERS.keys():
        raise UsageError(f"kinds={kinds!r} must be of {', '.join(POLYMERS)}")
    _check_ordered(min_tokens=min_tokens, max_tokens=max_tokens)
    _check_ordered(min_chains=min_chains, max_chains=max_chains)
    _check_ordered(min_chains=min_chains, min_tokens=min_tokens)
    _check_whole(1, max_copies=max_copies, max_seeds=max_seeds)
    _check_whole(0, max_ligands=max_ligands, max_modifications=max_modifications)
    _check_whole(0, max_msa_depth=max_msa_depth, max_templates=max_templates)
    pool = _Pool(*((ligands, smiles) if max_ligands else ((), ())), modifications if max_modifications else ())
    edges = sorted({edge for bucket in buckets for edge in (bucket - 1, bucket, bucket + 1) if min_tokens <= edge <= max_tokens})
    within = st.integers(min_tokens, max_tokens)
    kind, depth = st.sampled_from([POLYMERS[name] for name in named]), st.integers(0, max_msa_depth)
    copies, templates, modified = st.integers(1, max_copies), st.integers(0, max_templates), st.integers(0, max_modifications)
    return _jobs(
        pool,
        st.one_of(within, st.sampled_from(edges)) if edges and min_tokens < max_tokens else within,
        (min_chains, max_chains),
        # Every kind draws equally much, what it cannot have included: Hypothesis prefers the fewest draws to the first kind.
        st.tuples(kind, depth, depth, templates, copies, modified),
        st.integers(0, max_ligands),
        st.booleans() if bonds else st.just(False),
        st.integers(1, max_seeds),
    )


_Content = tuple[type[Polymer], int, int, int, int, int]
"""The kind of a chain, rows of its unpaired and its paired MSA, and how many templates, copies and modified residues it has."""


@dataclass(frozen=True)
class _Pool:
    """What ligands and modified residues are chosen from, each with its tokens.

    All is looked up once, when the first job is drawn: strategies are made before a session runs.
    """

    codes: Sequence[str | tuple[str, ...]]
    smiles: Sequence[str]
    modifications: Sequence[str]

    @functools.cached_property
    def components(self) -> Store | None:
        return ambient.current().components if self.codes or self.modifications else None

    @functools.cached_property
    def dictionary(self) -> Dictionary:
        return Dictionary(self.components)

    @functools.cached_property
    def ligands(self) -> list[tuple[int, Ligand]]:
        found = [Ligand((), (code,) if isinstance(code, str) else tuple(code)) for code in self.codes]
        found += [Ligand((), smiles=smiles) for smiles in self.smiles]
        counted = [(ligand_tokens(ligand, self.components), ligand) for ligand in found]
        return sorted(counted, key=itemgetter(0))  # for the first is what Hypothesis shrinks towards

    @functools.cached_property
    def modified(self) -> dict[type[Polymer], list[tuple[int, str]]]:
        found: dict[type[Polymer], list[tuple[int, str]]] = {polymer: [] for polymer in POLYMERS.values()}
        for code in self.modifications:
            polymer = polymer_of(code, self.dictionary)
            found[polymer].append((modification_tokens(code, polymer, self.components), code))
        return found


@st.composite
def _jobs(
    draw: st.DrawFn,
    pool: _Pool,
    sizes: st.SearchStrategy[int],
    chains: tuple[int, int],
    contents: st.SearchStrategy[_Content],
    numbers_of_ligands: st.SearchStrategy[int],
    is_bonded: st.SearchStrategy[bool],
    numbers_of_seeds: st.SearchStrategy[int],
) -> Job:
    total = draw(sizes)
    number = draw(st.integers(chains[0], min(chains[1], total)))
    ligands = _chosen(draw, pool.ligands, draw(numbers_of_ligands), total - number)
    room = total - sum(tokens for tokens, _ in ligands)
    source = synthesis.source(draw(st.integers(0, 2**16 - 1)))
    ids = chain_ids()
    sequences: list[Chain] = []
    for following in reversed(range(number)):
        tokens, chain = draw(_chains(pool, contents, room, following, ids, source))
        sequences.append(chain)
        room -= tokens
    links: list[tuple[Atom, Atom]] = []
    bonds: list[tuple[Atom, Atom]] = []
    for _, ligand in ligands:
        placed = dataclasses.replace(ligand, ids=(next(ids),))
        links += [((placed.ids[0], at, "O4"), (placed.ids[0], at + 1, "C1")) for at in range(1, len(ligand.ccd_codes))]
        if draw(is_bonded) and ligand.ccd_codes:
            bonds.append((_atom(draw, sequences[0], pool.dictionary), _atom(draw, placed, pool.dictionary)))
        sequences.append(placed)
    job = Job("generated", tuple(sequences), tuple(range(1, draw(numbers_of_seeds) + 1)), (*links, *bonds))
    if bonds and count(job, pool.components) != total:  # an atom that would have left stays, since it is bonded
        return dataclasses.replace(job, bonded_atom_pairs=tuple(links))
    return job


@st.composite  # a span of its own for each chain, which Hypothesis can then leave out as a whole
def _chains(
    draw: st.DrawFn,
    pool: _Pool,
    contents: st.SearchStrategy[_Content],
    room: int,
    following: int,
    ids: Iterator[str],
    source: synthesis.Source,
) -> tuple[int, Polymer]:
    """A chain, and the tokens of all its copies: those that are left for it and as many chains as follow; all for the last."""
    tokens = draw(st.integers(1, room - following)) if following else room
    polymer, depth, paired_depth, templates, most_copies, number = draw(contents)
    copies = math.gcd(tokens, most_copies)
    modified = _chosen(draw, pool.modified[polymer], number, tokens // copies - 1)
    chain = synthesis.chain(
        polymer,
        tuple(islice(ids, copies)),
        tokens // copies - sum(taken for taken, _ in modified) + len(modified),
        source,
        modified=[code for _, code in modified],
        dictionary=pool.dictionary,
        msa_depth=depth,
        paired_msa_depth=paired_depth,
        templates=templates,
        template_residues=_TEMPLATE_RESIDUES,
    )
    return tokens, chain


def _chosen(draw: st.DrawFn, pool: Sequence[tuple[int, _T]], number: int, room: int) -> list[tuple[int, _T]]:
    """At most `number` of the pool, whose tokens fit into the room."""
    chosen: list[tuple[int, _T]] = []
    for _ in range(number if pool and room > 0 else 0):
        one = pool[draw(st.integers(0, len(pool) - 1))]
        if one[0] <= room:
            chosen.append(one)
            room -= one[0]
    return chosen


def _atom(draw: st.DrawFn, sequence: Chain, dictionary: Dictionary) -> Atom:
    """A heavy atom, by its name, of one of the sequence's residues, none that leaves where residues are joined."""
    position = draw(st.integers(1, length(sequence)))
    atoms = dictionary.atoms(code_at(sequence, position))
    heavy = [name for name, element in atoms.items() if element.upper() not in HYDROGENS]
    staying = [name for name in heavy if name not in ("OXT", "OP3", "O1")] or heavy
    return sequence.ids[0], position, draw(st.sampled_from(staying))


def _check_ordered(**bounds: int) -> None:
    _check_whole(1, **bounds)
    (low_name, low), (high_name, high) = bounds.items()
    if low > high:
        raise UsageError(f"{low_name}={low} is more than {high_name}={high}")


def _check_whole(least: int, **values: int) -> None:
    for name, value in values.items():
        check_whole_number(name, value, least, MAX_TOKENS)
