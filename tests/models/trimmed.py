"""AlphaFold 3 with one change, as a fork may have it: the MSA is cut to its rows that are not padding.

The shapes of its features depend on the content of a job, so its memory does too.
"""

import dataclasses

from pytest_af3mem.models.alphafold3 import AlphaFold3


class Trimmed(AlphaFold3):
    name = "trimmed"

    def featurise(self, job, buckets):
        batch = super().featurise(job, buckets)
        rows = max(1, int(batch.features["msa_mask"].any(axis=1).sum()))
        cut = {name: batch.features[name][:rows] for name in ("msa", "msa_mask", "deletion_matrix")}
        return dataclasses.replace(batch, features={**batch.features, **cut})
