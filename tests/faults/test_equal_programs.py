"""An edit that leaves the program as it is costs no compile, and the lines of who holds the peak are those of the new sources."""

import dataclasses
import shutil

import pytest

from pytest_af3mem.records.peak import Holder, Kernels
from pytest_af3mem.records.program_limits import LargeArray, ProgramLimits
from pytest_af3mem.records.timeline import Band, Timeline
from pytest_af3mem.worker.xla.attribution import Attribution
from pytest_af3mem.worker.xla.program import Compiled
from pytest_af3mem.worker.xla.same_program import Listing, found, read, stored


@pytest.fixture
def measured(cold_project):
    """The one measurement of the model of analytic.py with `edit` made to its text, and how many programs were compiled."""
    models = shutil.copytree(cold_project.models, cold_project.path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    source = models / "analytic.py"
    original = source.read_text()
    cold_project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")

    def measured(edit=lambda text: text):
        source.write_text(edit(original))
        assert cold_project.run(f"--af3-path={models}").ret == 0
        (row,) = cold_project.measurements()
        return row, len(list((cold_project.cache / "programs").glob("*.json")))

    return measured


def lines(row):
    return [holder["source"] for holder in row["holders"] if holder["source"]]


def moved(row):
    return [f"analytic.py:{int(line.rpartition(':')[2]) + 2}" for line in lines(row)]


def test_a_comment_costs_no_compile_and_an_operation_does(measured):
    before, compiled = measured()
    assert compiled == 1
    after, compiled = measured(lambda text: f"# two lines\n# more\n{text}")
    assert compiled == 1
    assert after["cached"] is False
    assert lines(before)
    assert lines(after) == moved(before)
    same = ("total_bytes", "live_bytes", "kernels", "high_water", "unattributed")
    assert [after[name] for name in same] == [before[name] for name in same]
    other, compiled = measured(lambda text: text.replace("pairs.sum(axis=1)", "pairs.max(axis=1)"))
    assert compiled == 2
    assert other["total_bytes"] == before["total_bytes"]


def test_another_name_of_a_scope_is_another_program(measured):
    measured()
    row, compiled = measured(lambda text: text.replace('"outer_product"', '"pair_product"'))
    assert compiled == 2
    assert "pair_product" in row["high_water"]


PLACES = (("/lib/net/a.py", 10), ("/lib/net/b.py", 10), ("/lib/net/a.py", 20))


def compiled(*sources):
    holders = tuple(Holder("net", "temporary", 8, "f32[2]", source) for source in sources)
    return Compiled(8, 0, 8, 0, 16, Kernels(1), Attribution(holders, {"net": 8}), 4)


def test_what_is_stored_is_read_again():
    program = compiled("net/a.py:10", "")
    assert read(stored(program, Listing("", PLACES))) == (program, [10, 10, 20])


@pytest.mark.parametrize(
    ("places", "sources"),
    [
        (PLACES, ("net/a.py:10", "net/a.py:20")),
        ((("/lib/net/a.py", 12), ("/lib/net/b.py", 9), ("/lib/net/a.py", 20)), ("net/a.py:12", "net/a.py:20")),
        ((("/lib/net/a.py", 12), ("/lib/net/b.py", 9), ("/lib/net/a.py", 12)), None),
        (PLACES[:2], None),
        ((("/lib/net/c.py", 10), *PLACES[1:]), None),
    ],
    ids=["where it was", "moved", "on one line now", "fewer places", "in another file"],
)
def test_lines_are_those_of_the_new_sources_or_it_is_compiled(places, sources):
    program, old = read(stored(compiled("net/a.py:10", "net/a.py:20"), Listing("", PLACES)))
    again = found((program, old), Listing("", places))
    assert (again and tuple(one.source for one in again.attribution.holders)) == sources


def test_lines_of_large_arrays_are_those_of_the_new_sources():
    arrays = tuple(LargeArray("i8[3000000000]", 3 * 10**9, "net", source) for source in ("net/a.py:10", ""))
    program = dataclasses.replace(compiled(), limits=ProgramLimits(large_arrays=arrays))
    again = found(read(stored(program, Listing("", PLACES))), Listing("", (("/lib/net/a.py", 12), *PLACES[1:])))
    assert [one.source for one in again.limits.large_arrays] == ["net/a.py:12", ""]
    assert found(read(stored(program, Listing("", PLACES))), Listing("", (("/lib/net/c.py", 10), *PLACES[1:]))) is None


def test_lines_of_the_timeline_are_those_of_the_new_sources():
    timeline = Timeline(
        1, 8, tuple(Band(name, ((0, 8),), "f32[2]", source) for name, source in (("a", "net/a.py:10"), ("b", "")))
    )
    program = compiled()
    program = dataclasses.replace(program, attribution=dataclasses.replace(program.attribution, timeline=timeline))
    again = found(read(stored(program, Listing("", PLACES))), Listing("", (("/lib/net/a.py", 12), *PLACES[1:])))
    assert [band.source for band in again.attribution.timeline.bands] == ["net/a.py:12", ""]
    assert found(read(stored(program, Listing("", PLACES))), Listing("", (("/lib/net/c.py", 10), *PLACES[1:]))) is None


def test_a_line_that_stands_for_two_is_compiled():
    places = (("/lib/net/a.py", 10), ("/lib/net/a.py", 10))
    new = (("/lib/net/a.py", 11), ("/lib/net/a.py", 12))
    assert found(read(stored(compiled("net/a.py:10"), Listing("", places))), Listing("", new)) is None
