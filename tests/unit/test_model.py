import pytest

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.models import alphafold3_files
from pytest_af3mem.models.registry import ENTRY_POINTS, load

SOURCE = """
class Mine:
    name, packages, settings = "mine", (), ()
    distribution = buckets = components = prepare = featurise = forward = lambda *_: None

mine = Mine()
half = "has none of this"
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    monkeypatch.setattr(alphafold3_files, "root", lambda: None)  # as where none is installed
    (tmp_path / "models_of_mine.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"), [("alphafold3", "alphafold3"), ("models_of_mine:mine", "mine"), ("models_of_mine:Mine", "mine")]
)
def test_alphafold3_or_an_object_or_a_class_of_ones_own(name, found):
    assert load(name).name == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "alphafold2",
            "unknown model {!r}; did you mean alphafold3? "
            "(there are alphafold3, and 'package.module:object' for a model of your own)",
        ),
        (":x", "model {!r} cannot be loaded: Empty module name"),
        (".a:b", "model {!r} cannot be loaded: the 'package' argument is required to perform a relative import for '.a'"),
        ("no_such_module:x", "model {!r} cannot be loaded: No module named 'no_such_module'"),
        ("models_of_mine:yours", "model {!r} cannot be loaded: module 'models_of_mine' has no attribute 'yours'"),
        (
            "models_of_mine:half",
            "model {!r} is not a pytest_af3mem Model, for it has no name, packages, settings, distribution, buckets, components, "
            "prepare, featurise, forward: see docs/models.md",
        ),
    ],
)
def test_what_cannot_be_loaded(name, text):
    with pytest.raises(UsageError) as caught:
        load(name)
    assert str(caught.value) == text.format(name)


@pytest.fixture
def offered(tmp_path):
    """A package is installed that offers models by name."""
    folder = tmp_path / "models_of_mine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: models-of-mine\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nmine = models_of_mine:Mine\nlost = models_of_mine:lost\n")


@pytest.mark.usefixtures("offered")
def test_entry_points():
    assert load("mine").name == "mine"
    with pytest.raises(UsageError, match="model 'lost' cannot be loaded: module 'models_of_mine' has no attribute 'lost'"):
        load("lost")
    with pytest.raises(UsageError, match=r"unknown model 'min'; did you mean mine\? \(there are alphafold3, lost, mine, and "):
        load("min")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package that names its models as ColabFold's wheel does."""
    (tmp_path / "alphafold3" / "model").mkdir(parents=True)
    text = "MODELS = (\n    'alphafold3',\n    'boltz2',  # and why\n)\nAF2_MODELS = ('af2_ptm',)\n"
    (tmp_path / "alphafold3" / "model" / "model_config.py").write_text(f"raise ImportError\n{text}")
    (tmp_path / "alphafold3" / "model" / "model.py").write_text("")
    monkeypatch.setattr(alphafold3_files, "root", lambda: tmp_path / "alphafold3")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)


@pytest.mark.usefixtures("wheel")
def test_the_family_is_read_without_importing_it():
    assert alphafold3_files.family() == ("alphafold3", "boltz2", "af2_ptm")
    assert [load(name).name for name in alphafold3_files.family()] == ["alphafold3", "boltz2", "af2_ptm"]
    with pytest.raises(UsageError, match="unknown model 'boltz3'; did you mean boltz2"):
        load("boltz3")
    with pytest.raises(SetupError, match="af2_ptm cannot be measured: it runs on AlphaFold 2's network"):
        load("af2_ptm").distribution()
