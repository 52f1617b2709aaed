"""Targets that a file describes, from the command line to the report."""

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.gpus import targets

CONFIG = gpus.find("l4-24gb").target_config()


@pytest.fixture
def small(project, monkeypatch):
    """A project with a target of its own, and how often a test of it is measured."""
    monkeypatch.setattr(targets, "_learnt", {})
    (project.path / "mine.txtpb").write_text(CONFIG)
    project.gate("af3_tokens(100)", 'af3_budget("50 %")')
    return project


def test_a_file_that_changes_is_measured_anew(small):
    found = []
    for config in (CONFIG, CONFIG, CONFIG.replace("core_count: 58", "core_count: 57")):
        (small.path / "mine.txtpb").write_text(config)
        small.run("--af3-target=mine.txtpb").assert_outcomes(passed=1)
        found += small.measurements()
    assert [one["cached"] for one in found] == [False, True, False]
    assert found[0]["target"] == found[1]["target"] != found[2]["target"]
    assert found[0]["target"].startswith("mine-")
    assert found[0]["target_config"] == CONFIG
    assert found[0]["budget_bytes"] == 23_612_293_120 // 2


def test_a_file_beside_the_ini_file(small):
    (small.path / "pytest.ini").write_text("[pytest]\naf3_target = mine.txtpb\n")
    run = small.pytester.runpytest_subprocess("--rootdir=.", "-c", "pytest.ini", *small.options())
    run.assert_outcomes(passed=1)
    assert small.measurements()[0]["target"].startswith("mine-")


def test_workers_of_xdist_bring_it_along(small):
    small.gate("af3_tokens(100)", 'af3_budget("20 GiB", target="mine.txtpb")')
    run = small.run_apart("-n1", "--af3-html=report.html", "-p", "no:cacheprovider")
    run.assert_outcomes(passed=1)
    assert "NVIDIA L4, 21.99 GiB, compute capability 8.9" in (small.path / "report.html").read_text()


def test_a_file_that_does_not_do(small):
    (small.path / "mine.txtpb").write_text(CONFIG.replace("CUDA", "ROCM"))
    run = small.run("--af3-target=mine.txtpb")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(['*target \'*mine.txtpb\' has platform_name "ROCM" and must have "CUDA"*'])
