"""Who may import whom: the contracts in pyproject.toml go red on an import that leads up, or brings JAX where it is not to be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[2]
CHECK = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


@pytest.fixture
def checked(tmp_path):
    """The exit status and the words of import-linter about a copy of the package to which a module was added."""

    def run(module="", code=""):
        shutil.copytree(ROOT / "pytest_af3mem", tmp_path / "pytest_af3mem", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        if module:
            (tmp_path / "pytest_af3mem" / module).write_text(code)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        result = subprocess.run([sys.executable, "-c", CHECK], cwd=tmp_path, env=environment, capture_output=True, text=True)
        return result.returncode, " ".join(result.stdout.split())

    return run


def test_every_room_imports_only_from_rooms_below_it(checked):
    status, words = checked()
    assert status == 0, words
    assert "0 broken" in words


@pytest.mark.parametrize(
    ("module", "code", "said"),
    [
        ("records/up.py", "from pytest_af3mem.session import pool\n", "pytest_af3mem.records.up -> pytest_af3mem.session.pool"),
        (
            "commands/door.py",
            "from pytest_af3mem.plugin import hooks\n",
            "pytest_af3mem.commands.door -> pytest_af3mem.plugin.hooks",
        ),
        ("planning/heavy.py", "def shape(x):\n    import jax\n", "pytest_af3mem.planning.heavy -> jax"),
        (
            "session/inside.py",
            "from pytest_af3mem.worker import main\n",
            "pytest_af3mem.session.inside -> pytest_af3mem.worker.main",
        ),
    ],
)
def test_an_import_that_is_not_allowed_is_named(checked, module, code, said):
    status, words = checked(module, code)
    assert status == 1
    assert said in words


def test_what_users_import_is_where_it_was():
    from pytest_af3mem.errors import InputError, NotJudged, UsageError  # noqa: F401
    from pytest_af3mem.inputs.job import Atom, Dna, Job, Ligand, Modification, Protein, Rna, Template  # noqa: F401
    from pytest_af3mem.models.model import Batch, Forward, Model  # noqa: F401
