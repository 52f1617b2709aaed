"""pytest-af3mem: how much GPU memory AlphaFold 3 needs, who holds it, and which GPU it still fits.

Importing this imports neither JAX nor NumPy nor Hypothesis; names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_af3mem.gpus.size import Size as Size
    from pytest_af3mem.inputs.generate import generate as generate
    from pytest_af3mem.inputs.job import Job as Job
    from pytest_af3mem.inputs.strategies import jobs as jobs
    from pytest_af3mem.records.peak import Peak as Peak
    from pytest_af3mem.session.measuring import measure as measure

__version__ = "0.1.0"
__all__ = ["Job", "Peak", "Size", "__version__", "generate", "jobs", "measure"]

_HOMES = {
    "Job": "pytest_af3mem.inputs.job",
    "Peak": "pytest_af3mem.records.peak",
    "Size": "pytest_af3mem.gpus.size",
    "generate": "pytest_af3mem.inputs.generate",
    "jobs": "pytest_af3mem.inputs.strategies",
    "measure": "pytest_af3mem.session.measuring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
