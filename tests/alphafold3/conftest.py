"""How many jobs the featuriser is shown: 20; with `pytest --hypothesis-profile=thorough tests/alphafold3`, 400."""

import os

from hypothesis import settings

os.environ["AF3MEM_SHIPPED"] = "no"  # what is tested here is measured here
settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=400, deadline=None)
settings.load_profile("quick")
