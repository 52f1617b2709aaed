"""The kernels of a compiled program: XLA's thunks, the steps that it takes on a GPU, which may hold others.

Field numbers are those of xla/backends/gpu/runtime/thunk.proto of https://github.com/openxla/xla.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_af3mem.worker.xla.executable import parts
from pytest_af3mem.worker.xla.wire import Fields, decoded, fields

# Kinds of thunks by number, with the fields that hold sequences of others.
_HOLDING = {6: {2}, 7: {2, 3}, 18: {1}, 57: {3}}  # conditional, while, of a slice, asynchronous
_SEQUENCE, _GROUP = 2, 47  # hold others in their fields 1 and 2
_DEEPEST = 40
_KERNEL, _CUSTOM_KERNEL = 8, 36  # with jaxlib 0.10.2 all are of the second kind
_NAMED: Fields = {3: ("name", str), 6: ("shared_memory", int)}
_CUSTOM: Fields = {3: ("kernel", {1: ("name", str), 6: ("shared_memory", int)})}


def kernels(serialized: bytes) -> list[tuple[str, int]]:
    """Each kernel that an executable launches: its name, and the bytes of shared memory a block that it asks for.

    Raises ValueError where the executable is of no known form.
    """
    return list(_kernels(parts(serialized).thunks))


def _kernels(thunks: Iterable[bytes], depth: int = 0) -> Iterator[tuple[str, int]]:
    if depth > _DEEPEST:
        raise ValueError("thunks are nested too deeply")
    for thunk in thunks:
        for kind, _, content in fields(thunk):
            if kind in (_KERNEL, _CUSTOM_KERNEL):
                found = decoded(content, _NAMED) if kind == _KERNEL else decoded(content, _CUSTOM)["kernel"]
                yield found["name"], found["shared_memory"]
            elif kind in (_SEQUENCE, _GROUP):
                yield from _kernels(_all(content, {1 if kind == _SEQUENCE else 2}), depth + 1)
            elif kind in _HOLDING:
                for sequence in _all(content, _HOLDING[kind]):
                    yield from _kernels(_all(sequence, {1}), depth + 1)


def _all(data: bytes, numbers: set[int]) -> list[bytes]:
    return [content for number, _, content in fields(data) if number in numbers]
