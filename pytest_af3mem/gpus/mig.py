"""How a GPU can be split into MIG slices, and which split serves a set of jobs best. Pure functions."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence

from pytest_af3mem import gpus
from pytest_af3mem.gpus import Gpu

# Where a profile may begin, by its compute slices (the `2` of 2g.20gb) and memory slices, of which it takes so many from
# there: "Placements" of `nvidia-smi mig -lgipp`, the same on A100, H100, H200 and B200. The A30 and the RTX PRO 6000 have
# four memory slices, which count two of eight each.
_STARTS = {
    (1, 1): (0, 1, 2, 3, 4, 5, 6),
    (1, 2): (0, 2, 4, 6),
    (2, 2): (0, 2, 4),
    (2, 4): (0, 4),
    (3, 4): (0, 4),
    (4, 4): (0,),
    (4, 8): (0,),
    (7, 8): (0,),
}


def profiles(gpu: str) -> list[Gpu]:
    """The slices of a whole GPU, small to large; empty for one without MIG."""
    found = [gpus.find(name) for name in gpus.names()]
    return [target for target in found if target.is_slice and target.whole == gpu]


@functools.cache
def splits(gpu: str) -> frozenset[tuple[str, ...]]:
    """Every set of slices that a GPU can be split into with no room for another one; names in the order of `profiles`."""
    known = profiles(gpu)
    order = [target.name for target in known]
    places = [
        (target.name, frozenset(range(start, start + target.memory_slices))) for target in known for start in _starts(target)
    ]

    @functools.cache
    def filled(taken: frozenset[int], chosen: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
        free = [(name, place) for name, place in places if not place & taken]
        if not free:
            return frozenset([chosen] if chosen else [])
        return frozenset().union(
            *(filled(taken | place, tuple(sorted((*chosen, name), key=order.index))) for name, place in free)
        )

    return filled(frozenset(), ())


def best(gpu: str, needed: Mapping[str, int]) -> tuple[tuple[str, ...], int] | None:
    """The split for which the jobs take the fewest rounds, and how many; None where no job needs a slice of the GPU.

    `needed` says how many jobs have each profile as the smallest that they fit; larger ones do too. A round is one job on each
    slice: it says how many can run at once, and nothing of how long they take. Of equal splits the one with more slices.
    """
    order = [target.name for target in profiles(gpu)]
    wanted = Counter({name: count for name, count in needed.items() if count})
    if not wanted:
        return None
    possible = [(split, rounds) for split in splits(gpu) if (rounds := _rounds(split, wanted, order)) is not None]
    return min(possible, key=lambda one: (one[1], -len(one[0]), one[0]))


def _rounds(split: Sequence[str], wanted: Mapping[str, int], order: Sequence[str]) -> int | None:
    """How often the split is filled until all jobs have run; None where a job fits none of its slices."""
    most = 0
    memory = {name: gpus.find(name).memory_bytes for name in order}
    for name in wanted:
        jobs = sum(count for other, count in wanted.items() if memory[other] >= memory[name])
        places = sum(memory[one] >= memory[name] for one in split)
        if not places:
            return None
        most = max(most, -(-jobs // places))
    return most


def _starts(target: Gpu) -> tuple[int, ...]:
    compute_slices = int(target.name.partition("/")[2].partition("g.")[0])
    return _STARTS[compute_slices, target.memory_slices]
