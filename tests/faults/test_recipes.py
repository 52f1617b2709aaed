"""The workflows in docs/ci.md, the action and the hook: what a newcomer pastes must not pass what it should stop."""

import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest

from pytest_af3mem.commands import cli, compare
from pytest_af3mem.commands.arguments import whole_numbers
from pytest_af3mem.session.settings import OPTIONS

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
TEXT = ROOT.joinpath("docs", "ci.md").read_text()
BLOCKS = {name: yaml.safe_load(block) for name, block in re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.DOTALL)}
GATE, ACCEPT = (BLOCKS[f".github/workflows/{name}.yml"] for name in ("memory", "accept-memory"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
PARTS = [yaml.safe_load(textwrap.dedent(block)) for block in re.findall(r"```yaml\n( +.*?)```", TEXT, re.DOTALL)]
COMMENT = next(part["comment"] for part in PARTS if "comment" in part)


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
    scripts += [step["run"] for step in (*ACTION["runs"]["steps"], *COMMENT["steps"]) if "run" in step]
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


# -- The action and the hook


def test_all_that_the_action_sets_are_settings_and_all_that_it_takes_is_used():
    inputs = ACTION["inputs"]
    assert all(isinstance(one["default"], str) and one["description"] for one in inputs.values())
    (gate,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "gate"]
    stated = {name for name in gate["env"] if name.startswith("AF3MEM_")}
    assert stated <= {"AF3MEM_GPU", *(option.variable for option in OPTIONS)}
    assert {"AF3MEM_GPU", "AF3MEM_TARGET", "AF3MEM_BASELINE", "AF3MEM_JSON", "AF3MEM_MARKDOWN"} <= stated
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(inputs)
    assert gate["run"].splitlines()[-1] == 'python -m pytest "${arguments[@]}"'


def test_the_action_keeps_the_cache_of_the_gate_in_the_docs():
    def cached(found):
        (cache,) = [step["with"] for step in found if step.get("uses", "").startswith("actions/cache@")]
        (now,) = [step["run"] for step in found if step.get("id") == "now"]
        (freed,) = [step["run"] for step in found if step.get("run", "").startswith("af3mem cache")]
        return cache, now.replace("python -m pip", "pip"), freed

    assert cached(ACTION["runs"]["steps"]) == cached(steps(GATE, "gate"))


def test_each_script_of_the_action_names_its_shell():
    assert [step["shell"] for step in ACTION["runs"]["steps"] if "run" in step] == ["bash"] * 4


def test_the_arguments_of_the_action_are_one_a_line(tmp_path):
    """As bash reads them: blanks stay, and nothing is expanded."""
    (gate,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "gate"]
    (tmp_path / "python").write_text('#!/bin/sh\nshift 2\nfor one; do printf "%s\\n" "<$one>"; done\n')
    (tmp_path / "python").chmod(0o755)
    said = {"TESTS": "tests/a b\n\ntests/*", "OPTIONS": "-k\nx and $(id)", "AF3MEM_MARKDOWN": "r/memory.md"}
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_OUTPUT": str(tmp_path / "output"), **said}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", gate["run"]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["<tests/a b>", "<tests/*>", "<-k>", "<x and $(id)>"]
    assert (tmp_path / "output").read_text() == "markdown=r/memory.md\n"


def options_of(text):
    return set(re.findall(r"--af3(?:-[a-z]+)+", text))


def test_options_of_the_hook_and_of_the_docs_exist():
    known = {"--af3-gpu", *(option.flag for option in OPTIONS)}
    (repo,) = BLOCKS[".pre-commit-config.yaml"]["repos"]
    (pasted,) = repo["hooks"]
    assert pasted["id"] == HOOK["id"]
    assert options_of(str(HOOK)) >= {"--af3-gpu", "--af3-baseline"}
    assert options_of(str(HOOK)) | options_of(TEXT) <= known
    assert HOOK["entry"] == "pytest --af3-gpu"
    assert (HOOK["pass_filenames"], HOOK["stages"]) == (False, ["pre-push"])


def test_what_comments_runs_nothing_of_the_pull_request():
    assert COMMENT["permissions"] == {"pull-requests": "write"}
    assert "head.repo.full_name == github.repository" in COMMENT["if"]
    assert not [step for step in COMMENT["steps"] if "checkout" in step.get("uses", "")]


def test_the_chart_is_made_of_a_command_that_exists():
    *_, made, chart = steps(BLOCKS[".github/workflows/memory-chart.yml"], "chart")
    parsed = cli._parser().parse_args(shlex.split(made["run"])[1:])
    assert (str(parsed.benchmark_json), chart["with"]["tool"]) == (chart["with"]["output-file-path"], "customSmallerIsBetter")
