import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.models.model import load

SOURCE = """
class Mine:
    name, packages, settings = "mine", (), ()
    def distribution(self): ...
    def buckets(self): ...
    def components(self, folder, progress): ...
    def prepare(self, folder, progress): ...
    def featurise(self, job, buckets): ...
    def forward(self, settings, compute_capability): ...

mine = Mine()
half = "has none of this"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "models_of_mine.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", ["models_of_mine:mine", "models_of_mine:Mine"])
def test_an_object_or_a_class_of_ones_own(module, name):
    assert load(name).name == "mine"


def test_alphafold3():
    assert load("alphafold3").name == "alphafold3"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("alphafold2", "unknown model {!r}: use 'alphafold3', or 'package.module:object' for a model of your own"),
        ("no_such_module:x", "model {!r} cannot be loaded: No module named 'no_such_module'"),
        ("models_of_mine:yours", "model {!r} cannot be loaded: module 'models_of_mine' has no attribute 'yours'"),
        ("models_of_mine:half", "model {!r} is not a pytest_af3mem Model: see pytest_af3mem.models.model.Model"),
    ],
)
def test_what_cannot_be_loaded(module, name, text):
    with pytest.raises(UsageError) as caught:
        load(name)
    assert str(caught.value) == text.format(name)
