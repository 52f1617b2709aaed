"""GPUs: the targets that can be named, their memory, and those of this machine.

Names of the catalogue are loaded when they are first used: pytest starts with the sizes of `gpus.size` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_af3mem.gpus.catalogue import Gpu as Gpu
    from pytest_af3mem.gpus.catalogue import UnknownTarget as UnknownTarget
    from pytest_af3mem.gpus.catalogue import find as find
    from pytest_af3mem.gpus.catalogue import names as names
    from pytest_af3mem.gpus.catalogue import select as select

_OF_THE_CATALOGUE = ("Gpu", "UnknownTarget", "find", "names", "select")


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_CATALOGUE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_af3mem.gpus import catalogue

    return getattr(catalogue, name)
