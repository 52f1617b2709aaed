"""AlphaFold 3's word on documents: one JSON text a line comes in, and what its loader and its featuriser say goes out.

A process of its own, for its C++ ends some documents by ending the process. The features are AlphaFold 3's own, padded to small
sizes so that a document takes a tenth of a second instead of seconds.
"""

import dataclasses
import datetime
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from pytest_af3mem.models import alphafold3
from pytest_af3mem.session.settings import Settings

BUCKETS = (8, 16, 32, 64, 128, 256, 1024)


def main():
    model = alphafold3.AlphaFold3()
    model.prepare(Settings().cache_dir, lambda text: None)
    from alphafold3.common import folding_input
    from alphafold3.data import featurisation
    from alphafold3.model.pipeline import pipeline

    config = pipeline.WholePdbPipeline.Config(
        buckets=BUCKETS, msa_crop_size=16, pad_num_chains=64, ref_max_modified_date=datetime.date(2021, 9, 30)
    )
    featuriser = pipeline.WholePdbPipeline(config=config)

    def tokens(job):
        one = dataclasses.replace(job.fill_missing_fields(), rng_seeds=job.rng_seeds[:1])
        featurisation.validate_fold_input(one)
        dictionary = alphafold3._with_components_of(one.user_ccd, model._ccd) if one.user_ccd else model._ccd
        seed = one.rng_seeds[0]
        batch = featuriser.process_item(
            fold_input=one, ccd=dictionary, random_state=np.random.RandomState(seed), random_seed=seed
        )
        return int(np.asarray(batch["seq_mask"]).sum())

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.json")
        replies = sys.stdout
        sys.stdout = sys.stderr
        for line in sys.stdin:
            asked = json.loads(line)
            path.write_text(asked["text"])
            answer = {}
            try:
                jobs = list(folding_input.load_fold_inputs_from_path(path))
                answer = {"loads": True, "tokens": None}
                if asked["featurise"]:
                    answer["tokens"] = [tokens(job) for job in jobs]
            except Exception as error:
                answer |= {"error": f"{type(error).__name__}: {error}"[:400]}
            print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    main()
