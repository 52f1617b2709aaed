"""The dialect `alphafoldserver`, whose chains have no ids of their own and whose MSAs AlphaFold 3 searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from pytest_af3mem.inputs import parts
from pytest_af3mem.inputs.chains import Chain, Dna, Ligand, Polymer, Protein, Rna, chain_ids
from pytest_af3mem.models.ccd import Store
from pytest_af3mem.storage.document import Node

_MAX_COPIES = 10_000
_POLYMERS: Mapping[str, type[Polymer]] = {"proteinChain": Protein, "rnaSequence": Rna, "dnaSequence": Dna}


class ServerReader(parts.Reader):
    """Reads one job."""

    def __init__(self, components: Store | None):
        super().__init__(components)
        self._chains = chain_ids()

    def job(self, node: Node) -> parts.JobParts:
        known = "name", "sequences", "modelSeeds", "dialect", "version"
        fields = node.fields(*known, required=known[:2], nullable=known[2:3])
        if ("dialect" in fields) != ("version" in fields):
            node.refuse("must state both dialect and version, or neither")
        if "dialect" in fields and fields["dialect"].value != "alphafoldserver":
            fields["dialect"].refuse("must be 'alphafoldserver' in a list")
        if "version" in fields:
            parts.check_version(fields["version"], (1,), "must be 1")
        sequences = [sequence for sequence in map(self._sequence, fields["sequences"].items()) if sequence.ids]
        if not sequences:
            fields["sequences"].refuse("must not be empty")
        has_seeds = "modelSeeds" in fields and fields["modelSeeds"].value != []
        seeds = parts.seeds(fields["modelSeeds"]) if has_seeds else (1,)
        return parts.JobParts(parts.name(fields["name"]), tuple(sequences), seeds)

    def _sequence(self, node: Node) -> Chain:
        """A sequence and its copies, named in turn."""
        kinds = *_POLYMERS, "ion", "ligand"
        kind, content = _one_of(node, kinds, node.fields(*kinds, nullable=(), others_are_ignored=True), "one key of", ", ")
        return self._polymer(content, _POLYMERS[kind]) if kind in _POLYMERS else self._ligand(content)

    def _ligand(self, node: Node) -> Ligand:
        fields = node.fields("ligand", "ion", "count", nullable=())
        kind, content = _one_of(node, ("ligand", "ion"), fields, "one of", " and ")
        code = self.code(content, "CCD_" if kind == "ligand" else "")
        return Ligand(self._copies(fields), (code,))

    def _polymer(self, node: Node, kind: type[Polymer]) -> Polymer:
        own = ("useStructureTemplate", "glycans", "maxTemplateDate") if kind is Protein else ()
        fields = node.fields("sequence", "modifications", "count", *own, required=("sequence",), nullable=())
        for key, why in (("glycans", "give them as ligands with bonds"), ("maxTemplateDate", "use --max_template_date")):
            if key in fields:
                fields[key].refuse(f"is not supported by AlphaFold 3 in this dialect: {why}")
        sequence, modifications = self.residues(fields, kind, "CCD_")
        ids = self._copies(fields)
        if kind is Dna:
            return Dna(ids, sequence, modifications)
        if kind is Rna:
            return Rna(ids, sequence, None, modifications)
        searched = fields.get("useStructureTemplate", Node(True))
        if type(searched.value) is not bool:
            searched.note(f"must be true or false: AlphaFold 3 reads it as {str(bool(searched.value)).lower()}")
        return Protein(ids, sequence, None, None, modifications, None if searched.value else ())

    def _copies(self, fields: Mapping[str, Node]) -> tuple[str, ...]:
        if "count" not in fields:
            return (next(self._chains),)
        count = fields["count"].whole(-parts.MOST, _MAX_COPIES, or_truth=True)
        if count < 1:
            fields["count"].note("must be at least 1: AlphaFold 3 leaves the chain out")
        return tuple(islice(self._chains, max(0, count)))


def _one_of(node: Node, kinds: Sequence[str], fields: Mapping[str, Node], what: str, joint: str) -> tuple[str, Node]:
    """The first of these kinds that is among the fields, with its content."""
    rule = f"must have {what} {joint.join(kinds)}"
    given = [kind for kind in kinds if kind in fields]
    if len(given) > 1:
        node.note(f"{rule}: AlphaFold 3 reads {given[0]} alone")
    return (given[0], fields[given[0]]) if given else node.refuse(rule)
