"""Other models of ColabFold's wheel: featurised each in its own way, and not compiled here."""

import pytest

from pytest_af3mem.models.alphafold3 import family
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings


@pytest.fixture
def shapes():
    """Shapes of the features that a model makes of one job."""

    def run(model):
        session = Session(Settings(model=model, workers=1))
        try:
            return session.pool.featurise(session.request(tokens=200))["shapes"]
        finally:
            session.close()

    return run


def test_the_wheel_names_its_models():
    assert {"alphafold3", "boltz2", "openfold3", "protenix2"} <= set(family())


@pytest.mark.parametrize("model", ["boltz2", "opendde"])
def test_features_are_those_of_the_model(shapes, model):
    found, usual = shapes(model), shapes("alphafold3")
    assert found["msa_mask"].endswith(",256]")
    assert found != usual
