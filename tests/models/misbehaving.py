"""Models that go wrong in one way each, to see that a failure costs one answer and says why."""

import os
import signal
import sys
import time
from pathlib import Path

from analytic import Analytic

from pytest_af3mem.errors import SetupError, UsageError
from pytest_af3mem.models.model import Batch, Forward


def _raise():
    raise ValueError("weights of 31 do not fit positions of 32\nand here is more about it")


def _kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def _chat():
    for number in range(1000):
        print(f"printed line {number}")
        print(f"warned line {number}", file=sys.stderr)
    os.write(1, b"written past Python\n")


def _make_noise():
    _chat()
    raise RuntimeError("too noisy")


def _run_out_of_memory():
    raise MemoryError


ACTIONS = {
    "raise": _raise,
    "hang": lambda: time.sleep(3600),
    "exit": lambda: sys.exit(7),
    "abort": os.abort,
    "kill": _kill_itself,
    "memory": _run_out_of_memory,
    "wait": lambda: time.sleep(1.5),
    "chat": _chat,
    "noise": _make_noise,
    "nothing": lambda: None,
}


def _note(name):
    with Path(name).open("a") as file:
        file.write(f"{os.getpid()}\n")


class Misbehaving(Analytic):
    """Does what its setting `does` says when it is traced, which it notes in the file `traced`, with its process id."""

    name = "misbehaving"
    packages = ("analytic", "misbehaving")
    settings = ("width", "does")

    def forward(self, settings, compute_capability):
        forward = super().forward(settings, compute_capability)

        def apply(parameters, key, features):
            _note("traced")
            ACTIONS[settings.get("does", "nothing")]()
            return forward.apply(parameters, key, features)

        return Forward(forward.init, apply, forward.config)


class Miscounting(Analytic):
    """Finds one token more than there are."""

    name = "miscounting"
    packages = ("analytic", "misbehaving")

    def featurise(self, job, buckets):
        batch = super().featurise(job, buckets)
        return Batch(batch.features, batch.tokens + 1, batch.bucket)


class Unreadable(Analytic):
    """Refuses every job."""

    name = "unreadable"
    packages = ("analytic", "misbehaving")

    def featurise(self, job, buckets):
        raise ValueError("no MSA was given")


class Broken(Analytic):
    """Fails to import, and when it is tried again for another reason."""

    name = "broken"
    packages = ("analytic", "misbehaving")
    tried = 0

    def prepare(self, folder, progress):
        self.tried += 1
        raise ImportError("libmodel.so: no such file" if self.tried == 1 else "it is defined already")


class Endless(Analytic):
    """Does not come to an end with more than 200 tokens."""

    name = "endless"
    packages = ("analytic", "misbehaving")

    def featurise(self, job, buckets):
        batch = super().featurise(job, buckets)
        if batch.tokens > 200:
            _note("endless")
            time.sleep(3600)
        return batch


class ByContent(Analytic):
    """Pads by content as well: jobs with tryptophan take twice the memory, in the same bucket."""

    name = "by content"
    packages = ("analytic", "misbehaving")

    def featurise(self, job, buckets):
        import numpy as np

        batch = super().featurise(job, buckets)
        width = batch.bucket * (2 if "W" in job else 1)
        return Batch({"positions": np.zeros(width, np.float32)}, batch.tokens, batch.bucket)


class Leaking(Analytic):
    """Keeps an array on the device for each job."""

    name = "leaking"
    packages = ("analytic", "misbehaving")
    kept = ()

    def featurise(self, job, buckets):
        self.bucket = super().featurise(job, buckets).bucket
        return super().featurise(job, buckets)

    def forward(self, settings, compute_capability):
        import jax.numpy as jnp

        forward = super().forward(settings, compute_capability)
        self.kept = (*self.kept, jnp.zeros((self.bucket, 3)))
        return forward


class Narrower(Analytic):
    """Has weights of another type on a CPU, as AlphaFold 3 has, and takes no others."""

    parameters_follow_settings = refuses_other_parameters = True

    def forward(self, settings, compute_capability):
        import jax
        import jax.numpy as jnp

        usual = super().forward(settings, compute_capability)

        def kind():
            return jnp.bfloat16 if jax.default_backend() == "cpu" else jnp.float32

        def init(key, features):
            return {"weights": usual.init(key, features)["weights"].astype(kind())}

        def apply(parameters, key, features):
            if parameters["weights"].dtype != kind():
                raise TypeError(f"weights are {parameters['weights'].dtype}, not {jnp.dtype(kind())}")
            return usual.apply(parameters, key, features)

        return Forward(init, apply)


class NotInstalled(Analytic):
    """Lacks something that it needs."""

    name = "not installed"
    packages = ("analytic", "misbehaving")

    def distribution(self):
        raise SetupError("analytic needs its weights: pip install analytic-weights")


class WidthError(UsageError):
    """An error of the model's own."""


class Refusing(Analytic):
    """Does not take its settings, which it says by an error of its own."""

    name = "refusing"
    packages = ("analytic", "misbehaving")

    def forward(self, settings, compute_capability):
        raise WidthError("width=32 is not a multiple of 5")


class Unfinished:
    """No model: the methods are missing."""

    name = "unfinished"


number = 42
