"""What the plugin says of itself, and the three places in which an option can be set."""

import re
import shlex

import pytest

from pytest_af3mem.commands import cli
from pytest_af3mem.session.settings import OPTIONS

FLAGS = ["--af3-gpu", *(option.flag for option in OPTIONS)]


def test_help_names_every_option_and_ini_key(pytester):
    text = pytester.runpytest_inprocess("--help").stdout.str()
    group = text.partition("GPU memory of AlphaFold 3 (pytest-af3mem):\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (--af3-[\w-]+)", group, re.MULTILINE) == FLAGS
    assert "run the tests that measure GPU memory" in group
    assert re.findall(r"^  (af3_\w+)", text, re.MULTILINE) == [flag[2:].replace("-", "_") for flag in FLAGS]


def test_markers_are_described(pytester):
    lines = [line for line in pytester.runpytest_inprocess("--markers").outlines if line.startswith("@pytest.mark.af3_")]
    assert [line.partition(":")[0] for line in lines] == [
        "@pytest.mark.af3_tokens(*sizes, up_to=None, **job_options)",
        "@pytest.mark.af3_budget(size, target=None)",
        "@pytest.mark.af3_baseline(tolerance=None)",
        "@pytest.mark.af3_model(**settings)",
    ]


def test_markers_are_registered(project):
    project.gate("af3_tokens(100)", 'af3_budget("1 MiB")', "af3_baseline", "af3_model(width=32)")
    assert project.run("--strict-markers", "-Werror", "--af3-baseline=memory.json", "--af3-update-baseline").ret == 0


def test_the_fixture_is_described(pytester):
    pytester.runpytest_inprocess("--fixtures").stdout.fnmatch_lines(
        [
            "gpu_peak [[]session scope[]] -- *",
            '    Peak GPU memory of AlphaFold 3 inference: `gpu_peak(tokens=1024) <= "12 GiB"`.',
        ]
    )


def test_the_header_says_what_is_measured_how(project):
    project.write(test_any="def test_any(): ...")
    header = [line for line in project.run("--af3-workers=2", "--af3-target=L4-24GB").outlines if line.startswith("af3mem: ")]
    assert header[0] == "af3mem: compiled for l4-24gb (sm_89, 21.99 GiB), 2 workers"
    assert re.fullmatch(r"af3mem: analytic 1\.0, jax [\d.]+, (tokamax [\d.]+, )?jax-cuda\d+-plugin [\d.]+", header[1])
    header = [line for line in project.run("--af3-workers=1").outlines if line.startswith("af3mem: ")]
    assert header[0] == "af3mem: compiled for h100-80gb (sm_90, 79.11 GiB), 1 worker"


def test_without_the_option_there_is_no_header_and_no_summary(pytester):
    pytester.makepyfile("def test_any(): ...")
    assert "GPU memory" not in pytester.runpytest_inprocess().stdout.str()


def test_nothing_is_said_where_nothing_was_measured(project):
    project.write(test_any="def test_any(): ...")
    assert "GPU memory" not in project.run().stdout.str()


@pytest.fixture
def target_of(project):
    """The target of a run, as its header tells."""

    def run(*options):
        (line,) = [line for line in project.run("--collect-only", *options).outlines if line.startswith("af3mem: ")]
        return line.split()[3]

    return run


def test_the_command_line_beats_the_environment_which_beats_the_ini_file(target_of, pytester, monkeypatch):
    assert target_of() == "h100-80gb"
    pytester.makeini("[pytest]\naf3_target = l4-24gb")
    assert target_of() == "l4-24gb"
    monkeypatch.setenv("AF3MEM_TARGET", "b200-180gb")
    assert target_of() == "b200-180gb"
    assert target_of("--af3-target=a100-40gb") == "a100-40gb"


@pytest.mark.parametrize("place", ["ini", "environment"])
def test_every_option_can_be_set_elsewhere(project, monkeypatch, place):
    project.write(test_fit="def test_any(gpu_peak): gpu_peak(tokens=100)")
    values = {
        "gpu": "yes",
        "method": "auto",
        "target": "h100-80gb",
        "model": "analytic:Analytic",
        "path": str(project.models),
        "buckets": "120,240",
        "json": "elsewhere.json",
        "markdown": "elsewhere.md",
        "all_holders": "yes",
        "baseline": "memory.json",
        "update_baseline": "no",
        "tolerance": "1 MiB",
        "workers": "1",
        "timeout": "60",
        "cache_dir": str(project.cache),
        "no_cache": "no",
    }
    if place == "ini":
        project.pytester.makeini("\n".join(["[pytest]", *(f"af3_{name} = {value}" for name, value in values.items())]))
    else:
        for name, value in values.items():
            monkeypatch.setenv(f"AF3MEM_{name.upper()}", value)
    assert project.pytester.runpytest_inprocess("-p", "no:hypothesispytest").ret == 0
    (row,) = project.measurements("elsewhere.json")
    assert (project.path / "elsewhere.md").exists()
    assert (row["bucket"], row["argument_bytes"]) == (120, 4 * (32 + 120))


def test_the_command_of_a_row_measures_it_again(project):
    project.gate("af3_tokens(100, chains=2, seed=5)", "af3_model(width=7)")
    project.run("--af3-buckets=110,220", "--af3-target=a100-40gb/1g.5gb")
    (row,) = project.measurements()
    program, *arguments = shlex.split(row["command"])
    assert program == "af3mem"
    assert cli.main([*arguments, "--cache-dir", str(project.cache), "--json", str(project.path / "again.json")]) == 0
    (again,) = project.measurements("again.json")
    differing = {name for name in row if row[name] != again[name]}
    assert differing <= {"test", "seconds", "cached"}
