"""mmCIF text as far as inputs need it: read into columns, and checked for what AlphaFold 3 asks of templates and components.

Syntax: https://www.iucr.org/resources/cif/spec/version1.1
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence

Block = Mapping[str, Sequence[str]]

_TOKEN = re.compile(
    r"""^;(?P<text>.*?)^;  # lines between semicolons that start lines
    |(?P<quote>['"])(?P<quoted>[^\n]*?)(?P=quote)(?=\s|\Z)
    |\#[^\n]*
    |(?P<plain>\S+)""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_ATOM_SITE = "group_PDB id type_symbol label_atom_id label_comp_id label_asym_id label_seq_id Cartn_x Cartn_y Cartn_z".split()
_COMPONENT = """
    _chem_comp.id _chem_comp.name _chem_comp.type _chem_comp.formula _chem_comp.mon_nstd_parent_comp_id
    _chem_comp.pdbx_synonyms _chem_comp.formula_weight _chem_comp_atom.comp_id _chem_comp_atom.atom_id
    _chem_comp_atom.type_symbol _chem_comp_atom.charge _chem_comp_atom.pdbx_model_Cartn_x_ideal
    _chem_comp_atom.pdbx_model_Cartn_y_ideal _chem_comp_atom.pdbx_model_Cartn_z_ideal _chem_comp_bond.atom_id_1
    _chem_comp_bond.atom_id_2 _chem_comp_bond.value_order _chem_comp_bond.pdbx_aromatic_flag
""".split()  # docs/input.md of AlphaFold 3, "Mandatory fields"
_POLYMERS = re.compile(r"polypeptide|nucleotide|peptide nucleic acid|other")


def parse(text: str) -> dict[str, dict[str, list[str]]]:
    """Data block -> item (`_category.column`) -> its values. Raises ValueError, with the rule, for what is no mmCIF."""
    blocks: dict[str, dict[str, list[str]]] = {}
    block: dict[str, list[str]] | None = None
    header: list[list[str]] | None = None  # columns of the loop whose names are being read
    columns: list[list[str]] = []
    filled = 0
    name: str | None = None
    for token in _TOKEN.finditer(text):
        plain = token["plain"]
        value = token["text"] if token["text"] is not None else token["quoted"] if token["quoted"] is not None else plain
        if value is None:
            continue  # a comment
        word = plain.lower() if plain else ""
        if not (word.startswith(("data_", "_")) or word == "loop_"):
            if plain and plain[0] in "'\"":
                raise ValueError(f"is no mmCIF: a quoted value at character {token.start()} does not end")
            if name is not None and block is not None:
                block[name] = [value]
                name = None
            elif columns or header:
                columns, header = columns or header or [], None
                columns[filled % len(columns)].append(value)
                filled += 1
            else:
                raise ValueError(f"is no mmCIF: {value[:40]!r} belongs to no item")
            continue
        if name is not None:
            raise ValueError(f"is no mmCIF: {name} has no value")
        if header is None or not word.startswith("_"):
            if columns and filled % len(columns):
                raise ValueError(f"is no mmCIF: a loop of {len(columns)} columns has {filled} values")
            if header is not None:
                raise ValueError("is no mmCIF: a loop has no values")
            columns, filled = [], 0
        if word.startswith("data_"):
            if plain[5:] in blocks:
                raise ValueError(f"is no mmCIF: it has two blocks {plain[:40]!r}")
            block = blocks.setdefault(plain[5:], {})
            continue
        if block is None:
            raise ValueError("is no mmCIF: it does not start with data_")
        if word == "loop_":
            header = []
            continue
        if plain in block:
            raise ValueError(f"is no mmCIF: {plain[:60]} appears twice")
        if header is None:
            name = plain
        else:
            block[plain] = []
            header.append(block[plain])
    if name is not None:
        raise ValueError(f"is no mmCIF: {name} has no value")
    if header is not None:
        raise ValueError("is no mmCIF: a loop has no values")
    if columns and filled % len(columns):
        raise ValueError(f"is no mmCIF: a loop of {len(columns)} columns has {filled} values")
    if not blocks:
        raise ValueError("is no mmCIF: it does not start with data_")
    return blocks


def template_residues(text: str) -> int | None:
    """Residues of a template's chain, those without coordinates included; None where the text does not list them.

    Raises ValueError, with the rule, unless it is one structure with coordinates, a date and a single polymer chain.
    """
    blocks = parse(text)
    if len(blocks) > 1:
        raise ValueError(f"must be one structure, and has {len(blocks)} data blocks")
    (block,) = blocks.values()
    if missing := [column for column in _ATOM_SITE if f"_atom_site.{column}" not in block]:
        raise ValueError(f"has no _atom_site.{missing[0]}")
    for column in ("Cartn_x", "Cartn_y", "Cartn_z"):
        for value in block[f"_atom_site.{column}"]:
            if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
                raise ValueError(f"has {value[:40]!r} for a coordinate in _atom_site.{column}")
    try:
        datetime.date.fromisoformat(min(block.get("_pdbx_audit_revision_history.revision_date", [""])))
    except ValueError:
        raise ValueError("has no release date: state _pdbx_audit_revision_history.revision_date, like 1989-11-17") from None
    entities = dict(zip(block.get("_entity_poly.entity_id", ()), block.get("_entity_poly.type", ()), strict=False))
    polymers = {entity for entity, kind in entities.items() if _POLYMERS.search(kind)}
    chains = list(zip(block.get("_struct_asym.id", ()), block.get("_struct_asym.entity_id", ()), strict=False))
    if polymers and chains:
        found = [chain for chain, entity in chains if entity in polymers]
        if len(found) != 1:
            raise ValueError(f"must hold a single polymer chain, and has {len(found)}")
    listed = list(zip(block.get("_entity_poly_seq.entity_id", ()), block.get("_entity_poly_seq.num", ()), strict=False))
    return len({number for entity, number in listed if entity in polymers}) or None


def check_components(text: str) -> None:
    """Raises ValueError, with the rule, unless `text` defines chemical components with all that AlphaFold 3 asks for."""
    for name, block in parse(text).items():
        if missing := [item for item in _COMPONENT if item not in block]:
            raise ValueError(f"lacks {missing[0]} for the component {name[:40]!r}")
        if list(block["_chem_comp.id"]) != [name]:
            raise ValueError(f"names the component {block['_chem_comp.id'][0][:40]!r} in the block {f'data_{name}'[:40]!r}")
        for category in ("_chem_comp_atom.", "_chem_comp_bond."):
            lengths = {len(values) for item, values in block.items() if item.startswith(category)}
            if len(lengths) != 1:
                raise ValueError(f"has columns of unequal length in {category.strip('.')} of the component {name[:40]!r}")
