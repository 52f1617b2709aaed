"""What pytest loads at every start, and what the worker loads in an interpreter that has nothing of ours, stays light."""

import pytest

HEAVY = set("absl alphafold3 biotite gemmi haiku hypothesis jax jaxlib jinja2 numpy plotly pynvml rdkit tokamax".split())


@pytest.fixture
def loaded(start):
    """Those of `names` that `statement` loads."""

    def run(statement, names, folder=""):
        code = f"sys.path.insert(0, sys.argv[1])\n{statement}\nprint(*sorted({names} & set(sys.modules)))"
        process = start(code, folder)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return set(output.split())

    return run


@pytest.mark.parametrize(
    "place", ["", ".plugin.hooks", ".plugin.parts", ".commands.cli", ".worker", ".models.alphafold3", ".production"]
)
def test_all_that_is_imported_is_light(loaded, place):
    assert loaded(f"import pytest_af3mem{place}", HEAVY) == set()


def test_worker_needs_the_standard_library_alone(loaded):
    assert loaded("import pytest_af3mem.worker.compiling", {"pytest", "_pytest", "pluggy"}) == set()


def test_these_tests_can_fail(loaded, tmp_path):
    (tmp_path / "heavy_module.py").write_text("import pytest_af3mem.plugin.hooks\nimport numpy\nimport hypothesis\n")
    assert loaded("import heavy_module", HEAVY, tmp_path) >= {"hypothesis", "numpy"}


def test_public_names():
    import pytest_af3mem

    assert all(getattr(pytest_af3mem, name) for name in pytest_af3mem.__all__)
    with pytest.raises(AttributeError, match=r"^module 'pytest_af3mem' has no attribute 'Jobs'$"):
        pytest_af3mem.Jobs  # noqa: B018
