"""Which atoms of a residue AlphaFold 3 reads where some stand in several conformations (structure/cpp/mmcif_altlocs.cc)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pytest_af3mem.inputs import mmcif
from pytest_af3mem.inputs.mmcif import Block

_UNSET = (".", "?")


def kept(site: Block, rows: Sequence[int]) -> list[int]:
    """The rows of `_atom_site` that are left of those of a residue.

    Where every atom has a conformation, AlphaFold 3 takes the component and then the conformation that are occupied most;
    where some have none, it looks at each atom alone. Of several atoms of a name, one is left. What is no number counts as
    an occupancy of 0.
    """
    letters = {row: site["label_alt_id"][row][:1] for row in rows}
    if all(letter in _UNSET for letter in letters.values()):
        return list(rows)
    occupancies = {row: mmcif.number(site["occupancy"][row]) or 0.0 for row in rows}
    if not any(letter in _UNSET for letter in letters.values()):
        components = [list(group) for _, group in groupby(rows, key=lambda row: site["label_comp_id"][row])]
        shares = [_shares(group, letters, occupancies) for group in components]
        best = min(range(len(components)), key=lambda at: (-sum(shares[at].values()), min(shares[at])))
        letter = min(shares[best], key=lambda each: (-shares[best][each], each))
        named = _named(site, components[best])
        return [next((row for row in same if letters[row] == letter), same[0]) for same in named]
    left: list[int] = []
    for is_single, group in groupby(rows, key=lambda row: letters[row] in _UNSET):
        together = list(group)
        if is_single:
            left += together
        else:
            left += [min(same, key=lambda row: (-occupancies[row], letters[row])) for same in _named(site, together)]
    return left


def _shares(rows: Sequence[int], letters: dict[int, str], occupancies: dict[int, float]) -> dict[str, float]:
    """The mean occupancy of each conformation."""
    own: dict[str, list[float]] = {}
    for row in rows:
        own.setdefault(letters[row], []).append(occupancies[row])
    return {letter: sum(values) / len(values) for letter, values in own.items()}


def _named(site: Block, rows: Sequence[int]) -> list[list[int]]:
    """Rows that follow each other and have one name."""
    return [list(same) for _, same in groupby(rows, key=lambda row: site["label_atom_id"][row])]
