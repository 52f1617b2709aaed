"""Jobs of exactly so many tokens."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from itertools import islice

from pytest_af3mem.errors import UsageError, near
from pytest_af3mem.inputs.chemistry import Components
from pytest_af3mem.inputs.job import Job, Ligand, Protein, chain_ids
from pytest_af3mem.inputs.tokens import ligand_tokens

MAX_TOKENS = 100_000  # beyond what any GPU holds by far; a typing error rather than a job
_LEAST = {"chains": 1, "msa_depth": 0, "seed": 0}
OPTIONS = ("chains", "ligand", "msa_depth", "seed")

_RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
_MUTATED = 0.3  # share of positions that differ from the query in a row of an MSA


def generate(
    tokens: int,
    *,
    chains: int = 1,
    ligand: str | None = None,
    msa_depth: int = 0,
    seed: int = 0,
    components: Components | None = None,
) -> Job:
    """A job of exactly `tokens` tokens: protein chains of equal length, give or take one, and the ligand if one is named.

    Args:
      tokens: Whole number of at least 1, the ligand's included.
      chains: Number of protein chains, each with a sequence of its own.
      ligand: CCD code of a component to add once; `components` tells how many tokens it takes.
      msa_depth: Rows of each chain's unpaired MSA, the query included; 0 for none.
      seed: Sequences and MSAs are a function of the arguments and this.

    Raises UsageError, with the rule, for what cannot be.
    """
    check_tokens(tokens)
    check_options({"chains": chains, "ligand": ligand, "msa_depth": msa_depth, "seed": seed})
    taken = ligand_tokens(ligand, components) if ligand else 0
    check_room(tokens, chains=chains, ligand=ligand, taken=taken)
    return _generated(tokens - taken, chains, ligand, msa_depth, seed)


@functools.lru_cache(maxsize=8)  # a test asks for its job several times, and a deep MSA takes seconds to make
def _generated(residues: int, chains: int, ligand: str | None, msa_depth: int, seed: int) -> Job:
    source = random.Random(f"{residues} {chains} {ligand} {msa_depth} {seed}")
    ids = chain_ids()
    whole, rest = divmod(residues, chains)
    sequences: list[Protein | Ligand] = []
    for index, chain in enumerate(islice(ids, chains)):
        sequence = "".join(source.choices(_RESIDUES, k=whole + (index < rest)))
        sequences.append(Protein((chain,), sequence, unpaired_msa=_msa(sequence, msa_depth, source)))
    if ligand:
        sequences.append(Ligand((next(ids),), (ligand,)))
    return Job(f"generated_{residues}_residues" + (f"_{ligand}" if ligand else ""), tuple(sequences))


def check_room(tokens: int, *, chains: int = 1, ligand: str | None = None, taken: int = 0) -> None:
    """Raises UsageError unless each chain gets a residue beside the `taken` tokens of the ligand."""
    if tokens - taken < chains:
        what = f"{chains} protein chain{'s' if chains > 1 else ''}" + (f" and {ligand} ({taken} tokens)" if ligand else "")
        raise UsageError(f"tokens={tokens} is too few for {what}: at least {chains + taken}")


def check_tokens(tokens: object) -> None:
    """Raises UsageError unless `tokens` can be the size of a job."""
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 1 <= tokens <= MAX_TOKENS:
        raise UsageError(f"tokens={tokens!r} must be a whole number from 1 to {MAX_TOKENS:,}")


def check_options(options: Mapping[str, object]) -> None:
    """Raises UsageError for a name or a value that `generate` does not take."""
    for name, value in options.items():
        if name not in OPTIONS:
            raise UsageError(f"{name!r} is no option of a generated job{near(name, OPTIONS)} (options: {', '.join(OPTIONS)})")
        if name in _LEAST and (not isinstance(value, int) or isinstance(value, bool) or value < _LEAST[name]):
            raise UsageError(f"{name}={value!r} must be a whole number of at least {_LEAST[name]}")
        if name == "ligand" and not (value is None or (isinstance(value, str) and value)):
            raise UsageError(f"ligand={value!r} must be a CCD code, like 'ATP'")


def _msa(query: str, depth: int, source: random.Random) -> str:
    """A3M text of `depth` rows of which the first is the query."""
    rows = [query][:depth]
    while len(rows) < depth:
        rows.append("".join(source.choice(_RESIDUES) if source.random() < _MUTATED else residue for residue in query))
    return "".join(f">row{index}\n{row}\n" for index, row in enumerate(rows))
