"""Reports and answers of `af3mem`: each goes where it was asked to, whole, and what fails costs no other."""

import json
import os
from pathlib import Path

import pytest
from mmcif_texts import ATOMS, BONDS, a_component

from pytest_af3mem import commands
from pytest_af3mem.commands import arguments, calibrate, cli
from pytest_af3mem.errors import SetupError
from pytest_af3mem.session import reproduce, session
from pytest_af3mem.session.settings import Settings


def job(name="mine", **chain):
    chain = chain or {"protein": {"id": "A", "sequence": "M" * 100}}
    return {"dialect": "alphafold3", "version": 1, "name": name, "modelSeeds": [1], "sequences": [chain]}


@pytest.fixture
def af3mem(capsys, monkeypatch, tmp_path):
    """`af3mem` on a machine without AlphaFold 3: its worker says so at the first question."""

    def nothing(*arguments):
        raise SetupError("AlphaFold 3 is not installed: pip install it")

    monkeypatch.setattr("pytest_af3mem.session.pool.Pool.installation", property(nothing))
    monkeypatch.setattr("pytest_af3mem.session.pool.Pool.components", property(nothing))

    def run(*arguments):
        status = cli.main([*map(str, arguments[:1]), "--cache-dir", str(tmp_path / "cache"), *map(str, arguments[1:])])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(job()))
    return folder


def test_tokens_need_no_alphafold3(af3mem, folder):
    status, output, errors = af3mem("tokens", folder)
    assert (status, output.splitlines()[1].split()) == (commands.OK, ["100", "128", "28", f"{folder}/a.json", "'mine'"])
    assert errors == (
        "af3mem: buckets are those of AlphaFold 3's latest known release, for AlphaFold 3 is not installed: pip install it\n"
    )
    assert af3mem("tokens", folder, "--buckets", "110")[2] == ""


def test_a_ligand_alone_needs_its_dictionary(af3mem, folder):
    (folder / "b.json").write_text(json.dumps(job(ligand={"id": "A", "ccdCodes": ["ATP"]})))
    status, output, errors = af3mem("tokens", folder, "--buckets", "110")
    assert (status, len(output.splitlines())) == (commands.USAGE, 2)
    needed = "counted by the chemical component dictionary: AlphaFold 3 is not installed: pip install it"
    assert errors == f"af3mem: '{folder}/b.json': ATP: {needed}\n"


OWN = a_component(ATOMS[:2], BONDS[:1], "LIG-1")


@pytest.mark.parametrize(
    ("parts", "tokens", "needed"),
    [
        ({"protein": {"modifications": [{"ptmType": "MSE", "ptmPosition": 1}]}}, 100, ""),
        ({"protein": {"modifications": [{"ptmType": "SEP", "ptmPosition": 1}]}}, None, "SEP"),
        ({"ligand": {"ccdCodes": ["LIG-1"]}, "userCCD": OWN}, 2, ""),
        ({"ligand": {"ccdCodes": ["LIG"]}, "userCCD": OWN.replace("LIG-1", "LIG")}, None, "LIG"),
        ({"ligand": {"ccdCodes": ["LIG-1", "MG", "ATP"]}, "userCCD": OWN}, None, "MG, ATP"),
        ({"protein": {"sequence": "MCC"}, "bondedAtomPairs": [[["A", 2, "SG"], ["A", 3, "SG"]]]}, None, "CYS"),
    ],
)
def test_a_component_is_needed_only_where_it_decides_the_count(af3mem, folder, parts, tokens, needed):
    kind, chain = next(iter(parts.items()))
    usual = {"sequence": "M" * 100} if kind == "protein" else {}
    more = {name: value for name, value in parts.items() if name != kind}
    (folder / "a.json").write_text(json.dumps({**job(**{kind: {"id": "A", **usual, **chain}}), "version": 2, **more}))
    status, output, errors = af3mem("tokens", folder, "--buckets", "110")
    if needed:
        assert (status, f"a.json': {needed}: counted by" in errors) == (commands.USAGE, True)
    else:
        assert (status, output.splitlines()[1].split()[0], errors) == (commands.OK, str(tokens), "")


def test_of_a_file_of_several_jobs_those_are_counted_that_can_be(af3mem, folder):
    """As AlphaFold Server's, of which one has a ligand."""
    chains = {
        "protein": {"proteinChain": {"sequence": "M" * 100, "count": 1}},
        "ligand": {"ligand": {"ligand": "CCD_ATP", "count": 1}},
    }
    (folder / "a.json").write_text(json.dumps([{"name": name, "sequences": [chain]} for name, chain in chains.items()]))
    status, output, errors = af3mem("tokens", folder, "--buckets", "110")
    assert (status, [line.split()[0] for line in output.splitlines()]) == (commands.USAGE, ["tokens", "100"])
    assert errors.startswith(
        f"af3mem: '{folder}/a.json[1]': ATP: counted by the chemical component dictionary: AlphaFold 3 is not"
    )


def test_tokens_as_json(af3mem, folder):
    (folder / "broken.json").write_text("{")
    status, output, _ = af3mem("tokens", folder, "--buckets", "110", "--json", "-")
    report = json.loads(output)
    assert status == commands.USAGE
    assert report["buckets"] == [110]
    (found,) = report["jobs"]
    assert found == {
        "job": f"{folder}/a.json",
        "file": f"{folder}/a.json",
        "index": 0,
        "name": "mine",
        "tokens": 100,
        "bucket": 110,
        "padding": 10,
        "notes": [],
    }
    assert [one["job"] for one in report["broken"]] == [f"{folder}/broken.json"]


@pytest.mark.parametrize("error", [TypeError("unforeseen"), MemoryError()])
def test_a_file_that_breaks_us_loses_no_other(af3mem, folder, monkeypatch, error):
    (folder / "b.json").write_text("{}")
    read = session.reading.read

    def reading(path, **options):
        if path.name == "b.json":
            raise error
        return read(path, **options)

    monkeypatch.setattr(session.reading, "read", reading)
    status, output, errors = af3mem("tokens", folder, "--buckets", "110")
    assert (status, len(output.splitlines())) == (commands.USAGE, 2)
    assert errors.startswith(f"af3mem: '{folder}/b.json': pytest-af3mem fails here, please report it: {type(error).__name__}")


def test_doctor_as_json(af3mem):
    status, output, _ = af3mem("doctor", "--json", "-")
    report = json.loads(output)
    assert status == commands.USAGE
    assert (report["healthy"], report["problem"]) == (False, "AlphaFold 3 is not installed: pip install it")


def test_calibrate_writes_its_report_to_standard_output(capsys, monkeypatch, tmp_path, a_request, a_peak, a_run):
    monkeypatch.chdir(tmp_path)
    pair = calibrate.calibrate.CompiledAndRun(a_request(), a_peak(), a_run())
    monkeypatch.setattr(calibrate.calibrate, "measure", lambda *arguments: [pair])
    assert cli.main(["calibrate", "--cache-dir", str(tmp_path / "cache"), "--json", "-"]) == commands.OK
    assert len(json.loads(capsys.readouterr().out)["measurements"]) == 2
    assert not (tmp_path / "-").exists()


def test_a_report_that_does_not_fit_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SetupError, match=r"the report .*report\.json cannot be written: No space left on device"):
        arguments.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_keeps_its_mode_and_links_and_devices_stay(tmp_path):
    path, link = tmp_path / "report.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o604)
    link.symlink_to(path)
    arguments.write(path, "new")
    arguments.write(link, "newer")
    assert (path.read_text(), path.stat().st_mode & 0o777, link.is_symlink()) == ("newer", 0o604, True)
    arguments.write(Path(os.devnull), "gone")
    with pytest.raises(SetupError, match="the report /dev/full cannot be written: No space left on device"):
        arguments.write(Path("/dev/full"), "lost")


@pytest.mark.parametrize(
    "text", ["x=" + "1+" * 50_000 + "1", "x=" + "[" * 10_000, "x=" + "-" * 100_000 + "1", "x=\0", "x=(", "x=0x" + "f" * 5000]
)
def test_any_setting_is_text_at_worst(text):
    assert reproduce.setting(text) == ("x", text[2:])
    assert arguments.axis(text.replace(",", ""))[0] == "x"


def test_two_reports_on_standard_output(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = Settings.read({"json": "-", "markdown": "-"})
    arguments.deliver(settings, "text\n", "{}", "# Title\n")
    assert capsys.readouterr().out == "{}\n# Title\n"
    assert list(tmp_path.iterdir()) == []


def test_several_files_of_reports(tmp_path, capsys):
    settings = Settings(json=tmp_path / "a.json", markdown=tmp_path / "a.md")
    arguments.deliver(settings, "text\n", "{}", "é\udcff")
    assert capsys.readouterr().out == "text\n"
    assert (tmp_path / "a.md").read_bytes() == "é\\udcff".encode()


@pytest.fixture
def plan(project, capsys):
    """`af3mem plan` with the small model of tests/models."""

    def run(*arguments):
        status = cli.main(["plan", *project.where(), *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_plan_goes_on_after_a_file_that_breaks_us_and_writes_what_it_found(plan, folder, monkeypatch):
    (folder / "b.json").write_text(json.dumps(job("breaks")))
    read = session.reading.read

    def reading(path, **options):
        if path.name == "b.json":
            raise TypeError("unforeseen\n::error::")
        return read(path, **options)

    monkeypatch.setattr(session.reading, "read", reading)
    status, output, errors = plan(folder, "--target", "l4-24gb", "--markdown", folder / "plan.md")
    assert (status, errors) == (commands.USAGE, "")
    assert f"sbatch --gres=gpu:nvidia_l4:1 run_alphafold.sbatch {folder}/a.json" in output.splitlines()
    left_out = f"left out: {folder}/b.json: pytest-af3mem fails here, please report it: TypeError: unforeseen"
    assert left_out in output.splitlines()
    lines = (folder / "plan.md").read_text().splitlines()
    assert f"| 100 | 128 | 65.12 KiB | l4-24gb | {folder}/a.json 'mine' |" in lines
    assert f"- {left_out}" in lines


def test_errors_are_one_line(plan):
    status, _, errors = plan("--set", "a\n::error::=1e999")
    assert (status, len(errors.splitlines())) == (commands.USAGE, 1)
