"""The workflows in docs/ci.md: what a newcomer pastes must not pass what it should stop."""

import re
import shlex
from pathlib import Path

import pytest

from pytest_af3mem.commands import cli, compare
from pytest_af3mem.commands.arguments import whole_numbers

yaml = pytest.importorskip("yaml")
TEXT = Path(__file__).parents[2].joinpath("docs", "ci.md").read_text()
BLOCKS = {name: yaml.safe_load(block) for name, block in re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)}
GATE, ACCEPT = (BLOCKS[f".github/workflows/{name}.yml"] for name in ("memory", "accept-memory"))


def steps(workflow, job):
    return workflow["jobs"][job]["steps"]


def test_the_gate_measures_the_merge_and_writes_nothing():
    assert GATE["permissions"] == {"contents": "read"}
    checkout, *_ = steps(GATE, "gate")
    assert "ref" not in checkout.get("with", {})
    assert "update-baseline" not in str(GATE)


def test_the_gate_is_never_skipped_and_knows_no_labels():
    assert GATE[True] == "pull_request"  # YAML 1.1 reads `on` so
    assert "if" not in GATE["jobs"]["gate"]


def test_accepting_takes_the_very_label_on_a_branch_of_this_repository():
    assert ACCEPT[True] == {"pull_request": {"types": ["labeled"]}}
    job = ACCEPT["jobs"]["accept"]
    assert job["if"].split(" && ") == [
        "github.event.action == 'labeled'",
        "github.event.label.name == 'accept-memory'",
        "github.event.pull_request.head.repo.full_name == github.repository",
    ]
    assert (ACCEPT["permissions"], job["permissions"]) == ({}, {"contents": "write", "pull-requests": "write"})


def test_the_commit_that_was_labelled_is_accepted_and_the_label_goes():
    checkout, *_, push, label = steps(ACCEPT, "accept")
    assert checkout["with"]["ref"] == "${{ github.event.pull_request.head.sha }}"
    assert push["run"].splitlines()[-1] == 'git push origin "HEAD:refs/heads/$BRANCH"'
    assert label["if"] == "always()"
    assert label["run"].endswith("--remove-label accept-memory")


def test_no_text_from_outside_is_pasted_into_a_shell():
    scripts = [
        step["run"] for workflow in (GATE, ACCEPT) for job in workflow["jobs"] for step in steps(workflow, job) if "run" in step
    ]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("recommended", [re.search(r"af3_tokens\((.*?)\)", TEXT)[1], compare.SIZES], ids=["ci.md", "compare"])
def test_sizes_lie_on_both_sides_of_the_thresholds_of_the_config(recommended):
    found = whole_numbers(recommended)
    for least, most in ((1, 1536), (1537, 2048), (2049, 2560)):  # chunks of attention, then shards of transitions
        assert any(least <= size <= most for size in found)


def test_the_cache_of_the_gate_does_not_grow_with_each_commit():
    names = [step.get("uses", step.get("run", "")).split("@")[0].strip() for step in steps(GATE, "gate")]
    (cache,) = [step for step in steps(GATE, "gate") if step.get("uses", "").startswith("actions/cache@")]
    assert cache["with"]["key"] == "af3mem-${{ steps.now.outputs.key }}"
    *_, tests, freed = [name for name in names if name.startswith(("pytest", "af3mem cache"))]
    assert tests.startswith("pytest tests/memory")
    command, *arguments = shlex.split(freed)
    assert command == "af3mem"
    parsed = cli._parser().parse_args(arguments)
    assert (parsed.older_than, parsed.keep_under) == ("30d", "1 GiB")
    assert freed in BLOCKS[".gitlab-ci.yml"]["gpu-memory"]["script"]
