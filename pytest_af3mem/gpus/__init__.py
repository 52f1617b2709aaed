"""GPUs: the targets that can be named, their memory, and those of this machine.

Names of `gpus.targets` are loaded when they are first used: pytest starts with the sizes of `gpus.size` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_af3mem.gpus.targets import Gpu as Gpu
    from pytest_af3mem.gpus.targets import UnknownTarget as UnknownTarget
    from pytest_af3mem.gpus.targets import carried as carried
    from pytest_af3mem.gpus.targets import described_as as described_as
    from pytest_af3mem.gpus.targets import find as find
    from pytest_af3mem.gpus.targets import learn as learn
    from pytest_af3mem.gpus.targets import learnt as learnt
    from pytest_af3mem.gpus.targets import names as names
    from pytest_af3mem.gpus.targets import select as select
    from pytest_af3mem.gpus.targets import spelled as spelled
    from pytest_af3mem.gpus.targets import take as take

_OF_TARGETS = ("Gpu", "UnknownTarget", "carried", "described_as", "find", "learn", "learnt", "names", "select", "spelled", "take")


def __getattr__(name: str) -> Any:
    if name not in _OF_TARGETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytest_af3mem.gpus import targets

    return getattr(targets, name)
