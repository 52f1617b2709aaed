"""What both dialects of AlphaFold 3's JSON share: names, seeds, ids, letters and chemical codes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import islice
from typing import NamedTuple

from pytest_af3mem.inputs.chains import MODIFICATION_KEYS, Atom, Chain, Modification, Polymer
from pytest_af3mem.inputs.chemistry import RESIDUES, UNKNOWN, Dictionary
from pytest_af3mem.models.ccd import Store
from pytest_af3mem.storage.document import Node

MOST = 2**32 - 1


class JobParts(NamedTuple):
    """The fields of a `Job`, in their order."""

    name: str
    sequences: tuple[Chain, ...]
    seeds: tuple[int, ...]
    bonded_atom_pairs: tuple[tuple[Atom, Atom], ...] = ()
    user_ccd: str | None = None
    notes: tuple[str, ...] = ()


class Reader:
    """Reads codes, which are looked up in `components` where given."""

    def __init__(self, components: Store | None):
        self.components = components
        self.dictionary = Dictionary(components)

    def code(self, node: Node, prefix: str = "") -> str:
        """A CCD code; where its atoms are known it must have some."""
        code = node.filled().removeprefix(prefix)
        if not re.fullmatch(r"[!-'*-~]+", code) or code.startswith("CCD_"):
            node.refuse("must be a CCD code, like 'ATP', without spaces, brackets or the prefix CCD_")
        if self.dictionary.is_complete or code in self.dictionary:
            if code not in self.dictionary:
                hint = f"; did you mean {code.upper()}?" if code.upper() in self.dictionary else ""
                node.refuse(f"is not a code of the chemical component dictionary (CCD) nor of userCCD{hint}")
            if not self.dictionary.names(code):
                node.refuse("has no atoms in the chemical component dictionary: AlphaFold 3 cannot fold it")
        return code

    def residues(self, fields: Mapping[str, Node], kind: type[Polymer], prefix: str = "") -> tuple[str, tuple[Modification, ...]]:
        """The sequence of a polymer and its modifications."""
        sequence = _letters(fields["sequence"], kind)
        keys = MODIFICATION_KEYS[kind]
        codes: dict[int, str] = {}
        for each in fields["modifications"].items() if "modifications" in fields else ():
            own = each.fields(*keys, required=keys, nullable=(), others_are_ignored=True)
            code, position = self.code(own[keys[0]], prefix), own[keys[1]].whole(1, len(sequence), or_truth=True)
            if position in codes:
                own[keys[1]].note("is modified twice: AlphaFold 3 takes the last")
            codes[position] = code
        return sequence, tuple((code, position) for position, code in codes.items())


def check_version(node: Node, allowed: Collection[int], rule: str) -> None:
    if node.value not in allowed:
        node.refuse(rule)
    if type(node.value) is not int:
        node.note(f"{rule}: AlphaFold 3 reads it as a number")


def name(node: Node) -> str:
    if not re.search(r"[A-Za-z0-9_.-]", node.text().replace(" ", "_")) or not node.text().strip():
        node.refuse("must have a letter, a digit, a dot, a dash or an underscore: files are named by it")
    return node.text()


def seeds(node: Node) -> tuple[int, ...]:
    return tuple(map(_seed, node.items())) or node.refuse("must not be empty")


def _seed(node: Node) -> int:
    """A number, or a text or another number of which Python's `int` makes one, as AlphaFold 3 does."""
    try:
        seed = Node(int(node.value), node.path).whole(0, MOST)
    except (TypeError, ValueError, OverflowError):
        return node.whole(0, MOST)
    if type(node.value) is not int and str(seed) != node.value:
        node.note(f"must be a whole number: AlphaFold 3 reads it as {seed}")
    return seed


def ids(node: Node) -> tuple[str, ...]:
    ids = tuple(each.text() for each in node.items()) if isinstance(node.value, list) else (node.text(),)
    for chain in ids or node.refuse("must not be empty"):
        if not re.fullmatch("[A-Z]+", chain):
            Node(chain, node.path).refuse("must be capital letters")
    if len(set(ids)) != len(ids):
        node.refuse("has an id twice")
    return ids


def _letters(node: Node, kind: type[Polymer]) -> str:
    sequence = node.filled()
    strange: dict[str, int] = {}
    for position, letter in enumerate(sequence, start=1):
        if not letter.isalpha():
            node.refuse(f"has {letter!a} at position {position}: only letters are allowed")
        if letter not in RESIDUES[kind] and letter != UNKNOWN[kind][0]:
            strange.setdefault(letter, position)
    if strange:
        where = ", ".join(f"{letter!a} at position {position}" for letter, position in islice(strange.items(), 3))
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        known = "".join(RESIDUES[kind])
        node.note(f"has {where}{more}, not of {known}: AlphaFold 3 takes it for {UNKNOWN[kind][0]}, unknown, one token each")
    return sequence


def description(fields: Mapping[str, Node]) -> str | None:
    node = fields.get("description")
    if node and not isinstance(node.value, str):
        node.note("must be a text; AlphaFold 3 does not read it")
        return None
    return node.text() if node else None
