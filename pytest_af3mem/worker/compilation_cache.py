"""JAX's compilation cache around one compile: the program is kept in a folder, or loaded from there.

It is switched on by JAX's configuration and not by its environment variables, which belong to the identity of a measurement. What
is in the folder is run, so nobody else may write there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HIT = "/jax/compilation_cache/cache_hits"  # the event that JAX records where it loads a program (jax/_src/compiler.py)


@dataclass
class Lookup:
    """Whether the program was `found` in the cache, as JAX itself says."""

    found: bool = False


@contextlib.contextmanager
def used(folder: Path | None) -> Iterator[Lookup]:
    """What is compiled meanwhile is looked for in `folder` and kept there, however small it is; None: nothing is."""
    lookup = Lookup()
    if folder is None:
        yield lookup
        return
    import jax
    from jax import monitoring
    from jax.experimental.compilation_cache import compilation_cache

    options: dict[str, Any] = {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,  # 0 would leave it to the file system
        "jax_persistent_cache_enable_xla_caches": "none",  # XLA's own caches would change what a compile does
    }
    before = {name: getattr(jax.config, name) for name in options}

    def listen(event: str, **_: Any) -> None:
        lookup.found = lookup.found or event == _HIT

    monitoring.register_event_listener(listen)
    _configure(options)
    compilation_cache.reset_cache()  # or JAX remembers that it was off
    try:
        yield lookup
    finally:
        _configure(before)
        compilation_cache.reset_cache()


def _configure(options: dict[str, Any]) -> None:
    import jax

    config: Any = jax.config
    for name, value in options.items():
        config.update(name, value)
