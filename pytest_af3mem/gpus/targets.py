"""Targets by name: those of the catalogue, those that a file describes, and the GPUs that are here.

A described target is known to the process that read it, under a name of its own; `carried` and `take` bring it to another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus import described
from pytest_af3mem.gpus.catalogue import TARGETS
from pytest_af3mem.gpus.gpu import Gpu as Gpu

_DESCRIPTION = "target_config"
_learnt: dict[str, Gpu] = {}


class UnknownTarget(UsageError):
    """What is not a name in the catalogue; the text names near ones."""


def names() -> tuple[str, ...]:
    """Every target of the catalogue: whole GPUs, then the slices of each, small to large."""
    return tuple(TARGETS)


def find(name: str) -> Gpu:
    """The target called `name`, in any case, or described by the file of that name (`.txtpb`), or here in this machine.

    Raises UnknownTarget for any other, a GPU without its memory included, and UsageError for a file that describes none.
    """
    if not isinstance(name, str):
        raise UnknownTarget(f"unknown target {name!r} (all: af3mem doctor)")
    low = name.lower()
    if known := TARGETS.get(low) or _learnt.get(low):
        return known
    if low.endswith(described.SUFFIX):
        return learn(described.read(Path(name)))
    from pytest_af3mem.gpus import local, unlisted

    if low in local.targets(os.environ):
        return _learnt[low]
    raise UnknownTarget(f"unknown target {name!r}{unlisted.hint(low, names())} (all: af3mem doctor)")


def described_as(device: str) -> list[str]:
    """The names of the targets that CUDA, and so JAX's `device_kind`, calls by this name."""
    return [name for name in (*names(), *learnt()) if find(name).description == device]


def select(text: str) -> tuple[Gpu, ...]:
    """The targets that `text` names: `l4-24gb,a100*`, `all`, or `gpus` for those that are not slices; in catalogue order.

    Raises UnknownTarget for a name, and for a pattern (`*`, `?`), that fits none.
    """
    from fnmatch import fnmatchcase

    wanted: dict[str, Gpu] = {}
    for part in text.split(","):
        word = part.strip().lower()
        if word in ("all", "gpus", "cards"):
            found = [target for target in TARGETS.values() if word == "all" or not target.is_slice]
        elif any(letter in word for letter in "*?["):
            found = [target for name, target in TARGETS.items() if fnmatchcase(name, word)]
        else:
            found = [find(part.strip())]
        if not found:
            raise UnknownTarget(f"no target is like {word!r} (all: af3mem doctor)")
        wanted |= {target.name: target for target in found}
    order = list(TARGETS)
    return tuple(sorted(wanted.values(), key=lambda target: order.index(target.name) if target.name in TARGETS else len(order)))


def learn(target: Gpu) -> Gpu:
    """Makes `find` know a described target in this process."""
    _learnt[target.name] = target
    return target


def learnt() -> tuple[str, ...]:
    """All described targets that this process knows."""
    return tuple(_learnt)


def carried(name: str) -> dict[str, str]:
    """What a record of this target has besides its name, so that another process can `take` it; nothing for the catalogue's."""
    return {_DESCRIPTION: _learnt[name].config} if name in _learnt else {}


def take(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without what `carried` put there, which `find` then knows. Raises UsageError for what describes no target."""
    own = {key: value for key, value in record.items() if key != _DESCRIPTION}
    name, text = record.get("target"), record.get(_DESCRIPTION)
    if isinstance(name, str) and isinstance(text, str) and carried(name) != {_DESCRIPTION: text}:
        learn(described.parse(text, name, name))
    return own


def spelled(name: str) -> str:
    """What people write for this target: the path of the file that describes it, else its name."""
    source = _learnt[name].source if name in _learnt else ""
    return source if source.lower().endswith(described.SUFFIX) else name
