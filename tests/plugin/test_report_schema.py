"""Reports that pytest and `af3mem` write are what the JSON Schema says that ships with them."""

import json
from importlib.resources import files

import pytest

jsonschema = pytest.importorskip("jsonschema")

GATE = """
    import pytest

    @pytest.mark.af3_tokens(100, 500)
    @pytest.mark.af3_budget("100 KiB")
    def test_budget(): ...

    @pytest.mark.af3_tokens(100, 200, 500)
    @pytest.mark.af3_baseline
    def test_baseline(): ...

    @pytest.mark.af3_tokens(100)
    @pytest.mark.af3_model(width=-1)
    @pytest.mark.af3_budget("1 GiB")
    def test_breaks(): ...

    def test_no_limit(gpu_peak):
        gpu_peak(tokens=100)
"""


@pytest.fixture
def valid():
    schema = json.loads(files("pytest_af3mem.reports").joinpath("report.schema.json").read_text())
    return lambda text: jsonschema.Draft202012Validator(schema).validate(json.loads(text))


def test_a_report_with_every_verdict(project, valid):
    project.write(test_fit=GATE)
    project.run("--af3-baseline=memory.json", "--af3-update-baseline", "-k", "baseline and not 500")
    accepted = json.loads((project.path / "memory.json").read_text())
    for entry, changed in zip(accepted["measurements"], (1, -1), strict=True):
        entry["total_bytes"] += changed
    (project.path / "memory.json").write_text(json.dumps(accepted))
    project.run("--af3-baseline=memory.json", "--af3-tolerance-below=0", "--af3-all-holders")
    valid((project.path / "report.json").read_text())
    verdicts = {(one["test"].partition("::")[2], one["verdict"]) for one in project.measurements()}
    assert verdicts == {
        ("test_budget[100]", "within"),
        ("test_budget[500]", "over"),
        ("test_baseline[100]", "below"),
        ("test_baseline[200]", "over"),
        ("test_baseline[500]", "not judged"),
        ("test_breaks[100]", "not judged"),
        ("test_no_limit", None),
    }


def test_a_report_of_no_measurement(project, valid):
    project.write(test_fit="def test_any(): ...")
    project.run()
    valid((project.path / "report.json").read_text())


@pytest.mark.parametrize("command", ["measure", "sweep", "vary"])
def test_commands_that_measure(af3mem, valid, command):
    """`sweep` and `vary` say more of each measurement."""
    about = {"vary": ("--over", "width=8,16"), "sweep": ("--over", "width=8,16")}.get(command, ("--budget", "1 GiB"))
    status, output, _ = af3mem(command, "--tokens", "100", *about, "--json", "-")
    assert status == 0
    valid(output)
