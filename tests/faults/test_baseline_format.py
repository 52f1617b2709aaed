"""A baseline that is written can be read, and shows in a review what changed."""

import dataclasses
import json
import stat

import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.plugin import baseline_file
from pytest_af3mem.records.baseline import Baseline, Entry
from pytest_af3mem.records.holders import by_component
from pytest_af3mem.records.peak import Holder, Model
from pytest_af3mem.records.verdict import Reference, judge
from pytest_af3mem.reports import growth
from pytest_af3mem.reports import json as report

ODD = {"cutoff": float("inf"), "eps": float("nan"), "rows": (1, 2), "kind": complex(1, 2)}
HELD = (("batch/msa", 2**20), ("batch/residues", 2**10), ("evoformer", 5 * 2**30))


@pytest.fixture
def an_odd_peak(a_peak):
    return a_peak(model=Model("mine", "mine 1.0", "sha256:0", ODD))


@pytest.fixture
def a_held_peak(a_peak):
    return a_peak(holders=tuple(Holder(name, "temporary", size) for name, size in HELD))


def test_infinities_of_a_config_are_text(tmp_path, an_odd_peak):
    path = tmp_path / "memory.json"
    entry = Entry.of("t", an_odd_peak)
    baseline_file.change(path, lambda found: found.updated([entry]))
    (found,) = baseline_file.read(path).entries
    assert found.config == {"cutoff": "inf", "eps": "nan", "rows": [1, 2], "kind": "(1+2j)"}
    assert Baseline((found,)).find(Entry.of("t", an_odd_peak)) == found


def test_a_report_is_json_for_every_reader(a_measurement, an_odd_peak):
    def refuse(constant):
        raise AssertionError(constant)

    text = report.render([a_measurement(peak=an_odd_peak)])
    assert json.loads(text, parse_constant=refuse)["measurements"][0]["model"]["config"]["cutoff"] == "inf"


def test_a_model_with_an_infinite_setting_is_accepted_and_found_again(project):
    project.write(
        test_peak="""
        import pytest

        @pytest.mark.af3_tokens(100)
        @pytest.mark.af3_baseline
        def test_peak(): ...
        """,
        endless="""
        import dataclasses
        import analytic

        class Model(analytic.Analytic):
            packages = ()
            def forward(self, settings, capability):
                return dataclasses.replace(super().forward(settings, capability), config={"cutoff": float("inf")})
        """,
    )
    how = ("--af3-baseline=memory.json",)
    project.run(*how, "--af3-update-baseline", model="endless:Model").assert_outcomes(passed=1)
    project.run(*how, model="endless:Model").assert_outcomes(passed=1)


def test_what_could_not_be_read_is_not_written(tmp_path, a_peak):
    path = tmp_path / "memory.json"
    path.write_text(Baseline((Entry.of("t", a_peak()),)).render())
    before = path.read_text()
    for entry in (
        Entry.of("t", a_peak(model=Model("", "d", "f", {}))),
        dataclasses.replace(Entry.of("t", a_peak()), total_bytes=2**63),
    ):
        with pytest.raises(UsageError, match="is left as it is, for what would be written cannot be read: measurements"):
            baseline_file.change(path, lambda found, entry=entry: found.updated([entry]))
        assert path.read_text() == before


@pytest.mark.parametrize("mode", [0o664, 0o600])
def test_its_mode_is_kept(tmp_path, a_peak, mode):
    path = tmp_path / "memory.json"
    path.write_text(Baseline().render())
    path.chmod(mode)
    baseline_file.change(path, lambda found: found.updated([Entry.of("t", a_peak())]))
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_each_component_has_a_line_of_its_own_and_features_one_for_all(a_held_peak):
    text = Baseline((Entry.of("t", a_held_peak),)).render()
    lines = text.splitlines()
    start = lines.index(' "components": {')
    assert lines[start + 1 : start + 3] == ['  "batch": 1049600,', '  "evoformer": 5368709120},']
    assert Baseline.parse(text).render() == text


def test_a_file_with_a_line_of_components_is_still_read(a_held_peak):
    entry = Entry.of("t", a_held_peak)
    old = dataclasses.replace(entry, components=by_component(a_held_peak))
    flat = json.dumps({"schema": 1, "measurements": [old.to_json()]})
    (found,) = Baseline.parse(flat).entries
    assert found.components == dict(HELD)
    assert growth.grew(found, a_held_peak) == []


def test_another_distribution_is_told_where_the_test_passes(a_peak, a_measurement):
    peak = a_peak()
    entry = dataclasses.replace(Entry.of("t", peak), distribution="alphafold3 3.0.4, a source tree")
    verdict = judge(peak, None, Reference(entry))
    assert verdict.line.endswith("; the baseline is of model alphafold3 3.0.4, a source tree, now alphafold3-colabfold 3.1.18")
    rows = [a_measurement(peak=peak, verdict=verdict, baseline=entry)] * 2
    assert growth.versions(rows) == [
        "the baseline of 2 measurements is of model alphafold3 3.0.4, a source tree, now alphafold3-colabfold 3.1.18"
    ]


def test_a_run_says_it_once(project):
    project.gate("af3_tokens(100, 120)", "af3_baseline")
    how = ("--af3-baseline=memory.json", "--af3-markdown=memory.md")
    project.run(*how, "--af3-update-baseline").assert_outcomes(passed=2)
    file = project.path / "memory.json"
    file.write_text(file.read_text().replace("analytic 1.0", "analytic 0.9"))
    result = project.run(*how)
    result.assert_outcomes(passed=2)
    line = "the baseline of 2 measurements is of model analytic 0.9, now analytic 1.0"
    assert result.stdout.str().count(line) == 1
    assert line in (project.path / "memory.md").read_text()
