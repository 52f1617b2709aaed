"""Python's search for garbage in cycles, which costs a measurement a tenth of its trace and half of its reading."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

_SELDOM = (50_000, 20, 100)  # CPython 3.12's own: 700, 10, 10


@contextlib.contextmanager
def sought_seldom() -> Iterator[None]:
    """Meanwhile it is sought at every fifty-thousandth object, for a trace makes millions, and keeps nearly all of them.

    Not while a program runs on a GPU, where garbage may hold arrays, and they are counted.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
