import pytest

from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.plugin import marks
from pytest_af3mem.plugin.markers import Baseline, Budget
from pytest_af3mem.plugin.marks import Marks

GIB = 2**30


def mark(name, *arguments, **options):
    return getattr(pytest.mark, f"af3_{name}")(*arguments, **options).mark


def read(*nearest_first, fixtures=("gpu_peak",)):
    return marks.read([[one] for one in nearest_first], fixtures)


def asked(*, tokens=(), up_to=None, job=(), budgets=(), model_settings=(), baseline=None):
    return Marks(tokens, up_to, job, budgets, model_settings, baseline)


def budget(gib, target=None):
    return Budget(Size(bytes=gib * GIB), target)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], asked()),
        ([mark("tokens", 512, 256, 512, seed=1, chains=2)], asked(tokens=(512, 256), job=(("chains", 2), ("seed", 1)))),
        ([mark("tokens", 256), mark("tokens", 512, chains=2)], asked(tokens=(256,))),
        ([mark("tokens", up_to=2048, seed=1), mark("tokens", 512)], asked(up_to=2048, job=(("seed", 1),))),
        ([mark("tokens", 512), mark("tokens", up_to=2048)], asked(tokens=(512,))),
        ([mark("budget", "3 GiB", target="L4-24GB")], asked(budgets=(budget(3, "l4-24gb"),))),
        ([pytest.mark.af3_baseline.mark], asked(baseline=Baseline(None))),
        ([mark("baseline", tolerance="64 MiB")], asked(baseline=Baseline(Size(bytes=64 * 2**20)))),
        ([mark("baseline", tolerance=0), mark("baseline", tolerance="1 %")], asked(baseline=Baseline(Size(bytes=0)))),
        ([mark("model", **{"evoformer.sizes": [1, [2]]})], asked(model_settings=(("evoformer.sizes", (1, (2,))),))),
        ([mark("model", b=1), mark("model", b=5, a="xla")], asked(model_settings=(("a", "xla"), ("b", 1)))),
        ([pytest.mark.usefixtures("tmp_path").mark, pytest.mark.skipif(True, reason="").mark], asked()),
    ],
)
def test_read(found, expected):
    assert read(*found) == expected
    assert hash(read(*found)) == hash(expected)


def test_nearest_budget_of_each_target_wins():
    found = read(
        mark("budget", "1 GiB"),
        mark("budget", "2 GiB", target="l4-24gb"),
        mark("budget", "3 GiB"),
        mark("budget", "4 GiB", target="l4-24gb"),
        mark("budget", "5 GiB", target="a100-40gb"),
    )
    assert found.budgets == (budget(1), budget(2, "l4-24gb"), budget(5, "a100-40gb"))


@pytest.mark.parametrize(("targets", "target"), [([], None), ([None], None), (["l4-24gb"], "l4-24gb"), (["l4-24gb", None], None)])
def test_target_that_all_budgets_name(targets, target):
    assert read(*(mark("budget", "1 GiB", target=one) for one in targets)).target == target


NO_SIZES = "af3_tokens needs at least one size, like af3_tokens(512), or every bucket up to one: af3_tokens(up_to=2048)"
OPTIONS = "(options: chains, kinds, copies, ligands, smiles, modifications, msa_depth, paired_msa_depth, templates, seed)"
NO_SIZE = "af3_budget '24 Bananas' is not a size: write '16 GiB', '16 GB', '95 %' or a number of bytes"
ONE_SIZE = 'af3_budget takes one size and perhaps a target, like af3_budget("16 GiB", target="a100-40gb")'
TARGET = "af3_budget: target={!r} must be the name of a target, like 'a100-40gb'"
TOLERANCE = 'af3_baseline takes at most a tolerance, by name, like af3_baseline(tolerance="0.5 %")'
VALUE = "x={!r} must be a finite number, a text, true, false, none, or a list of these"


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (mark("tokens", chains=2), NO_SIZES),
        (mark("tokens", 256, 0), "tokens=0 must be a whole number from 1 to 100,000"),
        (
            mark("tokens", 256, chain=2),
            f"'chain' is not an option of a generated job; did you mean chains? {OPTIONS}",
        ),
        (mark("tokens", 256, x=2), f"'x' is not an option of a generated job {OPTIONS}"),
        (mark("tokens", 256, up_to=512), "af3_tokens(256, up_to=512): sizes and up_to exclude each other: leave one out"),
        (mark("tokens", up_to=2.5), "tokens=2.5 must be a whole number from 1 to 100,000"),
        (mark("tokens", 256, kinds="dna", templates=1), "templates=1: only proteins have that, and kinds is dna"),
        (mark("tokens", 256, chains=0), "chains=0 must be a whole number of at least 1"),
        (mark("tokens", 256, 5, chains=6), "tokens=5 is too few for 6 chains: at least 6"),
        (mark("budget", size="1 GiB"), ONE_SIZE),
        (mark("budget", "1 GiB", "2 GiB"), ONE_SIZE),
        (mark("budget", "1 GiB", gpu="l4-24gb"), ONE_SIZE),
        (mark("budget", "24 Bananas"), NO_SIZE),
        (
            mark("budget", "1 GiB", target="l4"),
            "unknown target 'l4': did you mean l4-24gb? (all: af3mem doctor)",
        ),
        (mark("budget", "1 GiB", target=5), TARGET.format(5)),
        (mark("budget", "1 GiB", target=""), TARGET.format("")),
        (mark("baseline", "0.5 %"), TOLERANCE),
        (mark("baseline", by="0.5 %"), TOLERANCE),
        (
            mark("baseline", tolerance="a bit"),
            "af3_baseline: tolerance 'a bit' is not a tolerance: write '0.5 %', '64 MiB', a number of bytes, or 0",
        ),
        (mark("model", 5), "af3_model takes settings by name, like af3_model(num_samples=1), not 5"),
        (mark("model", x=[1, {}]), VALUE.format({})),
    ],
)
def test_bad_marker(bad, text):
    with pytest.raises(UsageError) as caught:
        read(bad)
    assert str(caught.value) == text


@pytest.mark.parametrize("one", [mark("budget", "1 GiB"), pytest.mark.af3_baseline.mark])
def test_nothing_to_measure(one):
    with pytest.raises(UsageError) as caught:
        read(one, fixtures=())
    assert (
        str(caught.value) == f"{one.name} has no size to measure: add af3_tokens(...), or call the gpu_peak fixture in the test"
    )


def test_something_to_measure():
    assert read(mark("budget", "1 GiB"), mark("tokens", 5), fixtures=()).tokens == (5,)
    assert read(mark("model", num_samples=1), fixtures=()).budgets == ()


@pytest.mark.parametrize(
    ("found", "tokens"),
    [
        (mark("tokens", 512, 256), (512, 256)),
        (mark("tokens", up_to=512), (128, 256, 512)),
        (mark("tokens", up_to=500), (128, 256, 500)),
        (mark("tokens", up_to=5), (5,)),
        (mark("tokens", up_to=9000), (128, 256, 512, 1024, 9000)),
    ],
)
def test_every_bucket_up_to_a_size(found, tokens):
    assert read(found).all_tokens((128, 256, 512, 1024)) == tokens
