"""`af3mem fit`, with a small model whose settings each take an array away."""

import functools
import json

import pytest

from pytest_af3mem import commands

MODEL = '''
from analytic import Analytic
from pytest_af3mem.models.model import Forward


class Costly(Analytic):
    """Beside the pairs, `copies` arrays of as many bytes, and the outputs of `samples`."""

    name = "costly"
    packages = ("analytic", "costly")
    settings = ("copies", "samples")

    def forward(self, settings, compute_capability):
        import jax, jax.numpy as jnp

        copies, samples = settings.get("copies", 4), settings.get("samples", 100)
        if samples == 13:
            raise ValueError("13 samples")

        def apply(parameters, key, features):
            positions = features["positions"]
            pairs = jax.lax.optimization_barrier(jnp.stack([positions[:, None] * positions] * copies))
            return jnp.stack([pairs.sum(axis=(0, 1))] * samples)

        return Forward(lambda key, features: {"weights": jnp.zeros(1)}, apply, {"copies": copies, "samples": samples})
'''


@pytest.fixture
def fit(project, tmp_path, af3mem):
    (tmp_path / "costly.py").write_text(MODEL)
    (tmp_path / "analytic.py").write_text((project.models / "analytic.py").read_text())
    return functools.partial(af3mem, "fit", "--tokens", 256, model="costly:Costly", path=tmp_path)


KNOBS = ("--over", "copies=3,2,1", "--over", "samples=50,10")


def test_what_fits_is_left_as_it_is(fit):
    status, output, errors = fit(*KNOBS, "--fraction", "2 MiB")
    assert (status, errors) == (commands.OK, "")
    assert output.splitlines()[2].startswith("fits as it is: 1.10 MiB of 2.00 MiB")
    assert "config." not in output


@pytest.mark.parametrize(
    ("fraction", "changes"),
    [
        ("1 MiB", {"copies": 3}),  # the mildest that does
        ("620 KiB", {"copies": 2}),
        ("400 KiB", {"copies": 1}),
        ("270 KiB", {"copies": 1, "samples": 10}),  # the dearer one too, where it must be
    ],
)
def test_the_cheapest_change_that_fits(fit, fraction, changes):
    status, output, errors = fit(*KNOBS, "--fraction", fraction, "--json", "-")
    assert (status, errors) == (commands.OK, "")
    report = json.loads(output)
    assert (report["fits"], report["changes"]) == (True, changes)
    assert report["python"] == [f"config.{name} = {value}" for name, value in changes.items()]
    (best,) = (row for row in report["measurements"] if row["changes"] == changes)
    assert best["total_bytes"] <= report["limit_bytes"]
    assert report["measurements"][0]["changes"] == {}


def test_nothing_fits(fit):
    status, output, _ = fit(*KNOBS, "--fraction", "100 KiB")
    assert status == commands.OVER
    answer, *held = output.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert answer.startswith("nothing fits: of all that was tried the least is ")
    assert answer.endswith(" more than 100.00 KiB")
    assert held[0].startswith("  held by ")


def test_a_change_that_cannot_be_measured_is_no_answer(fit):
    status, output, _ = fit("--over", "samples=13", "--fraction", "100 KiB")
    assert status == commands.NOT_JUDGED
    assert "not judged: the worker failed: ValueError: 13 samples" in output.splitlines()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "what may be changed in costly to save memory? Say so with --over NAME=VALUE,..."),
        (("--over", "sampels=1"), "costly has no setting 'sampels'; did you mean samples? (or use a dotted path)"),
        (("--fraction", "0"), "--fraction '0' is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes"),
    ],
)
def test_bad_arguments(fit, arguments, line):
    assert fit(*arguments) == (commands.USAGE, "", f"af3mem: {line}\n")
