import pytest

from pytest_af3mem import gpus
from pytest_af3mem.gpus import mig
from pytest_af3mem.reports.cluster_site import slurm_type

MIG_CARDS = [
    *("a100-40gb", "a100-80gb", "a100-pcie-40gb", "a100-pcie-80gb", "h100-80gb", "h100-pcie-80gb", "h100-nvl-94gb"),
    *("gh200-96gb", "h200-141gb", "h200-nvl-141gb", "b200-180gb"),
]


def profiles(names):
    return [name.partition("/")[2] for name in names]


@pytest.mark.parametrize("card", MIG_CARDS)
def test_every_split_fits_the_card(card):
    found = mig.splits(card)
    assert len(found) == 38
    for split in found:
        assert sum(gpus.find(name).memory_slices for name in split) <= 8
        assert sum(int(profile[0]) for profile in profiles(split)) <= 7


def test_splits_of_nvidias_guide():
    found = {tuple(profiles(split)) for split in mig.splits("a100-40gb")}
    assert {
        ("7g.40gb",),
        ("3g.20gb", "4g.20gb"),
        ("1g.5gb",) * 7,
        ("1g.5gb", "2g.10gb", "4g.20gb"),
        ("3g.20gb", "3g.20gb"),
    } <= found
    assert ("4g.20gb", "4g.20gb") not in found
    assert ("1g.5gb",) * 4 + ("4g.20gb",) not in found


def test_splits_of_an_a30_which_has_four_slices_of_each_kind():
    found = {tuple(profiles(split)) for split in mig.splits("a30-24gb")}
    assert found == {("4g.24gb",), ("2g.12gb",) * 2, ("1g.6gb", "1g.6gb", "2g.12gb"), ("1g.6gb",) * 4}


def test_a_card_without_mig():
    assert mig.splits("l4-24gb") == frozenset()
    assert mig.profiles("l4-24gb") == []


@pytest.mark.parametrize(
    ("needed", "split", "rounds"),
    [
        ({"1g.10gb": 7}, ["1g.10gb"] * 7, 1),
        ({"1g.10gb": 8}, ["1g.10gb"] * 7, 2),
        ({"3g.40gb": 2}, ["3g.40gb", "3g.40gb"], 1),
        ({"1g.10gb": 3, "3g.40gb": 1}, ["1g.10gb"] * 4 + ["3g.40gb"], 1),
        ({"7g.80gb": 2, "1g.10gb": 1}, ["7g.80gb"], 3),
        ({"1g.20gb": 4}, ["1g.20gb"] * 4, 1),
    ],
)
def test_the_split_with_the_fewest_rounds(needed, split, rounds):
    found = mig.best("a100-80gb", {f"a100-80gb/{name}": count for name, count in needed.items()})
    assert found is not None
    assert (profiles(found[0]), found[1]) == (split, rounds)


def test_no_job_for_a_slice():
    assert mig.best("a100-80gb", {}) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("l4-24gb", ["l4-24gb"]),
        ("L4-24GB, a100-40gb/?g.5gb", ["a100-40gb/1g.5gb", "l4-24gb"]),
        (
            "a100-80gb/*",
            [f"a100-80gb/{profile}" for profile in ("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")],
        ),
        ("gpus", [name for name in gpus.names() if "/" not in name]),
        ("cards", [name for name in gpus.names() if "/" not in name]),
        ("all", list(gpus.names())),
    ],
)
def test_targets_are_selected_by_name_and_pattern(text, names):
    assert sorted(target.name for target in gpus.select(text)) == sorted(names)


@pytest.mark.parametrize(
    ("target", "stated", "name"),
    [
        ("h100-80gb", {}, "nvidia_h100_80gb_hbm3"),
        ("a100-80gb/2g.20gb", {}, "nvidia_a100-sxm4-80gb_2g.20gb"),
        ("a100-80gb/2g.20gb", {"a100-80gb/2g.20gb": "mig20"}, "mig20"),
    ],
)
def test_slurms_names(target, stated, name):
    assert slurm_type(gpus.find(target), stated) == name
