"""Variables of the environment that a worker starts with. Read by who starts it, so nothing of JAX is imported here."""

from __future__ import annotations

from collections.abc import Mapping

# JAX and CUDA read these when they are imported: no GPU is looked for, and one that is there is not seen, so that a compile
# leaves nothing on it besides what is measured there; a CUDA plugin without CUDA's libraries is accepted, and compiled programs
# are not kept, since without a device they cannot be loaded again.
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "JAX_PLATFORMS": "cpu",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
}


def environment(outside: Mapping[str, str], uuid: str) -> dict[str, str]:
    """What JAX must find in the environment before it is imported, given what is there.

    Without preallocation the pool grows by need. AlphaFold 3's container lets it have 95 % of the GPU (docker/Dockerfile); JAX's
    own default is 75 %, with which a model would run out of memory that its users have. Whoever states a share keeps it.
    """
    share = (
        {}
        if {"XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"} & outside.keys()
        else {"XLA_CLIENT_MEM_FRACTION": "0.95"}
    )
    return {
        "CUDA_VISIBLE_DEVICES": uuid,
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # a program from there would not be tuned, whose scratch is measured too
        "JAX_PLATFORMS": "cuda,cpu",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        **share,
    }
