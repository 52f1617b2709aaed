"""pytest's door: options, markers and the `gpu_peak` fixture. Light on purpose: what measures is loaded with `--af3-gpu`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pytest

from pytest_af3mem.errors import Af3memError
from pytest_af3mem.settings import OPTIONS, Settings, is_true

if TYPE_CHECKING:
    from pytest_af3mem.fixture import GpuPeak
    from pytest_af3mem.measuring import Measuring

_OFF = "needs --af3-gpu: it measures GPU memory of AlphaFold 3"
_MARKERS = (
    "af3_tokens(*sizes, up_to=None, **job_options): run the test once for each size, or for every bucket up to one, on a"
    " generated AlphaFold 3 input of exactly so many tokens; options: chains, kinds, copies, ligands, smiles,"
    " modifications, msa_depth, paired_msa_depth, templates, seed.",
    'af3_budget(size, target=None): the GPU peak must stay within size, such as "16 GiB" or "95 %" of the target\'s memory;'
    " with target, on that GPU. May be repeated for several targets.",
    "af3_baseline(tolerance=None): the GPU peak must not exceed the one in the file of --af3-baseline by more than tolerance,"
    ' such as "0.5 %" or "64 MiB" (default: that of --af3-tolerance).',
    "af3_model(**settings): settings of the model under test: num_samples, num_recycles, attention, bfloat16, num_msa, ...,"
    " or dotted paths in AlphaFold 3's config.",
)
_KEY: pytest.StashKey[Measuring] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("af3mem", "GPU memory of AlphaFold 3 (pytest-af3mem)")
    group.addoption("--af3-gpu", action="store_true", dest="af3_gpu", help="run the tests that measure GPU memory")
    parser.addini("af3_gpu", "as --af3-gpu", default="")
    for option in OPTIONS:
        how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {"action": "store_true"}
        group.addoption(option.flag, dest=f"af3_{option.name}", default=None, help=option.help, **how)
        parser.addini(f"af3_{option.name}", f"as {option.flag}")


def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
    try:
        if not is_true(
            config.getoption("af3_gpu") or os.environ.get("AF3MEM_GPU") or config.getini("af3_gpu") or False, "--af3-gpu"
        ):
            return
        from pytest_af3mem import host
        from pytest_af3mem.measuring import Measuring

        ini = {option.name: config.getini(f"af3_{option.name}") for option in OPTIONS}
        if ini["baseline"]:  # of the project, wherever in it pytest is started
            ini["baseline"] = str(config.rootpath / ini["baseline"])
        settings = Settings.read({option.name: config.getoption(f"af3_{option.name}") for option in OPTIONS}, ini)
        measuring = Measuring(config, settings)
    except Af3memError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_KEY] = measuring
    signals = contextlib.ExitStack()
    signals.enter_context(host.ends_on_signals())
    config.add_cleanup(signals.close)
    config.pluginmanager.register(measuring, "af3mem-measuring")
    if measuring.keeping:
        config.pluginmanager.register(measuring.keeping, "af3mem-baseline")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Checks the markers of each test, also where nothing is measured, and runs it once for each size."""
    if not measures(metafunc.definition, metafunc.fixturenames):
        return
    from pytest_af3mem import marks

    measuring = metafunc.config.stash.get(_KEY, None)
    try:
        asked = marks.read(metafunc.definition.iter_markers(), metafunc.fixturenames)
        if measuring is not None and measuring.described:
            measuring.session.check_settings(dict(asked.settings))
    except Af3memError as error:
        raise pytest.fail.Exception(f"{metafunc.definition.nodeid}: {error}", pytrace=False) from None
    buckets = measuring.session.buckets if measuring is not None and measuring.described else ()
    if sizes := asked.all_sizes(buckets):
        if "af3_tokens" not in metafunc.fixturenames:  # a test need not take the argument
            metafunc.fixturenames.append("af3_tokens")
        metafunc.parametrize("af3_tokens", sizes)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _KEY not in config.stash:
        for item in items:
            if measures(item, getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.skip(reason=_OFF))


def measures(node: pytest.Item, fixtures: Collection[str]) -> bool:
    """Whether a test is one of ours."""
    return "gpu_peak" in fixtures or any(
        mark.name in ("af3_tokens", "af3_budget", "af3_baseline") for mark in node.iter_markers()
    )


@pytest.fixture(scope="session")
def gpu_peak(request: pytest.FixtureRequest) -> GpuPeak:
    """Peak GPU memory of AlphaFold 3 inference: `gpu_peak(tokens=1024) <= "12 GiB"`.

    Called without arguments it measures the size that `af3_tokens` gives the test.
    """
    measuring = request.config.stash.get(_KEY, None)
    if measuring is None:
        pytest.skip(_OFF)
    return measuring.gpu_peak
