"""Lines that are pasted into a shell say what they mean, whatever files are called."""

import shlex
import subprocess
from pathlib import Path

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, shown
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.job_folder import Broken, Place, Plan, Planned
from pytest_af3mem.reports import job_folder as report
from pytest_af3mem.reports.cluster_site import Site

SMALL, LARGE = gpus.find("l4-24gb"), gpus.find("h100-80gb")
GIB = 2**30


@pytest.fixture
def lines(a_peak):
    """The report of jobs, each a place and the GiB that it needs (None: not judged)."""

    def run(*jobs, broken=()):
        planned = []
        for where, gib in jobs:
            answer = NotJudged("no reason") if gib is None else a_peak(total_bytes=gib * GIB)
            planned.append(Planned(where, "name", 1000, 1024, (answer, answer)))
        return report.render_text(Plan((SMALL, LARGE), Size.parse("95 %"), tuple(planned), tuple(broken)), Site()).splitlines()

    return run


def slurm(lines):
    return [line for line in lines if line.startswith("sbatch")]


@pytest.mark.parametrize(
    "name",
    [
        "a b.json",
        "$(touch hacked) y.json",
        "it's; touch hacked;.json",
        "-x.json",
        "new\nline.json",
        "\x1b[31mred'\\.json",
        "##[error]x.json",
        "é\u202e.json",
    ],
)
def test_a_shell_reads_the_very_name(lines, tmp_path, name):
    (line,) = slurm(lines((Place(Path(name)), 1)))
    assert shown(line) == line
    script = f'sbatch() {{ for word in "$@"; do printf "%s\\0" "$word"; done; }}; {line}'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    *_, script, file = done.stdout.split("\0")[:-1]
    assert (script, Path(file)) == ("run_alphafold.sbatch", Path(name))
    assert file[0] != "-"
    assert not list(tmp_path.iterdir())


def test_names_of_gpus_are_quoted_too(a_peak):
    planned = Planned(Place(Path("a.json")), "name", 1000, 1024, (a_peak(total_bytes=GIB),))
    plan = Plan((SMALL,), Size.parse("95 %"), (planned,), ())
    (line,) = slurm(report.render_text(plan, Site({"l4-24gb": "l4; rm"})).splitlines())
    assert shlex.split(line) == ["sbatch", "--gres=gpu:l4; rm:1", "run_alphafold.sbatch", "a.json"]


LIST = Path("list.json")


def test_a_file_of_several_jobs_has_one_line_for_the_target_that_fits_all(lines):
    assert slurm(lines((Place(LIST, 0, 2), 1), (Place(LIST, 1, 2), 30))) == [
        "sbatch --gres=gpu:nvidia_h100_80gb_hbm3:1 run_alphafold.sbatch list.json"
    ]


@pytest.mark.parametrize("gib", [100, None])
def test_without_such_a_target_it_says_which_job_is_in_the_way(lines, gib):
    told = lines((Place(LIST, 0, 2), 1), (Place(LIST, 1, 2), gib))
    assert not slurm(told)
    assert "no line for Slurm: list.json runs its 2 jobs one after the other, and no target is known that fits number 2" in told


def test_no_line_while_a_job_of_the_file_is_left_out(lines):
    told = lines((Place(LIST, 0, 2), 1), broken=[Broken(Place(LIST, 1, 2), "has no tokens")])
    assert not slurm(told)
    assert any(line.endswith("no target is known that fits number 2") for line in told)


def test_no_name_or_reason_starts_a_line_of_its_own(lines):
    bad = Place(Path("a\n::error::b.json"))
    for line in lines((bad, 100), (bad, None), broken=[Broken(bad, "x\n::error::y")]):
        assert line == "" or line.isprintable()
        assert not line.lstrip().startswith("::")


def test_markdown_has_the_jobs_and_the_lines(a_peak):
    planned = Planned(Place(Path("a|b.json")), "name", 1000, 1024, (a_peak(total_bytes=GIB),))
    text = report.render_markdown(Plan((SMALL,), Size.parse("95 %"), (planned,), ()), Site())
    assert text.splitlines() == [
        "| tokens | bucket | needs | smallest that fits | job |",
        "| ---: | ---: | ---: | --- | --- |",
        "| 1000 | 1024 | 1.00 GiB | l4-24gb | a\\|b.json 'name' |",
        "",
        "    sbatch --gres=gpu:nvidia_l4:1 run_alphafold.sbatch 'a|b.json'",
    ]
