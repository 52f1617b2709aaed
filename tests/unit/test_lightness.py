"""What pytest loads at every start, and what the worker loads in an interpreter that has nothing of ours, stays light."""

import pytest

HEAVY = {"absl", "alphafold3", "biotite", "haiku", "hypothesis", "jax", "jaxlib", "numpy", "pynvml", "rdkit", "tokamax"}


@pytest.fixture
def loaded(start):
    """Those of `names` that importing `module` loads."""

    def run(module, names, folder=""):
        code = f"sys.path.insert(0, sys.argv[1]); import {module}; print(*sorted({names} & set(sys.modules)))"
        process = start(code, folder)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return set(output.split())

    return run


@pytest.mark.parametrize(
    "module",
    [
        "pytest_af3mem",
        "pytest_af3mem.plugin",
        "pytest_af3mem.cli",
        "pytest_af3mem.worker",
        "pytest_af3mem.models.alphafold3",
        "pytest_af3mem.models.ccd",
        "pytest_af3mem.probes.compiled",
    ],
)
def test_import_loads_nothing_heavy(loaded, module):
    assert loaded(module, HEAVY) == set()


@pytest.mark.parametrize("name", ["Job", "Peak", "Size", "generate"])
def test_nor_do_the_public_names(loaded, name):
    assert loaded(f"pytest_af3mem; pytest_af3mem.{name}", HEAVY) == set()


def test_worker_needs_the_standard_library_alone(loaded):
    assert loaded("pytest_af3mem.worker", {"pytest", "_pytest", "pluggy"}) == set()


@pytest.mark.parametrize("heavy", ["numpy", "hypothesis", "pynvml"])
def test_these_tests_can_fail(loaded, tmp_path, heavy):
    (tmp_path / "heavy_module.py").write_text(f"import pytest_af3mem.plugin\nimport {heavy}\n")
    assert heavy in loaded("heavy_module", HEAVY, tmp_path)


def test_public_names():
    import pytest_af3mem

    for name in pytest_af3mem.__all__:
        assert getattr(pytest_af3mem, name)
    with pytest.raises(AttributeError, match=r"^module 'pytest_af3mem' has no attribute 'Jobs'$"):
        pytest_af3mem.Jobs  # noqa: B018
