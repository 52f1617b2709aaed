"""`af3mem compare`, with the small model of tests/models in two states."""

import json
import sys

import pytest
from git_repository import Repository

from pytest_af3mem import commands
from pytest_af3mem.commands import cli

WIDER = ("positions[:, None] * positions[None, :]", "jnp.stack([positions[:, None] * positions[None, :]] * 2)")
OUT = ("pairs.sum(axis=1)", "pairs.sum(axis=(0, 2))")


@pytest.fixture
def source(project):
    return (project.models / "analytic.py").read_text()


@pytest.fixture
def wider(source):
    """The model with two arrays of pairs in the place of one."""
    for old, new in (WIDER, OUT):
        assert old in source
        source = source.replace(old, new)
    return source


@pytest.fixture
def trees(tmp_path, source, wider):
    """Two source trees: the model as it is, and the wider one."""
    for name, text in (("as_it_is", source), ("wider", wider)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "analytic.py").write_text(text)
    return tmp_path


@pytest.fixture
def compare(project, capsys):
    def run(old, new, *arguments):
        usual = ("--model", "analytic:Analytic", "--cache-dir", str(project.cache), "--tokens", "100")
        status = cli.main(["compare", *usual, *map(str, (old, new)), *arguments])
        return status, *capsys.readouterr()

    return run


def test_a_source_tree_that_needs_more_is_over(compare, trees, needed_bytes):
    status, output, errors = compare(trees / "as_it_is", trees / "wider")
    assert (status, errors) == (commands.OVER, "")
    lines = output.splitlines()
    assert lines[:2] == [f"OLD  {trees / 'as_it_is'}", f"NEW  {trees / 'wider'}"]
    assert lines[3].split() == ["tokens", "bucket", "target", "old", "new", "difference", "verdict"]
    assert lines[4] == "   100     128  h100-80gb  65.12 KiB  129.12 KiB  +64.00 KiB (+98.27 %)  over"
    assert lines[6] == "at 100 tokens:"
    assert lines[7].split() == ["+64.00", "KiB", "outer_product", "64.00", "KiB", "->", "128.00", "KiB"]
    assert lines[-2:] == ["what differs:", "  the model's sources"]


def test_one_that_needs_less_is_within(compare, trees):
    status, output, _ = compare(trees / "wider", trees / "as_it_is")
    assert status == commands.OK
    assert "-64.00 KiB (-49.56 %)  within" in output


def test_the_same_is_within(compare, trees):
    status, output, _ = compare(trees / "as_it_is", trees / "as_it_is")
    assert status == commands.OK
    assert "none  within" in output
    assert output.splitlines()[-1] == "OLD and NEW have the same sources, settings and versions"


@pytest.mark.parametrize(
    ("tolerance", "status"), [("64 KiB", commands.OK), ("65535 B", commands.OVER), ("98 %", commands.OVER), ("99 %", commands.OK)]
)
def test_tolerance(compare, trees, tolerance, status):
    assert compare(trees / "as_it_is", trees / "wider", "--tolerance", tolerance)[0] == status


def test_settings(compare, project, needed_bytes):
    status, output, errors = compare(
        "width=32", "width=1000", "--path", str(project.models), "--tokens", "100,500", "--json", "-"
    )
    assert (status, errors) == (commands.OVER, "")
    report = json.loads(output)
    assert (report["schema"], report["verdict"], report["tolerance"]) == (1, "over", "0 B")
    assert [(one["tokens"], one["difference_bytes"], one["verdict"]) for one in report["comparisons"]] == [
        (100, 4 * 968, "over"),
        (500, 4 * 968, "over"),
    ]
    assert report["comparisons"][0]["grown"] == [
        {"component": "model", "before_bytes": 4 * (32 + 128), "after_bytes": 4 * (1000 + 128)}
    ]
    assert report["differing"] == {"setting width": {"old": "32", "new": "1000"}}
    rows = [(row["side"], row["tokens"], row["total_bytes"]) for row in report["measurements"]]
    assert rows == [
        (side, size, needed_bytes({100: 128, 500: 512}[size], width))
        for size in (100, 500)
        for side, width in (("old", 32), ("new", 1000))
    ]


def test_two_models(compare, project):
    status, output, _ = compare("analytic:Analytic", "misbehaving:Misbehaving", "--path", str(project.models))
    assert status == commands.OK
    assert "  model: analytic, analytic 1.0 -> misbehaving, analytic 1.0" in output.splitlines()


def test_an_interpreter(compare, project, tmp_path):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexport TOKAMAX_OTHER=1\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    status, output, _ = compare("installed", other, "--path", str(project.models))
    assert status == commands.USAGE  # OLD is without the source tree then
    status, output, _ = compare(sys.executable, other, "--path", str(project.models))
    assert status == commands.OK
    (line,) = (line for line in output.splitlines() if line.startswith("  environment: "))
    assert line.endswith(" TOKAMAX_OTHER=1")


def test_an_interpreter_that_lacks_what_measuring_needs(compare, project, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    status, output, errors = compare(sys.executable, bare, "--path", str(project.models))
    assert (status, output) == (commands.USAGE, "")
    assert errors.startswith(f"af3mem: NEW '{bare}': JAX is not installed in {sys.executable}: pip install")


@pytest.fixture
def repository(tmp_path, source, wider):
    """The model as it is in the tag `v1`, wider in `main`, with a checkout that is being edited."""
    found = Repository(tmp_path / "repository")
    for text, tag in ((source, "v1"), (wider, "v2")):
        found.commit(tag, {"python/analytic.py": text}, tag=True)
    (found.path / "python" / "analytic.py").write_text("edited = True\n")
    return found


def test_git_revisions(compare, repository, monkeypatch):
    before = repository.git("status", "--porcelain"), repository.git("worktree", "list")
    status, output, errors = compare(f"{repository}/python@v1", f"{repository}/python@main")
    assert (status, errors) == (commands.OVER, "")
    assert "+64.00 KiB (+98.27 %)  over" in output
    assert (repository.git("status", "--porcelain"), repository.git("worktree", "list")) == before
    monkeypatch.chdir(repository.path / "python")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as git's hooks have one
    status, output, errors = compare("@v1", "@v1 width=64")
    assert (status, errors) == (commands.OVER, "")
    assert "  setting width: 32 -> 64" in output.splitlines()


def test_which_of_my_edits_it_was(compare, repository, wider, monkeypatch):
    """The tree is dirty, with three edits: one hunk holds all that is new, and is annotated at its first changed line."""
    file = repository.path / "python" / "analytic.py"
    file.write_text("# a line more\n" + wider.replace("width = settings", "width = 1 * settings"))
    (changed,) = [number for number, line in enumerate(file.read_text().splitlines(), start=1) if "jnp.stack" in line]
    status, output, errors = compare(f"{repository}/python@v1", f"{repository}/python", "--tokens", "100")
    assert (status, errors) == (commands.OVER, "")
    lines = [line.strip() for line in output.splitlines()]
    place = f"python/analytic.py:{changed - 3}-{changed + 3}"  # with three lines of context, as git shows it
    assert lines[lines.index("at 100 tokens:") + 3 :][:3] == [
        f"{'by hunk':{len(place)}}     before       after  difference",
        f"{place}  64.50 KiB  128.50 KiB  +64.00 KiB",
        f"{'elsewhere':{len(place)}}      640 B       640 B        none",
    ]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    status, output, errors = compare(f"{repository}/python@v1", f"{repository}/python", "--tokens", "100", "--json", "-")
    assert errors.startswith(f"::error file=python/analytic.py,line={changed},title=GPU memory%3A +64.00 KiB at 100 tokens::")
    assert errors.endswith(f"::{place} holds +64.00 KiB of the peak at 100 tokens: 64.50 KiB -> 128.50 KiB\n")
    hunk, elsewhere = json.loads(output)["comparisons"][0]["by_hunk"]
    assert (hunk["file"], hunk["first_line"], hunk["last_line"]) == ("python/analytic.py", changed - 3, changed + 3)
    assert (hunk["before_bytes"], hunk["after_bytes"], hunk["difference_bytes"]) == (66048, 131584, 65536)
    assert (elsewhere["hunk"], elsewhere["file"], elsewhere["difference_bytes"]) == ("elsewhere", None, 0)


def test_a_commit_that_needs_less_annotates_nothing(compare, repository, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    status, output, errors = compare(f"{repository}/python@v2", f"{repository}/python@v1")
    assert (status, errors) == (commands.OK, "")
    assert "128.50 KiB  64.50 KiB  -64.00 KiB" in output


def test_without_a_revision_there_are_no_hunks(compare, trees):
    _, output, _ = compare(trees / "as_it_is", trees / "wider", "--json", "-")
    assert [one["by_hunk"] for one in json.loads(output)["comparisons"]] == [None]


def test_what_is_not_judged_is_neither_within_nor_over(compare, trees):
    (trees / "wider" / "analytic.py").write_text(
        (trees / "wider" / "analytic.py").read_text().replace("width = settings", "raise KeyError(3) #")
    )
    status, output, _ = compare(trees / "as_it_is", trees / "wider")
    assert status == commands.NOT_JUDGED
    assert "not judged" in output.splitlines()[4]
    assert "  NEW is not judged: the worker failed: KeyError: 3" in output.splitlines()


def test_a_revision_that_does_not_import(compare, repository):
    repository.git("commit", "-q", "-a", "-m", "no model")
    status, output, errors = compare(f"{repository}/python@v1", f"{repository}/python@HEAD")
    assert (status, output) == (commands.USAGE, "")
    assert errors.endswith("model 'analytic:Analytic' cannot be loaded: module 'analytic' has no attribute 'Analytic'\n")
    assert errors.startswith(f"af3mem: NEW '{repository}/python@HEAD': ")


@pytest.mark.parametrize(
    ("new", "line"),
    [
        ("", "NEW '' must be a Python, a folder with"),
        ("'", 'NEW "\'": No closing quotation'),
        ("/no/where", "NEW '/no/where' is no file or folder: it must be a Python"),
        ("python@v1 widht=3", "NEW 'python@v1 widht=3': analytic has no setting 'widht'; did you mean width?"),
        ("alphafold2", "NEW 'alphafold2': unknown model 'alphafold2'; did you mean alphafold3"),
        ("python9.99", "NEW 'python9.99' is not a program that can be run"),
        ("@v3", "has no revision 'v3'; did you mean v2 or v1?"),
        ("/@v3", "'/' is in no git repository: a revision is given as FOLDER@REVISION"),
    ],
)
def test_bad_sides(compare, repository, monkeypatch, new, line):
    monkeypatch.chdir(repository.path)
    status, output, errors = compare(f"{repository}/python@v1", new)
    assert (status, output) == (commands.USAGE, "")
    assert line in errors


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--tolerance", "much"), "--tolerance 'much' is not a tolerance: write '0.5 %', '64 MiB', a number of bytes, or 0"),
        (("--tokens", "100,x"), "--tokens 'x' must be a whole number of at least 1"),
    ],
)
def test_bad_arguments(compare, trees, arguments, line):
    assert compare(trees / "wider", trees / "wider", *arguments) == (commands.USAGE, "", f"af3mem: {line}\n")
