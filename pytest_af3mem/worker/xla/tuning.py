"""What tokamax keeps on a GPU when it tunes kernels while a model is traced: the inputs of candidates.

Told to tune where its cache has no entry (`tokamax_autotuning_cache_miss_fallback=autotune`), tokamax 0.0.12 and 0.0.13 puts the
inputs of each operation on the GPU in full size, and keeps the exception of every candidate that fails, whose traceback holds
them. So what is tuned is noted here in the place of being tuned, which would take the GPU.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tuned:
    """Bytes of the inputs of each operation that tokamax would tune, by operation and kind of its arguments."""

    bytes_by_key: dict[Any, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int | None:
        """The most that may stay on the GPU; None where nothing would be tuned."""
        return sum(self.bytes_by_key.values()) if self.bytes_by_key else None


@dataclass(frozen=True)
class _Untuned:
    """In the place of what tuning finds out."""

    fastest_config: Any


@contextlib.contextmanager
def noted() -> Iterator[Tuned]:
    """Notes what tokamax would tune meanwhile; each operation gets the configuration that tokamax has without tuning.

    A model is traced alike whether another was traced before in this process or not: what JAX has traced it knows again by its
    state and tokamax's, and tokamax makes its own when the first operation is traced. So it is made here.
    """
    tuned = Tuned()
    operations = sys.modules.get("tokamax._src.ops.op")
    getattr(operations, "get_autotuning_cache_overlay_state", tuple)()
    bound: Any = getattr(operations, "BoundArguments", None)
    original = getattr(bound, "autotune", None)
    if original is None:
        yield tuned
        return

    def autotune(self: Any, *_: Any, **__: Any) -> _Untuned:
        key = (self.op, self.autotuning_cache_key)
        tuned.bytes_by_key[key] = sum(map(_bytes, _arrays(dict(self.arguments))))
        return _Untuned(self.heuristics_config)

    bound.autotune = autotune
    try:
        yield tuned
    finally:
        bound.autotune = original


def _arrays(arguments: Any) -> list[Any]:
    import jax

    return [one for one in jax.tree.leaves(arguments) if hasattr(one, "shape") and hasattr(one, "dtype")]


def _bytes(array: Any) -> int:
    """Of an array with the axes that it has where the operation is mapped over them."""
    shape: tuple[int, ...] = getattr(array, "vmap_shape", array.shape)
    return math.prod(shape) * int(array.dtype.itemsize)
