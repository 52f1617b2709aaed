"""`af3mem bisect`, with the small model of tests/models, measured by workers."""

import pytest
from git_repository import Repository

from pytest_af3mem import commands
from pytest_af3mem.commands import cli

LARGER = {
    "positions[:, None] * positions[None, :]": "jnp.stack([positions[:, None] * positions[None, :]] * 2)",
    "pairs.sum(axis=1)": "pairs.sum(axis=(0, 2))",
}


@pytest.fixture
def repository(cold_project, tmp_path):
    """Eight commits: the sixth grows, the fourth is half an edit, four change nothing."""
    found = Repository(tmp_path / "repository")
    model = (cold_project.models / "analytic.py").read_text()
    larger = model
    for old, new in LARGER.items():
        assert old in larger
        larger = larger.replace(old, new)
    for subject, text in (
        ("The model", model),
        ("A comment", f"# one\n{model}"),
        ("Another comment", f"# one\n# two\n{model}"),
        ("Half an edit", model.replace("width = settings", "raise KeyError(3)  # width = settings")),
        ("The other half", f"# one\n# two\n# three\n{model}"),
        ("Keep two arrays of pairs", larger),
        ("A third comment", f"# one\n{larger}"),
        ("A fourth comment", f"# one\n# two\n{larger}"),
    ):
        found.commit(subject, {"analytic.py": text})
    return found.path


def test_eight_commits_are_five_measurements_and_two_programs(repository, cold_project, capsys):
    how = ("--model", "analytic:Analytic", "--cache-dir", str(cold_project.cache), "--tokens", "100")
    status = cli.main(["bisect", str(repository), "main~7", "main", *how])
    output, errors = capsys.readouterr()
    assert (status, errors) == (commands.OVER, "")
    lines = output.splitlines()
    assert [
        (line.split()[0], line.partition("  ")[2].endswith(subject)) for line, subject in zip(lines, SUBJECTS, strict=False)
    ] == [
        ("GOOD", True),
        ("BAD", True),
        ("skipped", True),
        ("within", True),
        ("over", True),
    ]
    assert ["same program" in line for line in lines[:5]] == [False, False, False, True, True]
    assert len(list((cold_project.cache / "programs").glob("*.json"))) == 2
    assert lines[6].startswith("the first commit that needs more is ")
    assert lines[6].endswith("Keep two arrays of pairs")
    assert lines[9] == "     +64.00 KiB  outer_product  64.00 KiB -> 128.00 KiB"


SUBJECTS = (
    "The model",
    "A fourth comment",
    "Half an edit: the worker failed: KeyError: 3",
    "The other half",
    "Keep two arrays of pairs",
)
