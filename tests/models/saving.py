"""The analytic model with all that a model may say to save time; `noted` in the working folder has what was done nevertheless."""

from pathlib import Path

from analytic import Analytic

from pytest_af3mem.models.model import Forward

WEIGHTS = "weights"


def note(what):
    with Path("noted").open("a") as file:
        print(what, file=file)


class Saving(Analytic):
    parameters_follow_settings = refuses_other_parameters = True

    def featurise(self, job, buckets):
        note("featurise")
        return super().featurise(job, buckets)

    def features_of_bucket(self, bucket):
        job = '{"sequences": [{"protein": {"id": "A", "sequence": "M"}}]}'
        return super().featurise(job, (bucket,))

    def forward(self, settings, compute_capability):
        usual = super().forward(settings, compute_capability)

        def init(key, features):
            note("init")
            return {WEIGHTS: usual.init(key, features)["weights"]}

        def apply(parameters, key, features):
            return usual.apply({"weights": parameters[WEIGHTS]}, key, features)

        return Forward(init, apply)
