"""mmCIF text in columns, read by gemmi where AlphaFold 3 reads it too, and the user's chemical components in it.

Syntax: https://www.iucr.org/resources/cif/spec/version1.1. AlphaFold 3's own parser (parsers/cpp/cif_dict_lib.cc) takes no
`DATA_` in capitals, tells keys apart by case, and takes a loop without values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Block = Mapping[str, Sequence[str]]
"""Item (`_category.column`) -> its values; one that is not in a loop has one value."""


_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_START = re.compile(r"(?:\s|#[^\n]*\n)*data_\S")
_COMPONENT = """
    _chem_comp.id _chem_comp.name _chem_comp.type _chem_comp.formula _chem_comp.mon_nstd_parent_comp_id
    _chem_comp.pdbx_synonyms _chem_comp.formula_weight _chem_comp_atom.comp_id _chem_comp_atom.atom_id
    _chem_comp_atom.type_symbol _chem_comp_atom.charge _chem_comp_atom.pdbx_model_Cartn_x_ideal
    _chem_comp_atom.pdbx_model_Cartn_y_ideal _chem_comp_atom.pdbx_model_Cartn_z_ideal _chem_comp_bond.atom_id_1
    _chem_comp_bond.atom_id_2 _chem_comp_bond.value_order _chem_comp_bond.pdbx_aromatic_flag
""".split()  # docs/input.md of AlphaFold 3, "Mandatory fields"
_NO_START = "is not mmCIF: it does not start with data_ and a name, in small letters"
_IDEAL = ("pdbx_model_Cartn_x_ideal", "pdbx_model_Cartn_y_ideal", "pdbx_model_Cartn_z_ideal")
_NAME_LETTERS = 4  # AlphaFold 3 keeps names of atoms in arrays of so many


def structure(text: str) -> Block:
    """The one data block of a structure. Raises ValueError, with the rule, for what is not mmCIF or has several."""
    blocks = _blocks(text)
    if len(blocks) != 1:
        raise ValueError(f"must be one structure, and has {len(blocks)} data blocks")
    return blocks[0][1]


def components(text: str) -> dict[str, Block]:
    """Chemical components by code. Raises ValueError, with the rule, unless each has the items that AlphaFold 3 asks for."""
    if not text.startswith("data_"):
        raise ValueError(f"{_NO_START}, at its first character")
    found: dict[str, Block] = {}
    for part in filter(None, text.split("data_")):  # as AlphaFold 3 does, wherever the word stands
        for name, block in _blocks(f"data_{part}"):
            if missing := [item for item in _COMPONENT if item not in block]:
                raise ValueError(f"lacks {missing[0]} for the component {name[:40]!r}")
            if name in found:
                raise ValueError(f"defines the component {name[:40]!r} twice: AlphaFold 3 would take the last")
            if list(block["_chem_comp.id"]) != [name]:
                other = "".join(block["_chem_comp.id"])[:40]
                raise ValueError(
                    f"names the component {other!r} in the block {f'data_{name}'[:40]!r}, whose name AlphaFold 3 takes"
                )
            found[name] = block
    return found


def check_components(components: Mapping[str, Block], used: Collection[str]) -> None:
    """Raises ValueError, with the rule, unless AlphaFold 3 can build those that are `used`; it does not look at others."""
    for name in components.keys() & used:
        try:
            _check_component(components[name])
        except ValueError as error:
            raise ValueError(f"{error} in the component {name[:40]!r}") from None


def rows(block: Block, category: str, columns: Sequence[str]) -> list[tuple[str, ...]] | None:
    """Rows of a category; None where it lacks one of the columns. Raises ValueError for columns of unequal length."""
    found = [block[item] for item in (f"{category}.{column}" for column in columns) if item in block]
    if len(found) < len(columns):
        return None
    if len(set(map(len, found))) > 1:
        raise ValueError(f"has columns of unequal length in {category}")
    return list(zip(*found, strict=True))


def number(value: str) -> float | None:
    """The number that a value spells, as AlphaFold 3 reads one; None for what is none."""
    return float(value) if _NUMBER.fullmatch(value) else None


def _blocks(text: str) -> list[tuple[str, Block]]:
    from gemmi import cif

    if not _START.match(text):
        raise ValueError(_NO_START)
    try:
        # gemmi takes no letter beyond ASCII outside of quotes. Nothing that is looked at is meant to have one.
        document = cif.read_string(text.encode("ascii", "backslashreplace").decode(), 0)
    except ValueError as error:
        what = re.sub(r"string:(\d+):\S+ (.)(.*)", lambda found: f"{found[2].lower()}{found[3]} (line {found[1]})", str(error))
        raise ValueError(f"is not mmCIF: {what}") from None
    blocks: list[tuple[str, Block]] = []
    for block in document:
        columns: dict[str, list[str]] = {}
        for item in block:
            pair: Any = item.pair
            if pair is None and item.loop is None:
                raise ValueError("is not mmCIF: it has a save frame, which only dictionaries have")
            tags, values = ([pair[0]], [pair[1]]) if pair is not None else (item.loop.tags, item.loop.values)
            for index, tag in enumerate(tags):
                column = values[index :: len(tags)]
                if "" in column or tag in columns:
                    raise ValueError(f"is not mmCIF: {tag[:60]} {'has no value' if '' in column else 'appears twice'}")
                columns[tag] = [value if value[0] not in "'\";" else cif.as_string(value) for value in column]
        blocks.append((block.name, columns))
    return blocks


def _check_component(block: Block) -> None:
    atoms = rows(block, "_chem_comp_atom", ("atom_id", "charge", *_IDEAL, "type_symbol")) or ()
    bonds = rows(block, "_chem_comp_bond", ("atom_id_1", "atom_id_2", "value_order", "pdbx_aromatic_flag")) or ()
    for item in ("name", "type", "formula", "pdbx_synonyms", "formula_weight"):
        if block[f"_chem_comp.{item}"][:1] == [""]:
            raise ValueError(f"has '' for _chem_comp.{item}, which must be '?' where it is unknown,")
    names: set[str] = set()
    for name, charge, *position, _ in atoms:
        if not 1 <= len(name) <= _NAME_LETTERS:
            raise ValueError(f"has an atom {name[:40]!r}, whose name must have one to four letters,")
        if name in names:
            raise ValueError(f"has two atoms of the name {name!r}")
        names.add(name)
        if charge != "?" and not re.fullmatch(r"[-+]?\d+", charge):
            raise ValueError(f"has {charge[:40]!r} for a charge, which must be a whole number or '?',")
        for value in position:
            if value != "?" and number(value) is None:
                raise ValueError(f"has {value[:40]!r} for a coordinate, which must be a number or '?',")
    bonded: set[frozenset[str]] = set()
    for first, second, *_ in bonds:
        if missing := [name for name in (first, second) if name not in names]:
            raise ValueError(f"has a bond of {first[:40]} and {second[:40]}, and no atom {missing[0][:40]!r}")
        if first == second:
            raise ValueError(f"has a bond of {first} to itself")
        if frozenset((first, second)) in bonded:
            raise ValueError(f"has two bonds of {first} and {second}")
        bonded.add(frozenset((first, second)))
