"""AlphaFold 3 with features that were made before, for machines without the chemical component dictionary and without a network.

`--af3-model featurised:Featurised --af3-path benchmarks`, with the folder of the features in `AF3MEM_FEATURES`;
`card_session.py prepare` makes them. Everything else is the real network.
"""

import json
import os
import pickle
from pathlib import Path

from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.models.model import Batch


def path_of(folder, tokens):
    return Path(folder) / f"features_{tokens}.npz"


class Featurised(AlphaFold3):
    """Takes a generated job's features from the file for its size."""

    packages = (*AlphaFold3.packages, "featurised")

    def components(self, folder, progress):
        return None

    def prepare(self, folder, progress):
        """Lets AlphaFold 3 be imported: it opens the sets of components then, and uses them to featurise alone."""
        from alphafold3.common import resources

        original = resources.filename
        empty = folder / "no-components.pickle"
        empty.write_bytes(pickle.dumps(dict.fromkeys(("glycans_linking", "glycans_other", "ions"), frozenset())))

        def filename(name):
            path = Path(original(name))
            return str(empty if path.name == "chemical_component_sets.pickle" and not path.exists() else path)

        resources.filename = filename

    def featurise(self, job, buckets):
        import numpy as np

        chains = [sequence["protein"] for sequence in json.loads(job)["sequences"]]
        tokens = sum(len(chain["sequence"]) * len(chain["id"]) for chain in chains)
        with np.load(path_of(os.environ["AF3MEM_FEATURES"], tokens)) as file:
            features = dict(file)
        mask = features["seq_mask"]
        return Batch(features, tokens=int(mask.sum()), bucket=mask.shape[0])
