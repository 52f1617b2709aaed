"""Features of jobs, as the model's own featuriser makes them, or as its padding bucket alone decides them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_af3mem.errors import Af3memError, NotJudged, first_line
from pytest_af3mem.models.model import Batch, Model
from pytest_af3mem.records.request import Request

_Progress = Callable[[str], None]


class Features:
    """Of one model, which is imported before its first job; `folder` is the plugin's cache folder."""

    def __init__(self, model: Model, folder: Path):
        self._model = model
        self._folder = folder
        self._unprepared: Exception | None = None
        self._latest: Batch | None = None

    def to_compile_with(self, request: Request, progress: _Progress) -> Batch:
        """Those of any job in the bucket where the job is generated and the model knows them; else those of the job."""
        self._prepare(progress)
        of_bucket: Callable[[int], Batch | None] | None = getattr(self._model, "features_of_bucket", None)
        bucket = request.bucket
        if request.generated and of_bucket is not None and bucket is not None:
            if self._latest is not None and self._latest.bucket == bucket:  # as for another target
                return replace(self._latest, tokens=request.tokens)
            self._latest = None
            with contextlib.suppress(Exception):  # featurising the job itself says what is wrong
                batch = of_bucket(bucket)
                if batch is not None and batch.bucket == bucket:
                    self._latest = batch
                    return replace(batch, tokens=request.tokens)
        return self.of_job(request, progress)

    def of_job(self, request: Request, progress: _Progress) -> Batch:
        """Raises NotJudged where the featuriser fails, or makes another number of tokens than was counted."""
        self._prepare(progress)
        progress("featurising")
        try:
            batch = self._model.featurise(request.job, request.buckets)
        except Af3memError:
            raise
        except Exception as error:
            raise NotJudged(f"{self._model.name} does not featurise the job: {first_line(error)}") from error
        if (batch.tokens, batch.bucket) != (request.tokens, request.bucket):
            raise NotJudged(
                f"the job was expected to have {request.tokens} tokens in a bucket of {request.bucket}, but the featuriser of "
                f"{self._model.distribution()} made {batch.tokens} in {batch.bucket}"
            )
        return batch

    def _prepare(self, progress: _Progress) -> None:
        """What was imported by halves is not imported again in this process, where it would fail for another reason."""
        progress("importing the model")
        try:
            if self._unprepared is None:
                self._model.prepare(self._folder, progress)
        except Af3memError:
            raise
        except Exception as error:
            self._unprepared = error
        if self._unprepared is not None:
            text = f"{self._model.distribution()} does not import: {first_line(self._unprepared)}"
            raise NotJudged(text) from self._unprepared
