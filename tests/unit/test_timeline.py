"""Memory over program order as a record: which components have a band, and where stages begin."""

import dataclasses
from types import SimpleNamespace

import pytest

from pytest_af3mem.records.timeline import OTHERS, Band, Stage, Timeline, bands, folded, merged, points
from pytest_af3mem.worker.xla import stages

TIMELINE = Timeline(steps=4, kept_bytes=10, bands=(Band("net/a", ((0, 5), (2, 0))), Band("net/b", ((1, 7),))))


def test_what_is_alive_at_each_step():
    assert TIMELINE.along == {"net/a": [5, 5, 0, 0], "net/b": [0, 7, 7, 7]}
    assert TIMELINE.totals == [15, 22, 17, 17]
    assert (Timeline().totals, dataclasses.replace(TIMELINE, bands=()).totals) == ([], [10] * 4)


def test_points_are_where_it_changes():
    assert points([0, 3, 3, 0, 0, 4]) == ((1, 3), (3, 0), (5, 4))
    assert points([2]) == ((0, 2),)


def test_a_light_component_counts_to_the_module_that_it_stands_in():
    along = {"net/a/x": [9, 9], "net/a/y": [1, 1], "net/a/z": [2, 0], "alone": [0, 1]}
    assert folded([along], 4) == {name: name for name in along}
    assert folded([along], 3) == {"net/a/x": "net/a/x", "net/a/z": "net/a/z", "net/a/y": "net/a/y", "alone": OTHERS}
    kept = folded([along], 2)
    assert kept == {"net/a/x": "net/a/x", "net/a/y": "net/a", "net/a/z": "net/a", "alone": OTHERS}
    assert list(merged(along, kept).items()) == [("net/a/x", [9, 9]), ("net/a", [3, 1]), (OTHERS, [0, 1])]
    assert set(folded([along], 0).values()) == {OTHERS}


def test_what_holds_the_peak_weighs_more():
    """`long` holds as much in all, and less at the step where most is alive."""
    assert list(folded([{"long": [3, 3, 3], "peak": [0, 9, 0]}], 1).items()) == [("peak", "peak"), ("long", OTHERS)]


def test_sides_weigh_the_same_whatever_their_size():
    small, large = {"a": [4, 4], "b": [1, 1]}, {"a": [2_000, 2_000], "c": [3_000, 3_000]}
    assert folded([small, large], 2) == {"a": "a", "c": "c", "b": OTHERS}


def test_a_band_says_its_largest_array():
    arrays = {"net/a": ("f32[4]", "net.py:1"), "net/a/x": ("f32[9]", "net.py:2")}
    assert bands([{"net/a": 1, "net/a/x": 2}, {}], arrays, 1) == (Band("net/a", ((0, 3), (1, 0)), "f32[9]", "net.py:2"),)


def program(*scopes):
    """One event after the other, of operations in these scopes."""
    operations = [SimpleNamespace(name=str(index), op_name=f"jit(apply)/{scope}/add") for index, scope in enumerate(scopes)]
    events = [SimpleNamespace(instruction=one.name) for one in operations]
    return SimpleNamespace(instructions=dict(enumerate(operations)), events=[*events, SimpleNamespace(instruction="unknown")])


NAMED = {"embedding": ("net/",), "trunk": ("net/trunk",), "head": ("net/head", "head")}


@pytest.mark.parametrize(
    ("scopes", "found"),
    [
        ("net/in net/in net/trunk/a net/trunk/b head", (("embedding", 0), ("trunk", 2), ("head", 4))),
        ("net net/in net net/trunk", (("embedding", 0), ("trunk", 3))),  # what is in no stage goes with the one before
        ("net/trunk net/trunk net/in net/trunk net/in head net/trunk head", (("trunk", 0), ("head", 7))),  # XLA moved some
        ("head net/in net/in net/trunk", (("embedding", 0), ("trunk", 3))),
        ("other", ()),
    ],
)
def test_stages_are_cut_where_most_operations_agree(scopes, found):
    assert stages.found(program(*scopes.split()), NAMED, 1) == tuple(Stage(*one) for one in found)


def test_stages_begin_at_steps_of_several_events():
    scopes = "net/in net/in net/in net/trunk net/trunk head".split()
    assert stages.found(program(*scopes), NAMED, 2) == (Stage("embedding", 0), Stage("trunk", 1), Stage("head", 2))
    assert stages.found(program(*scopes), {}, 2) == ()
