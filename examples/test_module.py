"""One module of AlphaFold 3 by itself: `pytest examples/test_module.py --af3-gpu`, in seconds at any size."""

import pytest

ROWS, TOKENS = 1024, 1024  # of the MSA


def outer_product_mean(msa, mask, *, chunk_size=128):
    """As a block of the MSA stack calls it. Its parameters are made by Haiku, and are arguments of what is measured."""
    from alphafold3.model import model_config
    from alphafold3.model.components import utils
    from alphafold3.model.network import modules

    config = modules.OuterProductMean.Config()
    config.chunk_size = chunk_size
    with utils.bfloat16_context():
        module = modules.OuterProductMean(config, model_config.GlobalConfig(), num_output_channel=128, name="outer_product_mean")
        return module(msa, mask)


@pytest.fixture
def peak(gpu_peak):
    """The peak with other settings of the module."""
    msa, mask = f"bfloat16[{ROWS},{TOKENS},64]", f"bfloat16[{ROWS},{TOKENS}]"
    return lambda **settings: gpu_peak.of(outer_product_mean, msa, mask, **settings)


@pytest.mark.af3_budget("1100 MiB")
def test_outer_product_mean_fits(peak):
    peak()


def test_smaller_chunks_take_less(peak):
    assert peak(chunk_size=32) < peak(chunk_size=128)
