import dataclasses

from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.peak import Holder, Kernels
from pytest_af3mem.reports.growth import changes, differences

MIB, GIB = 2**20, 2**30
ALL_KERNELS = Kernels(47)


def peak_of(a_peak, high_water=None, kernels=ALL_KERNELS, **sizes):
    holders = tuple(Holder(name, "temporary", size * MIB) for name, size in sizes.items())
    marks = {name: size * MIB for name, size in (high_water or {}).items()}
    return a_peak(total_bytes=sum(sizes.values()) * MIB, holders=holders, high_water=marks, kernels=kernels)


def test_nothing_changed(a_peak):
    assert changes(peak_of(a_peak, evoformer=10), peak_of(a_peak, evoformer=10)) == []


def test_components_the_largest_change_first(a_peak):
    before = peak_of(a_peak, evoformer=512, diffusion_head=100, confidence_head=30, batch=7)
    after = peak_of(a_peak, evoformer=1024, diffusion_head=40, template_embedding=200, batch=7)
    assert changes(before, after) == [
        "  +512.00 MiB  evoformer  512.00 MiB -> 1.00 GiB",
        "  +200.00 MiB  template_embedding  new, 200.00 MiB",
        "   -60.00 MiB  diffusion_head  100.00 MiB -> 40.00 MiB",
        "   -30.00 MiB  confidence_head  gone, 30.00 MiB",
    ]


def test_many_small_changes_are_counted(a_peak):
    before = peak_of(a_peak, **{f"layer_{index:02}": 1 for index in range(15)})
    after = peak_of(a_peak, **{f"layer_{index:02}": 2 for index in range(15)})
    assert len(changes(before, after)) == 11
    assert changes(before, after)[-1] == "    +5.00 MiB  in 5 others"


def test_a_lost_kernel_comes_first(a_peak):
    lost = Kernels(31, ("gated_linear_unit in evoformer/pair_transition",))
    before, after = peak_of(a_peak, evoformer=10), peak_of(a_peak, evoformer=20, kernels=lost)
    assert changes(before, after) == [
        "fell back from a kernel to XLA: gated_linear_unit in evoformer/pair_transition",
        "fewer Triton kernels: 47 -> 31",
        "   +10.00 MiB  evoformer  10.00 MiB -> 20.00 MiB",
    ]
    assert changes(after, before)[:2] == [
        "more Triton kernels: 31 -> 47",
        "no longer left to XLA: gated_linear_unit in evoformer/pair_transition",
    ]


def test_a_saving_that_does_not_move_the_peak_is_told_as_that(a_peak):
    before = peak_of(a_peak, {"evoformer": 10, "confidence_head": 8}, evoformer=10)
    after = peak_of(a_peak, {"evoformer": 10, "confidence_head": 6}, evoformer=10)
    assert before == after
    assert changes(before, after) == [
        "the most that temporaries of a component take, at the peak or elsewhere:",
        "    -2.00 MiB  confidence_head  8.00 MiB -> 6.00 MiB",
    ]


def test_a_component_that_grew_and_left_the_peak_to_another_is_told_as_both(a_peak):
    before = peak_of(a_peak, {"triangle": 10, "transition": 8, "head": 1}, triangle=10, head=1)
    after = peak_of(a_peak, {"triangle": 12, "transition": 16, "head": 1}, transition=16, head=1)
    assert changes(before, after) == [
        "the peak moved from triangle to transition",
        "   +16.00 MiB  transition  new, 16.00 MiB",
        "   -10.00 MiB  triangle  gone, 10.00 MiB",
        "the most that temporaries of a component take, at the peak or elsewhere:",
        "    +8.00 MiB  transition  8.00 MiB -> 16.00 MiB",
        "    +2.00 MiB  triangle  10.00 MiB -> 12.00 MiB",
    ]


def test_where_holders_are_not_known_only_kernels_are_told(a_peak):
    unknown = a_peak(holders=(), kernels=Kernels(46))
    assert changes(peak_of(a_peak, evoformer=10), unknown) == ["fewer Triton kernels: 47 -> 46"]


def test_a_total_that_grew_by_packing_alone_says_so(a_peak):
    before = Entry.of("t.py::test_fits", a_peak())
    grown = a_peak(total_bytes=a_peak().total_bytes + GIB, temp_bytes=a_peak().temp_bytes + GIB)
    first, *_ = differences(before, grown)
    assert first == (
        "packing alone: what is alive at the peak did not grow, the gaps between buffers did (512.00 MiB -> 1.50 GiB)"
    )
    alive = a_peak(total_bytes=a_peak().total_bytes + GIB, live_bytes=a_peak().live_bytes + 1)
    run = dataclasses.replace(grown, method="run")
    assert not any(line.startswith("packing alone") for other in (alive, run) for line in differences(before, other))
