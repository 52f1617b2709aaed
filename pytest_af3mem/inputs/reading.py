"""From JSON to Jobs: dialects `alphafold3` (versions 1 to 4) and `alphafoldserver`, as AlphaFold 3 reads them.

Stricter than its own parser in what that ignores or mistakes: unknown keys of inner objects, letters that are no residue,
positions that are given twice. Formats: docs/input.md of AlphaFold 3; https://github.com/google-deepmind/alphafold, server/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pytest_af3mem.errors import InputError, first_line
from pytest_af3mem.inputs import alignment, mmcif, template
from pytest_af3mem.inputs.chemistry import (
    HYDROGENS,
    RESIDUES,
    UNKNOWN,
    Components,
    Dictionary,
    code_at,
    query_letters,
    smiles_tokens,
    used_codes,
)
from pytest_af3mem.inputs.document import Node, contents
from pytest_af3mem.inputs.job import Atom, Dna, Job, Ligand, Modification, Protein, Rna, Template, chain_ids

_MAX_COPIES = 10_000
_MAX_SEED = 2**32 - 1
_Result = TypeVar("_Result")
_Sequence = Protein | Rna | Dna | Ligand
_Polymer = Protein | Rna | Dna
_NAMES = {Protein: ("ptmType", "ptmPosition"), Rna: ("modificationType", "basePosition")}


def from_json(text: str, *, components: Components | None = None, folder: Path | None = None) -> list[Job]:
    """The jobs of a document: one of dialect `alphafold3`, or each of a list of dialect `alphafoldserver`.

    Codes and names of atoms are looked up in `components`, where given; paths of files start in `folder`, that of the
    document. A server's job without seeds, for which AlphaFold 3 draws one, gets 1. Raises InputError.
    """
    document = Node.parse(text)
    if isinstance(document.value, list):
        jobs = [_ServerReader(components).job(node) for node in document.items()]
        return jobs or document.refuse("has no jobs")
    if not isinstance(document.value, dict):
        raise InputError("", "must be an object (dialect alphafold3) or a list of objects (dialect alphafoldserver)")
    return [_Reader(components, folder).job(document)]


def read(path: Path, *, components: Components | None = None) -> list[Job]:
    """The jobs of a file. Raises InputError."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError("", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError("", "is no text in UTF-8") from error
    except ValueError as error:
        raise InputError("", "is no path") from error
    return from_json(text, components=components, folder=path.parent)


def check(job: Job, components: Components | None = None) -> None:
    """Raises InputError for a job that was built by hand and could not have been read."""
    try:
        text = job.to_json()
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError("", f"the job cannot be written as JSON: {first_line(error)}") from error
    from_json(text, components=components)


def only_job(text: str) -> Job:
    """The job of a document that holds one."""
    first, *others = from_json(text)
    if others:
        raise InputError("", f"holds {1 + len(others)} jobs where one is wanted: read it with inputs.reading.from_json")
    return first


class _Reader:
    """Reads one job of dialect `alphafold3`."""

    def __init__(self, components: Components | None, folder: Path | None = None):
        self._components = components
        self._dictionary = Dictionary(components)
        self._folder = folder

    def job(self, node: Node) -> Job:
        known = "dialect", "version", "name", "modelSeeds", "sequences", "bondedAtomPairs", "userCCD", "userCCDPath"
        fields = node.fields(*known, required=known[:2])
        if fields["dialect"].value != "alphafold3":
            hint = ": its jobs stand in a list" if fields["dialect"].value == "alphafoldserver" else ""
            fields["dialect"].refuse(f"must be 'alphafold3'{hint}")
        if type(fields["version"].value) is not int or not 1 <= fields["version"].value <= 4:
            fields["version"].refuse("must be 1, 2, 3 or 4")
        fields = node.fields(*known, required=known[:5])
        user_ccd = self._inline_or_file(fields, "userCCD", "userCCDPath")
        if user_ccd is not None:
            where = fields["userCCDPath" if "userCCDPath" in fields else "userCCD"]
            own = _checked(where, lambda: mmcif.components(user_ccd))
            self._dictionary = Dictionary(self._components, user_ccd)
        sequences = tuple(self._sequence(each) for each in fields["sequences"].items())
        if user_ccd is not None:
            _checked(where, lambda: mmcif.check_components(own, used_codes(sequences)))
        if not sequences:
            fields["sequences"].refuse("must not be empty")
        self._check_ids(fields["sequences"], sequences)
        bonds = self._bonds(fields["bondedAtomPairs"], sequences) if "bondedAtomPairs" in fields else ()
        return Job(_name(fields["name"]), sequences, _seeds(fields["modelSeeds"]), bonds, user_ccd)

    def _sequence(self, node: Node) -> _Sequence:
        kinds: Mapping[str, Callable[[Node], _Sequence]] = {
            "protein": self._protein,
            "rna": self._rna,
            "dna": self._dna,
            "ligand": self._ligand,
        }
        kind, content = _only(node, *kinds)
        return kinds[kind](content)

    def _protein(self, node: Node) -> Protein:
        own = "unpairedMsa", "unpairedMsaPath", "pairedMsa", "pairedMsaPath", "templates"
        fields = node.fields("id", "sequence", "modifications", "description", *own, required=("id", "sequence"))
        sequence = _residues(fields["sequence"], Protein)
        modifications = self._modifications(fields.get("modifications"), len(sequence), Protein)
        return Protein(
            _ids(fields["id"]),
            sequence,
            self._msa(fields, "unpairedMsa", sequence, modifications, Protein),
            self._msa(fields, "pairedMsa", sequence, modifications, Protein),
            modifications,
            tuple(self._template(each, len(sequence)) for each in fields["templates"].items()) if "templates" in fields else None,
            _description(fields),
        )

    def _rna(self, node: Node) -> Rna:
        known = "id", "sequence", "modifications", "description", "unpairedMsa", "unpairedMsaPath"
        fields = node.fields(*known, required=known[:2])
        sequence = _residues(fields["sequence"], Rna)
        modifications = self._modifications(fields.get("modifications"), len(sequence), Rna)
        msa = self._msa(fields, "unpairedMsa", sequence, modifications, Rna)
        return Rna(_ids(fields["id"]), sequence, msa, modifications, _description(fields))

    def _dna(self, node: Node) -> Dna:
        fields = node.fields("id", "sequence", "modifications", "description", required=("id", "sequence"))
        sequence = _residues(fields["sequence"], Dna)
        modifications = self._modifications(fields.get("modifications"), len(sequence), Dna)
        return Dna(_ids(fields["id"]), sequence, modifications, _description(fields))

    def _ligand(self, node: Node) -> Ligand:
        fields = node.fields("id", "ccdCodes", "smiles", "description", required=("id",))
        ids, description = _ids(fields["id"]), _description(fields)
        if ("ccdCodes" in fields) == ("smiles" in fields):
            node.refuse("must have one of ccdCodes and smiles")
        if "smiles" in fields:
            smiles = fields["smiles"].filled()
            _checked(fields["smiles"], lambda: smiles_tokens(smiles))
            return Ligand(ids, smiles=smiles, description=description)
        codes = tuple(self._code(each) for each in fields["ccdCodes"].items())
        return Ligand(ids, codes or fields["ccdCodes"].refuse("must not be empty"), description=description)

    def _code(self, node: Node, prefix: str = "") -> str:
        """A CCD code; where its atoms are known it must have some that are not hydrogen."""
        code = node.filled().removeprefix(prefix)
        if not re.fullmatch(r"[!-'*-~]+", code) or code.startswith("CCD_"):
            node.refuse("must be a CCD code, like 'ATP', without spaces, brackets or the prefix CCD_")
        if self._dictionary.is_complete or code in self._dictionary:
            if code not in self._dictionary:
                hint = f"; did you mean {code.upper()}?" if code.upper() in self._dictionary else ""
                node.refuse(f"is not a code of the chemical component dictionary (CCD) nor of userCCD{hint}")
            if not self._dictionary.has_atoms(code):
                node.refuse("has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it")
        return code

    def _modifications(self, node: Node | None, length: int, kind: type[_Polymer]) -> tuple[Modification, ...]:
        return tuple(self._each_modification(node, length, kind)) if node else ()

    def _each_modification(self, node: Node, length: int, kind: type[_Polymer], prefix: str = "") -> Iterator[Modification]:
        type_name, position_name = _NAMES.get(kind, _NAMES[Rna])
        taken: set[int] = set()
        for each in node.items():
            fields = each.fields(type_name, position_name, required=(type_name, position_name))
            position = fields[position_name].whole(1, length)
            if position in taken:
                fields[position_name].refuse("is modified twice")
            taken.add(position)
            yield self._code(fields[type_name], prefix), position

    def _msa(
        self, fields: Mapping[str, Node], key: str, sequence: str, modifications: tuple[Modification, ...], kind: type
    ) -> str | None:
        a3m = self._inline_or_file(fields, key, f"{key}Path")
        if a3m:
            modified = {position for _, position in modifications}
            query = query_letters(sequence, modifications, kind, self._dictionary)
            _checked(fields.get(f"{key}Path") or fields[key], lambda: alignment.check(a3m, query, modified, kind))
        return a3m

    def _template(self, node: Node, length: int) -> Template:
        fields = node.fields(
            "mmcif", "mmcifPath", "queryIndices", "templateIndices", required=("queryIndices", "templateIndices")
        )
        text = self._inline_or_file(fields, "mmcif", "mmcifPath")
        if text is None:
            node.refuse("must have one of mmcif and mmcifPath")
        where = fields["mmcifPath" if "mmcifPath" in fields else "mmcif"]
        residues = _checked(where, lambda: template.residues(text))
        queries = [each.whole(0, length - 1) for each in fields["queryIndices"].items()]
        hits = [each.whole(0, residues - 1) for each in fields["templateIndices"].items()]
        if len(queries) != len(hits):
            fields["templateIndices"].refuse(f"must be as long as queryIndices: {len(hits)} against {len(queries)}")
        if len(set(queries)) != len(queries):
            fields["queryIndices"].refuse("has an index twice")
        return Template(text, tuple(queries), tuple(hits))

    def _inline_or_file(self, fields: Mapping[str, Node], key: str, path_key: str) -> str | None:
        if path_key not in fields:
            return fields[key].text() if key in fields else None
        if key in fields and fields[key].text():
            fields[path_key].refuse(f"is given beside {key}: only one of them can be")
        return contents(fields[path_key], self._folder)

    def _check_ids(self, node: Node, sequences: tuple[_Sequence, ...]) -> None:
        taken: set[str] = set()
        for each, sequence in zip(node.items(), sequences, strict=True):
            (content,) = each.value.items()
            for chain in sequence.ids:
                if chain in taken:
                    raise InputError(f"{each.path}.{content[0]}.id", "is the id of another chain", repr(chain))
                taken.add(chain)

    def _bonds(self, node: Node, sequences: tuple[_Sequence, ...]) -> tuple[tuple[Atom, Atom], ...]:
        chains = {chain: sequence for sequence in sequences for chain in sequence.ids}
        pairs: list[tuple[Atom, Atom]] = []
        for each in node.items():
            atoms = [self._atom(atom, chains) for atom in each.items()]
            if len(atoms) != 2:
                each.refuse(f"must be a pair of atoms, and has {len(atoms)}")
            pair = atoms[0], atoms[1]
            if pair in pairs:
                each.refuse("is a bond that is given twice")
            if pair[0] == pair[1]:
                each.refuse("is a bond of an atom to itself")
            pairs.append(pair)
        return tuple(pairs)

    def _atom(self, node: Node, chains: Mapping[str, _Sequence]) -> Atom:
        parts = list(node.items())
        if len(parts) != 3:
            node.refuse("must be an atom: [chain id, residue from 1, name of the atom]")
        chain, name = parts[0].filled(), parts[2].filled()
        if chain not in chains:
            parts[0].refuse("is no id of a chain")
        sequence = chains[chain]
        if isinstance(sequence, Ligand) and sequence.smiles is not None:
            parts[0].refuse("is a ligand by SMILES, whose atoms have no names and cannot be bonded: give it by CCD code")
        position = parts[1].whole(1, len(sequence.ccd_codes if isinstance(sequence, Ligand) else sequence.sequence))
        code = code_at(sequence, position)
        if code in self._dictionary and not self._dictionary.has_atom(code, name):
            parts[2].refuse(f"is no atom of {code}")
        if code in self._dictionary and self._dictionary.element(code, name) in HYDROGENS:
            parts[2].refuse("is a hydrogen: AlphaFold 3 ignores its bonds, and chains of which it sees no other atom")
        if isinstance(sequence, Rna | Dna) and position > 1 and name == "OP3":
            parts[2].refuse("is an atom that AlphaFold 3 gives to the first residue of a chain alone")
        return chain, position, name


class _ServerReader(_Reader):
    """Reads one job of dialect `alphafoldserver`, whose chains have no ids of their own."""

    def __init__(self, components: Components | None):
        super().__init__(components)
        self._chains = chain_ids()

    def job(self, node: Node) -> Job:
        known = "name", "modelSeeds", "sequences", "dialect", "version"
        fields = node.fields(*known, required=("name", "sequences"))
        if ("dialect" in fields) != ("version" in fields):
            node.refuse("must state both dialect and version, or neither")
        if "dialect" in fields and fields["dialect"].value != "alphafoldserver":
            fields["dialect"].refuse("must be 'alphafoldserver' in a list")
        if "version" in fields and (type(fields["version"].value) is not int or fields["version"].value != 1):
            fields["version"].refuse("must be 1")
        sequences = tuple(self._sequence(each) for each in fields["sequences"].items())
        if not sequences:
            fields["sequences"].refuse("must not be empty")
        has_seeds = "modelSeeds" in fields and fields["modelSeeds"].value != []
        return Job(_name(fields["name"]), sequences, _seeds(fields["modelSeeds"]) if has_seeds else (1,))

    def _sequence(self, node: Node) -> _Sequence:
        kind, content = _only(node, "proteinChain", "rnaSequence", "dnaSequence", "ligand", "ion")
        if kind in ("ligand", "ion"):
            fields = content.fields(kind, "count", required=(kind,))
            return Ligand(self._copies(fields), (self._code(fields[kind], "CCD_" if kind == "ligand" else ""),))
        own = ("glycans", "maxTemplateDate", "useStructureTemplate") if kind == "proteinChain" else ()
        fields = content.fields("sequence", "modifications", "count", *own, required=("sequence",))
        for key, why in (("glycans", "give them as ligands with bonds"), ("maxTemplateDate", "use --max_template_date")):
            if key in fields:
                fields[key].refuse(f"is not supported by AlphaFold 3 in this dialect: {why}")
        polymer: type[_Polymer] = {"proteinChain": Protein, "rnaSequence": Rna, "dnaSequence": Dna}[kind]
        sequence = _residues(fields["sequence"], polymer)
        modifications: tuple[Modification, ...] = ()
        if "modifications" in fields:
            modifications = tuple(self._each_modification(fields["modifications"], len(sequence), polymer, "CCD_"))
        ids = self._copies(fields)
        if polymer is Dna:
            return Dna(ids, sequence, modifications)
        if polymer is Rna:
            return Rna(ids, sequence, None, modifications)
        is_searched = "useStructureTemplate" not in fields or fields["useStructureTemplate"].truth()
        return Protein(ids, sequence, None, None, modifications, None if is_searched else ())

    def _copies(self, fields: Mapping[str, Node]) -> tuple[str, ...]:
        count = fields["count"].whole(1, _MAX_COPIES) if "count" in fields else 1
        return tuple(islice(self._chains, count))


def _only(node: Node, *kinds: str) -> tuple[str, Node]:
    fields = node.fields(*kinds)
    if len(fields) != 1:
        node.refuse(f"must have one key of {', '.join(kinds)}")
    return next(iter(fields.items()))


def _name(node: Node) -> str:
    if not re.search(r"[A-Za-z0-9_.-]", node.text().replace(" ", "_")) or not node.text().strip():
        node.refuse("must have a letter, a digit, a dot, a dash or an underscore: files are named by it")
    return node.text()


def _seeds(node: Node) -> tuple[int, ...]:
    def seed(each: Node) -> int:
        is_spelled = isinstance(each.value, str) and each.value.isascii() and each.value.isdecimal() and len(each.value) < 11
        return Node(int(each.value), each.path).whole(0, _MAX_SEED) if is_spelled else each.whole(0, _MAX_SEED)

    return tuple(seed(each) for each in node.items()) or node.refuse("must not be empty")


def _ids(node: Node) -> tuple[str, ...]:
    ids = tuple(each.text() for each in node.items()) if isinstance(node.value, list) else (node.text(),)
    for chain in ids or node.refuse("must not be empty"):
        if not re.fullmatch("[A-Z]+", chain):
            Node(chain, node.path).refuse("must be capital letters")
    if len(set(ids)) != len(ids):
        node.refuse("has an id twice")
    return ids


def _residues(node: Node, kind: type[_Polymer]) -> str:
    letters = "".join(RESIDUES[kind])
    sequence = node.filled()
    for position, letter in enumerate(sequence, start=1):
        if letter not in letters and letter != UNKNOWN[kind][0]:
            rule = f"has {letter!a} at position {position}: only {letters} can be, and {UNKNOWN[kind][0]} for unknown"
            node.refuse(f"{rule} (others are modifications)")
    return sequence


def _description(fields: Mapping[str, Node]) -> str | None:
    return fields["description"].text() if "description" in fields else None


def _checked(node: Node, check: Callable[[], _Result]) -> _Result:
    try:
        return check()
    except ValueError as error:
        node.refuse(str(error))
