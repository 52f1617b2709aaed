"""AlphaFold 3's config as its runner sets it up, and the settings that people change in it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import os
from typing import Any

from pytest_af3mem.errors import UsageError, near

# Short names for the settings that people change; any other is given by its dotted path in `model.Model.Config`, as these two:
# how many rows of the pair representation a transition, or an attention without a fused kernel, takes at once.
PAIR_TRANSITION_SHARDS = "global_config.pair_transition_shard_spec"
PAIR_ATTENTION_CHUNKS = "global_config.pair_attention_chunk_size"
SETTINGS = {
    "num_samples": "heads.diffusion.eval.num_samples",
    "num_steps": "heads.diffusion.eval.steps",
    "num_recycles": "num_recycles",
    "num_msa": "evoformer.num_msa",
    "attention": "global_config.flash_attention_implementation",
    "bfloat16": "global_config.bfloat16",
    "return_embeddings": "return_embeddings",
    "return_distogram": "return_distogram",
}

# The stages of the network in the order in which they run, by how the names of Haiku's modules begin (model/model.py,
# model/network/evoformer.py). What stands in the Evoformer itself, such as sums of its stacks, is in none.
STAGES = {
    "embedding": ("diffuser/evoformer_conditioning", "diffuser/evoformer/"),
    "templates": ("diffuser/evoformer/template_embedding",),
    "MSA stack": ("diffuser/evoformer/msa_stack",),
    "Pairformer": ("diffuser/evoformer/trunk_pairformer",),
    "diffusion": ("diffuser/diffusion_head",),
    "confidence": ("diffuser/confidence_head",),
    "distogram": ("diffuser/distogram_head",),
}

# What tokamax does about a kernel that its cache has no tuned configuration of: its `tokamax_autotuning_cache_miss_fallback`.
KERNEL_TUNING = "kernel_tuning"
TUNINGS = ("heuristics", "autotune")


def config_path(setting: str) -> str:
    """Where a setting lies in `model.Model.Config`: `num_samples` in `heads.diffusion.eval.num_samples`; paths as they are."""
    return SETTINGS.get(setting, setting)


def default_attention(compute_capability: tuple[int, int]) -> str:
    """`triton`, and `xla` before Ampere, which Triton needs (run_alphafold.py, --flash_attention_implementation)."""
    return "triton" if compute_capability >= (8, 0) else "xla"


def of_runner(family: str) -> Any:
    """The config as the installed version's runner sets it up: through a factory in ColabFold's wheel, directly upstream."""
    if importlib.util.find_spec("alphafold3.model.config_factory"):
        from alphafold3.model import config_factory

        return config_factory.make_model_config(model_name=family)
    from alphafold3.model import model

    return model.Model.Config()


def put(config: Any, name: str, value: Any) -> None:
    """Changes a setting of a config. Raises UsageError for one that it does not have, and for a value of another type."""
    path = config_path(name).split(".")
    current = config
    for at, part in enumerate(path):
        owner = current
        known = [field.name for field in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
        if part not in known:
            where = ".".join(path[:at]) or "its config"
            raise UsageError(f"AlphaFold 3 has no setting {name!r}: {where} has no {part!r}{near(part, known)}")
        current = getattr(owner, part)
    if isinstance(current, tuple) and isinstance(value, list):
        value = tuple(tuple(row) if isinstance(row, list) else row for row in value)
    if current is not None and value is not None and type(current) is not type(value):
        raise UsageError(f"{name}={value!r} must be of type {type(current).__name__}, as {current!r} is")
    setattr(owner, path[-1], value)


def get(config: Any, name: str) -> Any:
    """A setting of a config; None where it has none of that name."""
    return functools.reduce(lambda owner, part: getattr(owner, part, None), config_path(name).split("."), config)


def container_flags(compute_capability: tuple[int, int]) -> dict[str, bool | int | str]:
    """The flags of AlphaFold 3's container (docker/Dockerfile, docs/performance.md), unless `XLA_FLAGS` states others."""
    if os.environ.get("XLA_FLAGS", "").strip():
        return {}
    if compute_capability[0] == 7:
        return {"xla_disable_hlo_passes": "custom-kernel-fusion-rewriter"}
    return {"xla_gpu_enable_triton_gemm": False}


def tuned(how: str | None) -> contextlib.AbstractContextManager[None]:
    """While the model is traced; None leaves it to tokamax's own flag and to the model."""
    if how is None:
        return contextlib.nullcontext()
    from tokamax import config

    return config.autotuning_cache_miss_fallback(how)  # type: ignore[no-any-return]
