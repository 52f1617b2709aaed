"""Features that a bucket alone decides are made once for all jobs in it, and not where the model does not know them."""

from dataclasses import dataclass

from pytest_af3mem.models.model import Batch
from pytest_af3mem.worker.features import Features


@dataclass
class Asked:
    tokens: int
    bucket: int
    generated: bool = True
    job: str = "a job"
    buckets: tuple[int, ...] = (128, 256)


class Model:
    def __init__(self, known=(128, 256)):
        self.known, self.done = known, []

    def prepare(self, folder, progress):
        pass

    def features_of_bucket(self, bucket):
        self.done.append(bucket)
        return Batch({}, bucket, bucket) if bucket in self.known else None

    def featurise(self, job, buckets):
        self.done.append(job)
        return Batch({}, 100, 128)


def tokens_of(model, *asked, folder):
    features = Features(model, folder)
    return [features.to_compile_with(one, lambda text: None).tokens for one in asked]


def test_the_same_bucket_again_is_not_featurised_again(tmp_path):
    model = Model()
    assert tokens_of(model, Asked(100, 128), Asked(90, 128), Asked(200, 256), Asked(80, 128), folder=tmp_path) == [
        100,
        90,
        200,
        80,
    ]
    assert model.done == [128, 256, 128]


def test_where_shapes_depend_on_the_job_each_is_featurised(tmp_path):
    model = Model(known=())
    assert tokens_of(model, Asked(100, 128), Asked(100, 128), folder=tmp_path) == [100, 100]
    assert model.done == [128, "a job", 128, "a job"]


def test_a_job_of_the_users_own_is_featurised_after_any_of_its_bucket(tmp_path):
    model = Model()
    tokens_of(model, Asked(90, 128), Asked(100, 128, generated=False), folder=tmp_path)
    assert model.done == [128, "a job"]
