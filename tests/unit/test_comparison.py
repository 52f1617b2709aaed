import dataclasses

import pytest

from pytest_af3mem.records.baseline import Entry
from pytest_af3mem.records.peak import Holder, Kernels
from pytest_af3mem.records.verdict import Reference, judge
from pytest_af3mem.reports import growth, terminal

GIB = 2**30


def holders(**components):
    return tuple(Holder(component, "temporary", size) for component, size in components.items())


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (Kernels(31), Kernels(31), []),
        (Kernels(31, ("attention in a",)), Kernels(32, ("attention in a",)), []),
        (Kernels(31), Kernels(30), ["fewer Triton kernels: 31 -> 30"]),
        (
            Kernels(31, ("attention in a",)),
            Kernels(30, ("attention in a", "attention in b")),
            ["fell back from a kernel to XLA: attention in b", "fewer Triton kernels: 31 -> 30"],
        ),
        (
            Kernels(31),
            Kernels(21, tuple(f"attention in {number}" for number in range(10))),
            ["fell back from a kernel to XLA: attention in 10 components, the first is 0", "fewer Triton kernels: 31 -> 21"],
        ),
    ],
)
def test_kernels_that_were_lost(a_peak, before, after, lines):
    assert growth.lost_kernels(Entry.of("t", a_peak(kernels=before)), a_peak(kernels=after)) == lines


def test_what_grew_and_which_versions_differ(a_peak):
    entry = Entry.of("t", a_peak(holders=holders(evoformer=2 * GIB, diffuser=GIB, input=GIB), software={"jax": "0.9"}))
    peak = a_peak(holders=holders(evoformer=5 * GIB, input=GIB, head=GIB // 2), software={"jax": "0.10"})
    assert growth.differences(entry, peak) == [
        "what grew or shrank against the baseline, at the peak:",
        "    +3.00 GiB  evoformer  2.00 GiB -> 5.00 GiB",
        "    -1.00 GiB  diffuser  gone, 1.00 GiB",
        "  +512.00 MiB  head  new, 512.00 MiB",
        "the baseline is of jax 0.9, now 0.10",
    ]
    assert growth.differences(Entry.of("t", peak), peak) == []


def test_a_peak_whose_holders_are_not_known_has_no_changes(a_peak):
    known = a_peak(holders=holders(evoformer=GIB))
    assert growth.differences(Entry.of("t", known), a_peak()) == growth.differences(Entry.of("t", a_peak()), known) == []


def test_section_of_a_peak_over_its_baseline(a_measurement, a_peak):
    entry = Entry.of("t", a_peak(total_bytes=5 * GIB, holders=holders(evoformer=5 * GIB)))
    peak = a_peak(kernels=Kernels(40, ("attention in evoformer",)), holders=holders(evoformer=8 * GIB))
    verdict = judge(peak, None, Reference(entry))
    section = terminal.section(
        dataclasses.replace(a_measurement(), peak=peak, verdict=verdict, baseline=entry, accept="pytest -x")
    )
    first, second, third, *_ = lines = section.splitlines()
    assert first == "fell back from a kernel to XLA: attention in evoformer"
    assert second == "fewer Triton kernels: 47 -> 40"
    assert third == verdict.line
    assert lines[-4:] == [
        "  what grew or shrank against the baseline, at the peak:",
        "      +3.00 GiB  evoformer  5.00 GiB -> 8.00 GiB",
        "  measure it again: af3mem measure --tokens 1000 --target h100-80gb",
        "  accept it as the baseline: pytest -x",
    ]


def test_table_has_the_baseline_and_the_change(a_measurement, a_peak):
    entry = Entry.of("t", a_peak(total_bytes=5 * GIB))
    over = a_measurement(verdict=judge(a_peak(), None, Reference(entry)), baseline=entry)
    headings, row = terminal.table([over])
    assert headings.split() == "tokens bucket target total baseline change verdict kernels time test".split()
    assert "5.00 GiB  +3.00 GiB (+60.0 %)  over" in row
