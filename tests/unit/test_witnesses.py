"""Compiled, allocator and process side by side; the gap by cause; what is a finding. Numbers are invented."""

import dataclasses

import pytest

from pytest_af3mem.records import agreement
from pytest_af3mem.records.agreement import Part
from pytest_af3mem.records.peak import Peak, Phase, Phases
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


def phases(compile_peak, run_peak, steady=None):
    """Parameters take 2 GiB, features 1 MiB, and 1 MiB stays behind of the compile."""
    ends = [(0, 0), (2048, 2048), (2049, 2049), (2050, compile_peak), (2050, run_peak), (2050, run_peak)]
    return Phases(*(Phase(in_use * MIB, peak * MIB) for in_use, peak in ends), (steady or run_peak) * MIB)


@pytest.fixture
def a_phased_run(a_run):
    """A run of a program of 8 GiB, of which two processes peaked at so many MiB; `warm` may be None."""

    def run(cold, warm, warm_note=""):
        readings = dataclasses.replace(a_run().run, cold=cold, warm=warm, warm_note=warm_note)
        return a_run(readings, allocator_bytes=cold.peak_bytes, process_bytes=None)

    return run


def test_both_processes_against_the_program(a_phased_run):
    found = agreement.by_phase(a_phased_run(phases(8306, 8306, steady=8196), phases(2050, 8196)))
    assert found.program_bytes == 8192 * MIB
    assert (found.cold_gap_bytes, found.warm_gap_bytes, found.compile_bytes) == (114 * MIB, 4 * MIB, 110 * MIB)


def test_without_phases_or_without_a_second_process(a_run, a_peak, a_phased_run):
    assert agreement.by_phase(a_peak()) is agreement.by_phase(a_run()) is None
    found = agreement.by_phase(a_phased_run(phases(2050, 8196), None, "the second process died"))
    assert (found.cold_gap_bytes, found.warm_gap_bytes, found.compile_bytes) == (4 * MIB, None, None)
    assert found.warm_note == "the second process died"


def test_lines_of_both_processes(a_phased_run):
    lines = agreement_report.lines(a_phased_run(phases(8306, 8306, steady=8196), phases(2050, 8196)))
    assert lines[2] == (
        f"{'':<28}of which 110.00 MiB are the compile's: a process that loads the program from JAX's compilation cache peaked at "
        "8.00 GiB"
    )
    table = [
        " ".join(line.split()) for line in lines if line.startswith(("  end of", *map("  {}".format, ("start", "compile "))))
    ]
    assert table == [
        "end of phase in use peak so far raised by warm: in use warm: peak so far warm: raised by",
        "start 0 B 0 B - 0 B 0 B -",
        "compile 2.00 GiB 8.11 GiB 6.11 GiB 2.00 GiB 2.00 GiB 1.00 MiB",
    ]
    assert (
        "  against the program's 8.00 GiB: runs of the process that loads it +4.00 MiB (+0.05 %), the process that compiles it "
        "+114.00 MiB (+1.39 %)"
    ) in lines


@pytest.mark.parametrize(
    ("warm", "said"),
    [
        (
            8196,
            "of which nothing is the compile's: a process that loads the program from JAX's compilation cache peaked at 8.00 GiB",
        ),
        (
            8197,
            "of which nothing is the compile's: a process that loads the program from JAX's compilation cache peaked at 8.00 GiB"
            ", 1.00 MiB more",
        ),
    ],
)
def test_a_compile_that_adds_nothing(a_phased_run, warm, said):
    assert agreement_report.lines(a_phased_run(phases(2050, 8196), phases(2050, warm)))[2].strip() == said


def test_a_second_process_that_gave_no_number(a_phased_run, a_measurement):
    run = a_phased_run(phases(2050, 8196), None, "the second process died")
    assert judge(run, 8 * GIB).line.startswith("GPU peak 8.00 GiB is over the budget of 8.00 GiB by 4.00 MiB ")
    lines = agreement_report.lines(run)
    assert lines[2].strip() == "how much of it is the compile's is not known: the second process died"
    assert not any("warm" in line for line in lines)
    assert "  against the program's 8.00 GiB: the process that compiles it +4.00 MiB (+0.05 %)" in lines
    heading, row, note = agreement_report.summary([a_measurement(peak=run, method="run")])
    assert "warm" not in heading
    assert "0 B" not in row
    assert note == "no warm peak: the second process died [1000 tokens, bucket 1024, h100-80gb, run]"


def test_side_by_side_with_a_second_process(a_phased_run, a_measurement):
    run = a_phased_run(phases(8306, 8306, steady=8196), phases(2050, 8196))
    heading, row = agreement_report.summary([a_measurement(peak=run, method="run")])
    assert heading.split()[-4:] == ["compile's", "warm", "warm", "gap"]
    assert row.endswith("+1.39 %  +110.00 MiB  8.00 GiB   +0.05 %")


def test_json_round_trip_of_phases(a_phased_run):
    peak = a_phased_run(phases(8306, 8306, steady=8196), phases(2050, 8196))
    assert Peak.from_json(peak.to_json()).run == peak.run
    assert peak.to_json()["run"]["warm"]["first_run"] == {"in_use_bytes": 2050 * MIB, "peak_bytes": 8196 * MIB}


def test_a_run_from_before_phases_were_read(a_run):
    old = a_run().to_json()
    for key in ("cold", "warm", "warm_note"):
        del old["run"][key]
    assert Peak.from_json(old).run == a_run().run
