"""The real AlphaFold 3 network, compiled for an H100 that is not there. One compile serves all of these tests."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.records.holders import by_component, explained
from pytest_af3mem.session.session import Session
from pytest_af3mem.session.settings import Settings
from pytest_af3mem.storage import typed

TARGET = "h100-80gb"
MODEL = Path(find_spec("alphafold3").origin).parents[1]
VARIED = {
    "one protein": {"tokens": 256},
    "in the middle of its bucket": {"tokens": 200},
    "with a ligand": {"tokens": 256, "options": {"ligands": "ATP"}},
    "with an ion": {"tokens": 129, "options": {"ligands": "MG"}},
    "with an MSA": {"tokens": 250, "options": {"msa_depth": 40}},
    "three chains, MSAs and a ligand": {"tokens": 255, "options": {"chains": 3, "msa_depth": 7, "ligands": "NAG"}},
}


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(cache_dir):
    session = Session(Settings(target=TARGET, cache_dir=cache_dir))
    yield session
    session.close()


def copy_of_the_model(folder: Path) -> Path:
    """A source tree of the installed AlphaFold 3, its extension left out."""
    installed = Path(next(iter(find_spec("alphafold3").submodule_search_locations)))
    shutil.copytree(installed, folder / "alphafold3", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return folder


def test_every_input_of_a_bucket_has_the_same_peak_and_the_featurisers_token_count(session):
    requests = {name: session.request(**asked) for name, asked in VARIED.items()}
    peaks = {name: session.wait(session.pool.submit(request)) for name, request in requests.items()}
    features = [session.pool.featurise(request) for request in requests.values()]

    assert {name: peak.tokens for name, peak in peaks.items()} == {name: asked["tokens"] for name, asked in VARIED.items()}
    assert {peak.bucket for peak in peaks.values()} == {256}
    assert len(set(peaks.values())) == 1
    assert sum(not peak.cached for peak in peaks.values()) == 1
    assert [one["tokens"] for one in features] == [asked["tokens"] for asked in VARIED.values()]
    assert len({one["signature"] for one in features}) == 1


OF_BUCKETS = """
import sys
from pathlib import Path
from pytest_af3mem.inputs.generate import generate
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.worker.xla.tracing import signature
folder, *buckets = sys.argv[1:]
sys.argv[1:] = []
model = AlphaFold3()
model.prepare(Path(folder), print)
for bucket in map(int, buckets):
    featurised = model.featurise(generate(bucket - 3, msa_depth=3).to_json(), (bucket,))
    assert signature(model.features_of_bucket(bucket).features) == signature(featurised.features)
assert model.features_of_bucket(4) is None
"""


def test_the_features_of_a_bucket_are_those_of_any_job_in_it(cache_dir):
    """With these a generated input is compiled, without featurising it."""
    subprocess.run([sys.executable, "-c", OF_BUCKETS, str(cache_dir), "24", "256", "1024", "2500"], check=True)


def test_the_peak_is_what_xla_will_ask_for_with_the_kernels_of_the_card(session):
    peak = session.wait(session.pool.submit(session.request(tokens=256)))

    assert peak.total_bytes == peak.program_bytes + peak.constant_bytes
    assert peak.argument_bytes + peak.output_bytes < peak.live_bytes <= peak.total_bytes
    assert peak.kernels.triton > 30
    assert peak.kernels.xla_fallbacks == ()
    assert peak.model.config["attention"] == "triton"
    assert peak.model.config["bfloat16"] == "all"
    if (version("alphafold3-colabfold"), version("jax")) == ("3.1.18", "0.10.2"):
        assert (peak.program_bytes, peak.constant_bytes) == (1_235_906_904, 6_866)


def test_who_holds_the_peak_is_told_to_the_byte_in_the_models_own_names(session):
    peak = session.wait(session.pool.submit(session.request(tokens=256)))

    assert peak.unattributed == ""
    sums = Counter[str]()
    for holder in peak.holders:
        sums[holder.kind] += holder.bytes
    assert sums.total() == peak.total_bytes
    assert sums["parameter"] + sums["input"] == peak.argument_bytes
    assert sums["output"] == peak.output_bytes
    assert sums["constant"] == peak.constant_bytes < 10_000
    assert peak.live_bytes == peak.total_bytes - sums["fragmentation"]
    assert explained(peak) > 0.95
    largest, *_ = by_component(peak)
    assert largest.startswith(("diffuser/evoformer/", "diffuser/diffusion_head"))
    assert {"diffuser/evoformer/msa_stack/outer_product_mean", "diffuser/diffusion_head/transformer"} <= {*peak.high_water}
    sources = {holder.source.partition(":")[0] for holder in peak.holders if holder.kind == "temporary" and holder.source}
    assert {source for source in sources if not (MODEL / source).is_file()} == set()
    assert "alphafold3/model/network/diffusion_transformer.py" in sources


def test_memory_over_program_order_has_the_peak_to_the_byte_and_the_stages_of_the_network(session):
    peak = session.wait(session.pool.submit(session.request(tokens=256)))

    timeline = peak.timeline
    assert timeline.reason == ""
    assert max(timeline.totals) == peak.live_bytes
    assert 100 < timeline.steps <= 200
    assert timeline.pair_bytes == 256 * 256 * 128 * 2
    stages = [stage.name for stage in timeline.stages]
    assert stages == ["embedding", "templates", "MSA stack", "Pairformer", "diffusion", "confidence", "distogram"]
    assert len(typed.render(timeline)) < 15_000


def test_fewer_recycles_and_diffusion_steps_leave_the_program_as_large_as_it_is(session):
    """What a real run leaves out to save time; tests/gpu sees the same on a card. Costs a compile."""
    usual, fewer = (
        session.wait(session.pool.submit(session.request(tokens=256, model_settings=settings)))
        for settings in ({}, AlphaFold3.fewer_iterations)
    )
    assert (fewer.model.config["num_recycles"], fewer.model.config["num_steps"]) == (1, 2)
    assert usual.model.config["num_recycles"] > 1
    sizes = ("program_bytes", "argument_bytes", "output_bytes", "temp_bytes", "alias_bytes")
    assert [getattr(fewer, name) for name in sizes] == [getattr(usual, name) for name in sizes]
    assert usual.live_bytes - fewer.live_bytes == usual.constant_bytes - fewer.constant_bytes
    assert 0 <= usual.constant_bytes - fewer.constant_bytes < 10_000  # the noise schedule is a constant of 8 bytes a step


def test_a_gate_on_the_real_network_goes_red(pytester, cache_dir):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.af3_tokens(256)
        @pytest.mark.af3_budget("1 GiB")
        def test_fits(): ...
        """
    )
    result = pytester.runpytest("--af3-gpu", f"--af3-cache-dir={cache_dir}", "--af3-json=report.json")

    result.assert_outcomes(failed=1)
    assert json.loads(Path("report.json").read_text())["measurements"][0]["verdict"] == "over"
    result.stdout.fnmatch_lines(
        ["GPU peak 1.15 GiB is over the budget of 1.00 GiB by * [[]256 tokens, bucket 256, h100-80gb, compiled]"]
    )


def test_a_dictionary_is_built_in_the_cache_and_nothing_in_the_installation(session, cache_dir):
    assert session.pool.components.is_relative_to(cache_dir)
    assert not [*Path(find_spec("alphafold3").origin).parent.rglob("*.pickle*")]


def test_editing_one_line_of_the_model_is_another_model(tmp_path, cache_dir):
    tree = copy_of_the_model(tmp_path)
    fingerprints = []
    for edit in ("", "# one more line\n"):
        with (tree / "alphafold3" / "model" / "model.py").open("a") as file:
            file.write(edit)
        session = Session(Settings(cache_dir=cache_dir, path=tree))
        fingerprints.append(session.installation.fingerprint)
        assert session.installation.distribution.endswith("a source tree")
        session.close()
    assert fingerprints[0] != fingerprints[1]


def test_half_an_edit_is_not_judged_with_the_models_own_error(tmp_path, cache_dir):
    tree = copy_of_the_model(tmp_path)
    source = tree / "alphafold3" / "model" / "network" / "evoformer.py"
    source.write_text(source.read_text() + "\n\nEvoformer.__call__ = lambda self, *_, **__: self.not_written_yet\n")
    session = Session(Settings(cache_dir=cache_dir, path=tree))

    with pytest.raises(NotJudged, match=r"the model does not initialise: AttributeError: .*not_written_yet"):
        session.wait(session.pool.submit(session.request(tokens=256)))
    session.close()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_sample": 1}, "alphafold3 has no setting 'num_sample'; did you mean num_samples"),
        ({"evoformer.num_mas": 1}, "no setting 'evoformer.num_mas': evoformer has no 'num_mas'; did you mean num_msa"),
        ({"global_confg.bfloat16": "none"}, "its config has no 'global_confg'; did you mean global_config?"),
        ({"num_samples": "five"}, "num_samples='five' must be of type int, as 5 is"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(session, settings, text):
    with pytest.raises(UsageError) as caught:
        session.wait(session.pool.submit(session.request(tokens=256, model_settings=settings)))
    assert text in str(caught.value)


def test_pytest_itself_imports_neither_jax_nor_alphafold3(session):
    assert session.installation.model == "alphafold3"
    assert not {"jax", "alphafold3", "haiku"} & set(sys.modules)
