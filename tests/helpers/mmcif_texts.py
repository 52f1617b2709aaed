"""mmCIF as AlphaFold 3 reads it: templates, and components of a user's own. Each part of a text may be another one."""

COLUMNS = """group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id
    pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num""".split()
RESIDUES = ["ATOM 1 C CA . GLY A 1 1 . 1.0 2.0 3.0 1.0 5.0 1 A 1", "ATOM 2 C CA . ALA A 1 2 . 4.0 2.0 3.5 1.0 5.0 2 A 1"]
DATE = {"pdbx_audit_revision_history": {"revision_date": ["1999-12-31"]}}
ENTITIES = {
    "entity": {"id": ["1"], "type": ["polymer"]},
    "entity_poly": {"entity_id": ["1"], "type": ["polypeptide(L)"]},
    "struct_asym": {"id": ["A"], "entity_id": ["1"]},
}
ATOMS = ("C1 C 0 0.0 0.0 0.0", "O1 O 0 1.2 0.0 0.0", "H1 H 0 1.7 0.9 0.0")
BONDS = ("C1 O1 SING N", "O1 H1 SING N")


def a_loop(category, columns):
    rows = zip(*columns.values(), strict=True)
    return "\n".join(["loop_", *(f"_{category}.{name}" for name in columns), *(" ".join(row) for row in rows), ""])


def a_template(atoms=RESIDUES, tables=None, without=(), start="data_1ABC\n"):
    """A template of atoms without some of their columns, and of tables before them: by default those of an entity."""
    rows = [dict(zip(COLUMNS, atom.split(), strict=True)) for atom in atoms]
    site = {name: [row[name] for row in rows] for name in COLUMNS if name not in without}
    tables = DATE | (ENTITIES if tables is None else tables) | {"atom_site": site}
    return start + "".join(a_loop(category, columns) for category, columns in tables.items())


def a_component(atoms=ATOMS, bonds=BONDS, code="MY-1", name="mine", **items):
    """A component of `userCCD`; `items` are others of `_chem_comp`."""
    told = {"id": code, "name": name, "type": "non-polymer", "formula": "?", "mon_nstd_parent_comp_id": "?"}
    told |= {"pdbx_synonyms": "?", "formula_weight": "?", **items}
    ideal = [f"pdbx_model_Cartn_{axis}_ideal" for axis in "xyz"]
    lines = [f"data_{code}", *(f"_chem_comp.{item} {value}" for item, value in told.items()), "loop_"]
    lines += [f"_chem_comp_atom.{item}" for item in ("comp_id", "atom_id", "type_symbol", "charge", *ideal)]
    lines += [f"{code} {atom}" for atom in atoms]
    lines += ["loop_", *(f"_chem_comp_bond.{item}" for item in "atom_id_1 atom_id_2 value_order pdbx_aromatic_flag".split())]
    return "\n".join([*lines, *bonds, ""])
