"""XLA flags are part of the question, however they are stated."""

import json

import pytest

from pytest_af3mem import commands


@pytest.fixture
def row(project):
    """What is measured with these options of pytest and these marks, and what pytest printed."""

    def row(*options, marks=()):
        project.gate("af3_tokens(100)", 'af3_budget("1 MiB")', *marks)
        result = project.run(*options)
        result.assert_outcomes(passed=1)
        (found,) = project.measurements()
        return found, result.stdout.str()

    return row


def test_the_containers_flags_go_without_saying(row):
    usual, text = row()
    assert "xla_flags" not in usual["model"]["config"]
    assert "XLA" not in text
    again, _ = row("--af3-flags=container")
    assert again["cached"]


def test_with_default_flags_the_larger_of_two_programs_is_judged(row):
    usual, _ = row()
    found, text = row("--af3-flags=default")
    assert not found["cached"]
    assert found["model"]["config"]["xla_flags"] == "default"
    assert found["least_bytes"] <= found["total_bytes"]
    assert usual["least_bytes"] is None
    assert "af3mem: XLA flags: default" in text


def test_a_marker_states_flags_too(row):
    found, _ = row(marks=['af3_model(xla_flags="--xla_gpu_enable_triton_gemm=true")'])
    assert found["software"]["xla_flags"].startswith("--xla_gpu_enable_triton_gemm=true")
    assert found["least_bytes"] is None


def test_xla_flags_of_the_environment_are_named_and_stand_alone(row, project, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    _, text = row()
    assert "XLA_FLAGS=--xla_gpu_enable_triton_gemm=true stands in the place of the flags of AlphaFold 3's container" in text
    result = project.run("--af3-flags=default")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*xla_flags 'default': XLA_FLAGS is set too: unset it, or state its flags here*"])


def test_a_flag_that_xla_does_not_know_is_not_judged(af3mem, tmp_path):
    status, output, _ = af3mem("measure", "--tokens", "100", "--flags=--xla_nonsense=1", "--json", "-", cache=tmp_path / "cache")
    assert status == commands.NOT_JUDGED
    (found,) = json.loads(output)["measurements"]
    assert "xla_nonsense" in found["reason"]
