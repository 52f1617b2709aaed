"""The markers: what each takes, and whether a test is one of ours. Light, since every session loads it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

MARKERS = (
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


def measures(node: pytest.Item, fixtures: Collection[str]) -> bool:
    """Whether a test is one of ours."""
    return "gpu_peak" in fixtures or any(
        mark.name in ("af3_tokens", "af3_budget", "af3_baseline") for mark in node.iter_markers()
    )
