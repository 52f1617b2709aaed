"""The dialect `alphafoldserver`, whose chains have no ids of their own and whose MSAs AlphaFold 3 searches."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from pytest_af3mem.inputs import parts
from pytest_af3mem.inputs.chains import Chain, Dna, Ligand, Polymer, Protein, Rna, chain_ids
from pytest_af3mem.inputs.chemistry import Components
from pytest_af3mem.storage.document import Node

_MAX_COPIES = 10_000


class ServerReader(parts.Reader):
    """Reads one job."""

    def __init__(self, components: Components | None):
        super().__init__(components)
        self._chains = chain_ids()

    def job(self, node: Node) -> parts.JobParts:
        known = "name", "sequences", "modelSeeds", "dialect", "version"
        fields = node.fields(*known, required=known[:2], nullable=known[2:3])
        if ("dialect" in fields) != ("version" in fields):
            node.refuse("must state both dialect and version, or neither")
        if "dialect" in fields and fields["dialect"].value != "alphafoldserver":
            fields["dialect"].refuse("must be 'alphafoldserver' in a list")
        if "version" in fields and fields["version"].value != 1:
            fields["version"].refuse("must be 1")
        if "version" in fields and type(fields["version"].value) is not int:
            fields["version"].note("must be 1: AlphaFold 3 reads it as a number")
        sequences = tuple(each for each in map(self._sequence, fields["sequences"].items()) if each)
        if not sequences:
            fields["sequences"].refuse("must not be empty")
        has_seeds = "modelSeeds" in fields and fields["modelSeeds"].value != []
        return parts.JobParts(parts.name(fields["name"]), sequences, parts.seeds(fields["modelSeeds"]) if has_seeds else (1,))

    def _sequence(self, node: Node) -> Chain | None:
        """A sequence and its copies, named in turn; None without copies."""
        kinds = "proteinChain", "rnaSequence", "dnaSequence", "ion", "ligand"
        fields = node.fields(*kinds, nullable=(), others_are_ignored=True)
        if not fields:
            node.refuse(f"must have one key of {', '.join(kinds)}")
        kind = next(kind for kind in kinds if kind in fields)
        if len(fields) > 1:
            node.note(f"must have one key of {', '.join(kinds)}: AlphaFold 3 reads {kind} alone")
        sequence = self._ligand(fields[kind]) if kind in ("ion", "ligand") else self._polymer(fields[kind], kind)
        return sequence if sequence.ids else None

    def _ligand(self, node: Node) -> Ligand:
        fields = node.fields("ligand", "ion", "count", nullable=())
        given = [kind for kind in ("ligand", "ion") if kind in fields]
        if not given:
            node.refuse("must have one of ligand and ion")
        if len(given) > 1:
            node.note("must have one of ligand and ion: AlphaFold 3 reads ligand alone")
        code = self.code(fields[given[0]], "CCD_" if given[0] == "ligand" else "")
        return Ligand(self._copies(fields), (code,))

    def _polymer(self, node: Node, kind: str) -> Polymer:
        polymer: type[Polymer] = {"proteinChain": Protein, "rnaSequence": Rna, "dnaSequence": Dna}[kind]
        own = ("useStructureTemplate", "glycans", "maxTemplateDate") if polymer is Protein else ()
        fields = node.fields("sequence", "modifications", "count", *own, required=("sequence",), nullable=())
        for key, why in (("glycans", "give them as ligands with bonds"), ("maxTemplateDate", "use --max_template_date")):
            if key in fields:
                fields[key].refuse(f"is not supported by AlphaFold 3 in this dialect: {why}")
        sequence = parts.residues(fields["sequence"], polymer)
        modifications = self.modifications(fields, len(sequence), polymer, "CCD_")
        ids = self._copies(fields)
        if polymer is Dna:
            return Dna(ids, sequence, modifications)
        if polymer is Rna:
            return Rna(ids, sequence, None, modifications)
        is_searched = "useStructureTemplate" not in fields or bool(fields["useStructureTemplate"].value)
        if "useStructureTemplate" in fields and type(fields["useStructureTemplate"].value) is not bool:
            fields["useStructureTemplate"].note(f"must be true or false: AlphaFold 3 reads it as {str(is_searched).lower()}")
        return Protein(ids, sequence, None, None, modifications, None if is_searched else ())

    def _copies(self, fields: Mapping[str, Node]) -> tuple[str, ...]:
        if "count" not in fields:
            return (next(self._chains),)
        count = fields["count"].whole(-parts.MOST, _MAX_COPIES, or_truth=True)
        if count < 1:
            fields["count"].note("must be at least 1: AlphaFold 3 leaves the chain out")
        return tuple(islice(self._chains, max(0, count)))
