"""Compiled, allocator and process side by side; the gap by cause; what is a finding. Numbers are invented."""

import dataclasses

import pytest

from pytest_af3mem.records import agreement
from pytest_af3mem.records.agreement import Part
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.verdict import judge
from pytest_af3mem.reports import agreement as agreement_report

GIB, MIB = 2**30, 2**20


def test_the_parts_add_up(a_run):
    peak = a_run()
    assert peak.program_bytes == 8 * GIB
    assert agreement.gap(peak) == (
        Part("other arrays, and rounding by the allocator", 4 * MIB),
        Part("taken by the allocator and never in use", GIB - 4 * MIB),
        Part("outside the allocator: CUDA context, libraries, kernels", 500 * MIB),
    )
    assert peak.program_bytes + sum(part.bytes for part in agreement.gap(peak)) == peak.process_bytes


def test_a_compile_that_needs_more_than_the_run(a_run):
    peak = a_run(dataclasses.replace(a_run().run, compile_peak_bytes=9 * GIB), allocator_bytes=9 * GIB, process_bytes=None)
    assert agreement.gap(peak)[1] == Part("scratch of the compile, beyond the run's peak", GIB - 4 * MIB)
    assert peak.program_bytes + sum(part.bytes for part in agreement.gap(peak)) == peak.allocator_bytes
    assert agreement.why_apart(peak) == (
        "the two witnesses differ by +12.5 %: compiled 8.00 GiB, the GPU's allocator 9.00 GiB, most of it scratch of the "
        "compile, beyond the run's peak [1000 tokens, bucket 1024, h100-80gb, run]"
    )


@pytest.mark.parametrize(("percent", "found"), [(100, False), (102, False), (103, True), (99, False), (97, True)])
def test_a_gap_beyond_two_percent_is_a_finding(a_run, percent, found):
    allocator_bytes = 8 * GIB * percent // 100
    peak = a_run(dataclasses.replace(a_run().run, steady_peak_bytes=allocator_bytes), allocator_bytes=allocator_bytes)
    assert bool(agreement.why_apart(peak)) is found


def test_what_was_only_compiled_has_no_second_witness(a_peak, a_measurement):
    peak = a_peak()
    assert (agreement.gap(peak), agreement.why_apart(peak), agreement_report.lines(peak)) == ((), "", [])
    assert agreement_report.summary([a_measurement()]) == []


def test_the_allocators_peak_is_what_is_judged(a_run):
    assert judge(a_run(), 8 * GIB).line.startswith("GPU peak 8.00 GiB is over the budget of 8.00 GiB by 4.00 MiB (0.0 %) ")
    assert judge(a_run(), 8 * GIB + 4 * MIB).outcome.value == "within"


def test_lines(a_run):
    assert agreement_report.lines(a_run()) == [
        "  compiled        8.00 GiB  what the program asks for, as compiled on this GPU",
        "  allocator       8.00 GiB  JAX's peak; largest allocation 6.00 GiB, 512 B in use afterwards",
        "  steady          8.00 GiB  of the run without its compile",
        "  process         9.49 GiB  NVML, read every 23 ms at the longest",
        "                  4.00 MiB  other arrays, and rounding by the allocator",
        "               1020.00 MiB  taken by the allocator and never in use",
        "                500.00 MiB  outside the allocator: CUDA context, libraries, kernels",
        "  device      NVIDIA H100 80GB HBM3, GPU-1, driver 570.124",
    ]
    assert agreement_report.lines(a_run(allocator_bytes=9 * GIB))[-1].startswith("  the two witnesses differ by +12.5 %: ")
    unnamed = dataclasses.replace(a_run().run, allocator_gap_ms=2.1, process_note="NVML does not name this process")
    lines = agreement_report.lines(a_run(unnamed, process_bytes=None))
    assert lines[2] == "  steady          8.00 GiB  of the run without its compile (read every 2.1 ms at the longest)"
    assert lines[3] == "  process        not known  NVML does not name this process"


def test_side_by_side(a_run, a_peak, a_measurement):
    run, compiled = a_run(), a_peak(total_bytes=8 * GIB - 32 * MIB)
    measurements = [a_measurement(peak=compiled), a_measurement(peak=run, method="run")]
    assert agreement_report.summary(measurements) == [
        "bucket     target  without GPU  compiled  allocator   process      gap",
        "  1024  h100-80gb     7.97 GiB  8.00 GiB   8.00 GiB  9.49 GiB  +0.05 %",
    ]
    alone = agreement_report.summary(measurements[1:])
    assert alone[0].split() == ["bucket", "target", "compiled", "allocator", "process", "gap"]


def test_json_round_trip(a_run):
    peak = a_run()
    assert vars(Peak.from_json(peak.to_json())) == vars(peak)
