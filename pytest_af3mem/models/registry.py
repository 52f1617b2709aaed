"""From the name of a model, as `--af3-model` takes it, to the model."""

from __future__ import annotations

import importlib.metadata

from pytest_af3mem.errors import UsageError, near
from pytest_af3mem.models import alphafold3_files
from pytest_af3mem.models.model import Model

ENTRY_POINTS = "pytest_af3mem.models"
"""The group in which a package offers models by name: `[project.entry-points."pytest_af3mem.models"]` in its pyproject.toml."""


def load(name: str) -> Model:
    """The model called `name`: `alphafold3`, an object (or a class, then called) at `package.module:object`, or an entry point.

    `functions` is no network: functions are measured alone (`models.function`).

    A name that the installed AlphaFold 3 gives to a model of its family is one too, such as `boltz2` in ColabFold's wheel.
    Raises UsageError for another name, for what cannot be imported, and for an object that is no `Model`.
    """
    from pytest_af3mem.models.alphafold3 import AlphaFold3
    from pytest_af3mem.models.function import NAME, Functions

    if name.partition(" ")[0] == NAME:
        return Functions(name)
    if name in (family := alphafold3_files.family()):
        return AlphaFold3(name)
    offered = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    module, colon, attribute = offered.get(name, name).partition(":")
    if not colon:
        known = (*family, *sorted(offered))
        rule = f"there are {', '.join(known)}, and 'package.module:object' for a model of your own"
        raise UsageError(f"unknown model {name!r}{near(name, known)} ({rule})")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"model {name!r} cannot be loaded: {error}") from error
    model = found() if isinstance(found, type) else found
    if not isinstance(model, Model):
        methods = (part for part in vars(Model) if part[0] != "_" and callable(getattr(Model, part)))
        absent = [part for part in (*Model.__annotations__, *methods) if not hasattr(model, part)]
        raise UsageError(f"model {name!r} is not a pytest_af3mem Model, for it has no {', '.join(absent)}: see docs/models.md")
    return model
