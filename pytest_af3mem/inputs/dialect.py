"""From JSON to what Jobs are made of: dialects `alphafold3` (versions 1 to 4) and `alphafoldserver`, as AlphaFold 3 reads them.

What it refuses is refused. What it ignores or mistakes is noted, and refused by a strict reading: unknown keys of inner objects,
letters that are not residues, positions that are given twice. Which keys may be null is what its own reader allows
(common/folding_input.py). Formats: docs/input.md of AlphaFold 3; https://github.com/google-deepmind/alphafold, server/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_af3mem.errors import InputError, UsageError
from pytest_af3mem.inputs import alignment, mmcif, parts, template, tokens
from pytest_af3mem.inputs.chains import Atom, Chain, Dna, Ligand, Modification, Polymer, Protein, Rna, Template, length
from pytest_af3mem.inputs.chemistry import Dictionary, code_at, query_letters, smiles_tokens, used_codes
from pytest_af3mem.inputs.parts import JobParts
from pytest_af3mem.inputs.server import ServerReader
from pytest_af3mem.models.ccd import HYDROGENS, Store
from pytest_af3mem.storage.document import Node, contents

_SHORT = 4  # residues of a chain whose MSAs AlphaFold 3 does not read, and tokens of one whose templates it does not
_MSAS = {"unpaired_msa": "unpairedMsa", "paired_msa": "pairedMsa"}
_POLYMERS: Mapping[str, tuple[type[Polymer], Sequence[str]]] = {  # and the keys of theirs that may be null
    "protein": (Protein, "unpairedMsa unpairedMsaPath pairedMsa pairedMsaPath templates description".split()),
    "rna": (Rna, ("unpairedMsa", "unpairedMsaPath", "description")),
    "dna": (Dna, ("description",)),
}
_Result = TypeVar("_Result")


def parse(text: str, *, components: Store | None = None, folder: Path | None = None, strict: bool = False) -> list[JobParts]:
    """The parts of each job of a document, as `reading.from_json` reads it."""
    notes: list[InputError] | None = None if strict else []
    document = Node.parse(text, notes)
    is_server = isinstance(document.value, list)
    if not is_server and not isinstance(document.value, dict):
        raise InputError("", "must be an object (dialect alphafold3) or a list of objects (dialect alphafoldserver)")
    jobs: list[JobParts] = []
    for node in document.items() if is_server else [document]:
        own = None if notes is None else list(notes)  # a job has those of the whole document too
        reader = ServerReader(components) if is_server else _Reader(components, folder)
        jobs.append(reader.job(Node(node.value, node.path, own))._replace(notes=tuple(map(str, own or ()))))
    return jobs or document.refuse("has no jobs")


class _Reader(parts.Reader):
    """Reads one job of dialect `alphafold3`."""

    def __init__(self, components: Store | None, folder: Path | None = None):
        super().__init__(components)
        self._folder = folder
        self._user_ccd: str | None = None
        self._chains: set[str] = set()
        self._polymers: list[tuple[Polymer, Mapping[str, Node]]] = []

    def job(self, node: Node) -> JobParts:
        known = "dialect", "version", "name", "modelSeeds", "sequences", "bondedAtomPairs", "userCCD", "userCCDPath"
        fields = node.fields(*known, required=known[:2], nullable=known[5:])
        if fields["dialect"].value != "alphafold3":
            hint = ": its jobs stand in a list" if fields["dialect"].value == "alphafoldserver" else ""
            fields["dialect"].refuse(f"must be 'alphafold3'{hint}")
        parts.check_version(fields["version"], (1, 2, 3, 4), "must be 1, 2, 3 or 4")
        fields = node.fields(*known, required=known[:5], nullable=known[5:])
        user_ccd = self._inline_or_file(fields, "userCCD")
        if user_ccd:
            own = _checked(_source(fields, "userCCD"), lambda: mmcif.components(user_ccd))
            self.dictionary, self._user_ccd = Dictionary(self.components, user_ccd), user_ccd
        sequences = tuple(map(self._sequence, fields["sequences"].items()))
        if user_ccd:
            _checked(_source(fields, "userCCD"), lambda: mmcif.check_components(own, used_codes(sequences)))
        if not sequences:
            fields["sequences"].refuse("must not be empty")
        self._check_alignments()
        self._check_templates()
        pairs = _bonds(fields["bondedAtomPairs"], sequences, self.dictionary) if "bondedAtomPairs" in fields else ()
        return JobParts(parts.name(fields["name"]), sequences, parts.seeds(fields["modelSeeds"]), pairs, user_ccd)

    def _sequence(self, node: Node) -> Chain:
        kinds = (*_POLYMERS, "ligand")
        fields = node.fields(*kinds, nullable=())
        if len(fields) != 1:
            node.refuse(f"must have one key of {', '.join(kinds)}")
        ((kind, content),) = fields.items()
        return self._ligand(content) if kind == "ligand" else self._polymer(content, *_POLYMERS[kind])

    def _polymer(self, node: Node, kind: type[Polymer], own: Sequence[str]) -> Polymer:
        fields = node.fields("id", "sequence", "modifications", *own, required=("id", "sequence"), nullable=own)
        sequence, modifications = self.residues(fields, kind)
        named: dict[str, Any] = {name: self._inline_or_file(fields, key) for name, key in _MSAS.items() if key in own}
        if "templates" in own:
            named["templates"] = tuple(map(self._template, fields["templates"].items())) if "templates" in fields else None
        named |= {"modifications": modifications, "description": parts.description(fields)}
        chain = kind(self._ids(fields["id"]), sequence, **named)
        self._polymers.append((chain, fields))
        return chain

    def _ligand(self, node: Node) -> Ligand:
        own = "smiles", "description"
        fields = node.fields("id", "ccdCodes", *own, required=("id",), nullable=own)
        ids, description = self._ids(fields["id"]), parts.description(fields)
        if ("ccdCodes" in fields) == ("smiles" in fields) and ("smiles" not in fields or fields["smiles"].text()):
            node.refuse("must have one of ccdCodes and smiles")
        if "ccdCodes" not in fields:
            smiles = fields["smiles"].filled()
            _checked(fields["smiles"], lambda: smiles_tokens(smiles))
            return Ligand(ids, smiles=smiles, description=description)
        codes = tuple(map(self.code, fields["ccdCodes"].items()))
        return Ligand(ids, codes or fields["ccdCodes"].refuse("must not be empty"), description=description)

    def _ids(self, node: Node) -> tuple[str, ...]:
        ids = parts.ids(node)
        for chain in ids:
            if chain in self._chains:
                Node(chain, node.path).refuse("is the id of another chain")
        self._chains.update(ids)
        return ids

    def _check_alignments(self) -> None:
        """Checks the MSAs that AlphaFold 3 reads: of chains that are not too short, and paired ones of several sequences.

        Its rule lies in `MSA.compute_features` (model/features.py).
        """
        folded = [(chain, fields) for chain, fields in self._polymers if not tokens.is_unknown(chain)]
        proteins = {self._query(chain) for chain, _ in folded if isinstance(chain, Protein)}
        for chain, fields in folded:
            if isinstance(chain, Dna) or len(chain.sequence) <= _SHORT:
                continue
            self._check_alignment(chain, fields, "unpairedMsa", chain.unpaired_msa)
            if isinstance(chain, Protein) and len(proteins) > 1:
                self._check_alignment(chain, fields, "pairedMsa", chain.paired_msa)

    def _check_alignment(self, chain: Protein | Rna, fields: Mapping[str, Node], key: str, a3m: str | None) -> None:
        if not a3m:
            return
        modified = {position for _, position in chain.modifications}
        where = _source(fields, key)
        _checked(where, lambda: alignment.check(a3m, self._query(chain), modified, type(chain)))
        if lost := alignment.unread(a3m):
            hint = "" if alignment.rows(a3m) else f": for it this MSA is empty (the name of a file is given as {key}Path)"
            where.note(f"has {lost[:40]!a} before the first line that starts with '>', which AlphaFold 3 does not read{hint}")

    def _query(self, chain: Protein | Rna) -> str:
        return query_letters(chain.sequence, chain.modifications, type(chain), self.dictionary)

    def _template(self, node: Node) -> Template:
        known = "mmcif", "mmcifPath", "queryIndices", "templateIndices"
        fields = node.fields(*known, required=known[2:], nullable=known[:2])
        text = self._inline_or_file(fields, "mmcif") or ""
        queries, hits = ([each.whole(-parts.MOST, parts.MOST) for each in fields[key].items()] for key in known[2:])
        if len(queries) != len(hits):
            rule = f"must be as long as queryIndices: {len(hits)} against {len(queries)}"
            fields["templateIndices"].note(f"{rule}; AlphaFold 3 leaves out what is over")
        pairs = dict(zip(queries, hits, strict=False))
        if len(set(queries)) != len(queries):
            fields["queryIndices"].note("has an index twice: AlphaFold 3 takes the last")
        return Template(text, tuple(pairs), tuple(pairs.values()))

    def _check_templates(self) -> None:
        """Checks the templates that AlphaFold 3 reads: of proteins that are not too short, and of equal ones the first's alone.

        Its rule lies in `Templates.compute_features` (model/features.py).
        """
        seen: set[tuple[str, tuple[Modification, ...]]] = set()
        for chain, fields in self._polymers:
            if not isinstance(chain, Protein) or self._is_short(chain) or tokens.is_unknown(chain):
                continue
            if chain.templates and (chain.sequence, chain.modifications) in seen:
                fields["templates"].note("are not read: AlphaFold 3 takes those of the first protein with this sequence for all")
            elif chain.templates:
                for node, one in zip(fields["templates"].items(), chain.templates, strict=True):
                    _check_template(node, one.mmcif, len(chain.sequence))
            seen.add((chain.sequence, chain.modifications))

    def _is_short(self, chain: Protein) -> bool:
        if len(chain.sequence) > _SHORT:
            return False
        try:
            return tokens.count_chains((replace(chain, ids=chain.ids[:1]),), self.components, user_ccd=self._user_ccd) <= _SHORT
        except UsageError:  # a modification where there is no dictionary
            return False

    def _inline_or_file(self, fields: Mapping[str, Node], key: str) -> str | None:
        """What `key` holds, or what is in the file that its ...Path names; an empty path counts as none."""
        inline, path = fields.get(key), fields.get(f"{key}Path")
        text = inline.text() if inline else None
        if path and path.text():
            if text:
                path.refuse(f"is given beside {key}: only one of them is allowed")
            return contents(path, self._folder)
        if inline and text and _is_file(text):
            inline.refuse(f"is the name of a file: give it as {key}Path")
        return text


def _check_template(node: Node, text: str, in_query: int) -> None:
    if not text:
        node.refuse("must have one of mmcif and mmcifPath")
    fields = node.parts()
    in_hit = _checked(_source(fields, "mmcif"), lambda: template.residues(text))
    for query, hit in zip(fields["queryIndices"].items(), fields["templateIndices"].items(), strict=False):
        query.whole(0, in_query - 1)
        hit.whole(0, in_hit - 1)


def _bonds(node: Node, sequences: Sequence[Chain], dictionary: Dictionary) -> tuple[tuple[Atom, Atom], ...]:
    chains = {chain: sequence for sequence in sequences for chain in sequence.ids}
    pairs: dict[tuple[Atom, Atom], None] = {}
    for each in node.items():
        atoms = [_atom(atom, chains, dictionary) for atom in each.items()]
        if len(atoms) != 2:
            each.refuse(f"must be a pair of atoms, and has {len(atoms)}")
        pair = atoms[0], atoms[1]
        if pair in pairs:
            each.refuse("is a bond that is given twice")
        if pair[0] == pair[1]:
            each.note("is a bond of an atom to itself")
        pairs[pair] = None
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


def _source(fields: Mapping[str, Node], key: str) -> Node:
    """Where the text comes from that `key` or its ...Path gives."""
    path = fields.get(f"{key}Path")
    return path if path and path.value else fields[key]


def _is_file(text: str) -> bool:
    """Whether it is the name of a file, which AlphaFold 3 looks for where it runs."""
    try:
        return len(text) < 256 and Path(text).exists()
    except (OSError, ValueError):
        return False


def _checked(node: Node, check: Callable[[], _Result]) -> _Result:
    try:
        return check()
    except ValueError as error:
        node.refuse(str(error))
