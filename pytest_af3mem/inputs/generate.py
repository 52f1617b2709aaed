"""Jobs of exactly so many tokens."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pytest_af3mem.errors import UsageError, check_whole_number, near, spelled
from pytest_af3mem.inputs import synthesis
from pytest_af3mem.inputs.chains import Chain, Dna, Ligand, Polymer, Protein, Rna, chain_ids
from pytest_af3mem.inputs.chemistry import Dictionary, polymer_of
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.inputs.synthesis import POLYMERS
from pytest_af3mem.inputs.tokens import count_chains
from pytest_af3mem.models.ccd import Store

MAX_TOKENS = 100_000  # beyond what any GPU holds by far; a typing error rather than a job
_BOUNDS = {  # the least and the most
    "chains": (1, MAX_TOKENS),
    "copies": (1, MAX_TOKENS),
    "msa_depth": (0, 32_768),  # twice what AlphaFold 3 keeps of an MSA
    "paired_msa_depth": (0, 32_768),
    "templates": (0, 20),  # what AlphaFold 3 is given at most; it keeps 4
    "seed": (0, 2**64 - 1),
}
_NAMES = {Protein: "proteins", Rna: "RNA", Dna: "DNA"}
_LISTS = {"kinds": "protein+rna", "ligands": "ATP+MG", "modifications": "SEP+TPO"}


@dataclass(frozen=True)
class Mix:
    """What a generated job is made of.

    Attributes:
      chains: Number of polymer chains, each with a sequence of its own and of the same length, give or take one; by default
        as many as `kinds`.
      kinds: Of "protein", "rna" and "dna"; the chains are of these in turn.
      copies: Of each chain.
      ligands: CCD codes of ligands and ions to add; a code that is given twice is added twice.
      smiles: Ligands to add by SMILES.
      modifications: CCD codes of modified residues; each takes the place of one in a chain of its kind.
      msa_depth: Rows of the unpaired MSA of each protein and RNA, the query included; 0 for none, and at most 32,768.
      paired_msa_depth: Rows of the paired MSA of each protein.
      templates: Templates of each protein, as long as it is; at most 20.
      seed: Sequences, MSAs and templates are a function of all arguments and this.
    """

    chains: int | None = None
    kinds: tuple[str, ...] = ("protein",)
    copies: int = 1
    ligands: tuple[str, ...] = ()
    smiles: tuple[str, ...] = ()
    modifications: tuple[str, ...] = ()
    msa_depth: int = 0
    paired_msa_depth: int = 0
    templates: int = 0
    seed: int = 0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Mix:
        """Options by name; lists of words may be text, like "ATP+MG". Raises UsageError for what cannot be."""
        return cls(**{name: _checked(name, value) for name, value in options.items()})

    def polymers(self) -> list[type[Polymer]]:
        """The kind of each chain. Raises UsageError where a kind gets none, or none of them can have an MSA or template."""
        chains = self.chains or len(self.kinds)
        if chains < len(self.kinds):
            raise UsageError(f"chains={chains} are too few for {len(self.kinds)} kinds: {', '.join(self.kinds)}")
        polymers = [POLYMERS[self.kinds[index % len(self.kinds)]] for index in range(chains)]
        for name, able in (("msa_depth", {Protein, Rna}), ("paired_msa_depth", {Protein}), ("templates", {Protein})):
            if getattr(self, name) and not able & set(polymers):
                have = "proteins and RNA have" if len(able) > 1 else "proteins have"
                raise UsageError(f"{name}={getattr(self, name)}: only {have} that, and kinds is {', '.join(self.kinds)}")
        return polymers


OPTIONS = tuple(field.name for field in dataclasses.fields(Mix))


def generate(tokens: int, *, components: Store | None = None, **options: Any) -> Job:
    """A job of exactly `tokens` tokens, by default one protein chain.

    Args:
      tokens: Whole number of at least 1, those of ligands and modified residues included.
      components: The chemical component dictionary that tells how many tokens a CCD code takes; by default that of the
        running session.
      **options: See `Mix`. Each chain keeps at least one standard residue.

    Raises UsageError, with the rule and the nearest possible size, for what cannot be.
    """
    check_tokens(tokens)
    mix = Mix.of(options)
    if components is None and needs_components(options):
        from pytest_af3mem.inputs import ambient

        components = ambient.current().components
    return _generated(tokens, mix, components)


@functools.lru_cache(maxsize=8)  # a test asks for its job several times, and a deep MSA takes a while to make
def _generated(tokens: int, mix: Mix, components: Store | None) -> Job:
    polymers = mix.polymers()
    ligands = [Ligand((), (code,)) for code in mix.ligands] + [Ligand((), smiles=smiles) for smiles in mix.smiles]
    beside = sum(ligand_tokens(ligand, components) for ligand in ligands)
    dictionary = Dictionary(components)
    chains = list(zip(polymers, _assigned(mix.modifications, polymers, dictionary), strict=True))
    in_place = sum(modification_tokens(code, polymer, components) for polymer, codes in chains for code in codes)
    check_room(tokens, mix, beside, in_place)
    standard = (tokens - beside) // mix.copies - in_place
    whole, rest = divmod(standard, len(polymers))
    source = synthesis.source(f"{tokens} {mix}")
    ids = chain_ids()
    sequences: list[Chain] = [
        synthesis.chain(
            polymer,
            tuple(islice(ids, mix.copies)),
            whole + (index < rest) + len(codes),
            source,
            modified=codes,
            dictionary=dictionary,
            msa_depth=mix.msa_depth,
            paired_msa_depth=mix.paired_msa_depth,
            templates=mix.templates,
        )
        for index, (polymer, codes) in enumerate(chains)
    ]
    sequences += [dataclasses.replace(ligand, ids=(next(ids),)) for ligand in ligands]
    return Job(f"generated_{tokens}_tokens", tuple(sequences))


def ligand_tokens(ligand: Ligand, components: Store | None) -> int:
    """Tokens of a ligand that is bound to nothing. Raises UsageError for one that AlphaFold 3 cannot fold, or leaves out."""
    if tokens := count_chains((dataclasses.replace(ligand, ids=("A",)),), components):
        return tokens
    raise UsageError(f"ligand {'+'.join(ligand.ccd_codes)!r} has no tokens: AlphaFold 3 leaves it out")


def modification_tokens(code: str, polymer: type[Polymer], components: Store | None) -> int:
    """Tokens of a modified residue that is neither the last of a protein nor the first of a nucleic acid."""
    position = 1 if polymer is Protein else 2
    return count_chains((polymer(("A",), "AA", modifications=((code, position),)),), components) - 1


def _assigned(codes: Sequence[str], polymers: Sequence[type[Polymer]], dictionary: Dictionary) -> list[list[str]]:
    """The modified residues of each chain: those of its kind, dealt out in turn."""
    assigned: list[list[str]] = [[] for _ in polymers]
    for number, code in enumerate(codes):
        kind = polymer_of(code, dictionary)
        if kind not in polymers:
            raise UsageError(f"modification {code!r} is one of {_NAMES[kind]}, and there is no such chain: kinds=...")
        fitting = [index for index, polymer in enumerate(polymers) if polymer is kind]
        assigned[fitting[number % len(fitting)]].append(code)
    return assigned


def check_room(tokens: int, mix: Mix, beside: int = 0, in_place: int = 0) -> None:
    """Raises UsageError, with the nearest size that is possible, unless `tokens` is one.

    `beside` are the tokens of ligands, `in_place` those of the modified residues of one copy of all chains.
    """
    chains = len(mix.polymers())
    least = beside + mix.copies * (in_place + chains)
    rest = (tokens - beside) % mix.copies
    if tokens >= least and not rest:
        return
    what = f"{chains * mix.copies} chain{'s' if chains * mix.copies > 1 else ''}"
    what += f" and {'+'.join((*mix.ligands, *mix.smiles))} ({beside} tokens)" if beside else ""
    what += f" and {'+'.join(mix.modifications)} ({mix.copies * in_place} tokens)" if in_place else ""
    if tokens < least:
        raise UsageError(f"tokens={tokens} is too few for {what}: at least {least}")
    below, above = tokens - rest, tokens - rest + mix.copies
    near_ones = f"{below} or {above}" if below >= least else str(above)
    raise UsageError(
        f"tokens={tokens} is not possible with copies={mix.copies} of each chain, {what}: the nearest is {near_ones}"
    )


def needs_components(options: Mapping[str, Any]) -> bool:
    """Whether a job with these options takes a chemical component dictionary."""
    return bool(options.get("ligands") or options.get("modifications"))


def check_tokens(tokens: object) -> None:
    """Raises UsageError unless `tokens` can be the size of a job."""
    check_whole_number("tokens", tokens, 1, MAX_TOKENS)


def _checked(name: str, value: Any) -> Any:
    """The value of one option; UsageError for a name or a value that there is not."""
    if name not in OPTIONS:
        raise UsageError(f"{name!r} is not an option of a generated job{near(name, OPTIONS)} (options: {', '.join(OPTIONS)})")
    if name in _BOUNDS:
        least, most = _BOUNDS[name]
        if value is None and name == "chains":
            return None
        check_whole_number(name, value, least)
        if value > most:
            raise UsageError(f"{name}={spelled(value)} must be a whole number of at most {most:,}")
        return value
    texts = value
    if isinstance(value, str):
        texts = (value,) if name == "smiles" else value.split("+")
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text for text in texts):
        like = f"like {_LISTS[name]!r}, or a list of such words" if name in _LISTS else "a SMILES, like 'CCO', or a list of them"
        raise UsageError(f"{name}={value!r} must be {like}")
    if name == "kinds" and (not texts or set(texts) - POLYMERS.keys()):
        raise UsageError(f"kinds={value!r} must be of {', '.join(POLYMERS)}, like {_LISTS[name]!r}")
    return tuple(texts)
