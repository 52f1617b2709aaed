"""Functions as a `Model`: what `gpu_peak.of` measures. It knows arrays and no tokens, and needs no AlphaFold 3.

The functions of one module are one model, named by `spec`; `functions` alone is that of a session which measures no network.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import Af3memError, NotJudged, SetupError, UsageError, first_line
from pytest_af3mem.models import fingerprint
from pytest_af3mem.models.alphafold3 import AlphaFold3
from pytest_af3mem.models.alphafold3_config import container_flags
from pytest_af3mem.models.function_call import Call, array
from pytest_af3mem.models.model import Batch, Forward

NAME = "functions"


def spec(module: str, folder: Path | None) -> str:
    """What `--af3-model` would take for the functions of a module, which is in `folder` unless it is installed."""
    return f"{NAME} {module} {folder or ''}".strip()


class Functions:
    """The functions of a module. Each call is a program of its own, whose arguments are the features."""

    name = NAME
    settings: tuple[str, ...] = ("function",)
    lies_in_source_tree = False

    def __init__(self, spec: str):
        _, self._module, self._folder = [*spec.split(" ", 2), "", ""][:3]
        self._package = self._module.partition(".")[0]
        if self._folder:
            sys.path.append(self._folder)
        own, imports = _sources(self._package) if self._package else ([], set())
        network, *others = AlphaFold3.packages
        # Holders have the line of the first of these that made them: not of the function, where it calls what is under test.
        self.packages: tuple[str, ...] = tuple(dict.fromkeys([network, *reversed(own), *others]))
        uses_network = network in {self._package, *imports} and fingerprint.places([network])
        self._alphafold3 = AlphaFold3() if uses_network else None

    @property
    def depends_on(self) -> str:
        return "\n".join(fingerprint.all_installed())

    def distribution(self) -> str:
        if not self._module:
            return "functions alone"
        places = fingerprint.places([self._package])
        if not places:
            way_out = "install its package there, or give the folder that holds it with --af3-path"
            raise SetupError(f"{sys.executable} finds no module {self._module!r}, which the function is in: {way_out}")
        if self._folder and not any(_real(place).is_relative_to(_real(self._folder)) for place in places):
            rule = f"is {places[0]} for the worker and in {self._folder} for pytest: rename one of the two"
            raise SetupError(f"module {self._package!r} {rule}")
        network = self._alphafold3.distribution() if self._alphafold3 else ""
        if self._package in self.packages[:1]:
            return network
        own = f"{self._package} {fingerprint.installed(self._package) or ''}".strip()
        own = own if fingerprint.is_installed(Path(places[0])) else f"{self._package}, a source tree"
        return f"{own}, with {network}" if network else own

    def buckets(self) -> tuple[int, ...]:
        return ()

    def components(self, folder: Path, progress: Callable[[str], None]) -> None:
        return None

    def prepare(self, folder: Path, progress: Callable[[str], None]) -> None:
        if self._alphafold3:
            self._alphafold3.prepare(folder, progress)
        if self._module:
            try:
                with self._noticing_imports():
                    importlib.import_module(self._module)
            except UsageError:
                raise
            except Exception as error:
                way_out = f"install what it needs in {sys.executable}, or name another with --af3-python"
                raise SetupError(f"module {self._module!r} does not import: {first_line(error)}; {way_out}") from error

    def featurise(self, job: str, buckets: Sequence[int]) -> Batch:
        """The arguments of a call, by name; `job` is the call."""
        import numpy as np
        from jax import dtypes

        if not self._module:
            raise UsageError(f"--af3-model {NAME} measures no network: call gpu_peak.of(function, ...), or name a model")
        call = Call.parse(job)
        features = {}
        for name, text in _arrays(call.arguments, _names(call, self._function(call))):
            dtype, shape = array(text)
            kept = dtypes.canonicalize_dtype(np.dtype(dtype))
            if kept.name != dtype:
                rule = f"JAX makes {kept.name} of it unless JAX_ENABLE_X64=1 is set: write {kept.name}"
                raise UsageError(f"gpu_peak.of: argument {name!r} is {text}, and {rule}")
            if name in features:
                raise UsageError(f"gpu_peak.of: two arrays are called {name!r}: rename a key")
            features[name] = np.broadcast_to(np.zeros((), kept), shape)  # which takes no memory
        return Batch(features, None, None)

    def forward(self, settings: Mapping[str, Any], compute_capability: tuple[int, int]) -> Forward:
        """The function with its modules' parameters, where it makes such of Haiku."""
        if unknown := sorted({*settings} - {*self.settings}):
            raise UsageError(f"a function has no setting {unknown[0]!r}: give its arguments by name to gpu_peak.of")
        call = Call.parse(settings["function"])
        function = self._function(call)
        names = _names(call, function)

        def called(features: Mapping[str, Any]) -> Any:
            arguments = _filled(call.arguments, iter([features[name] for name, _ in _arrays(call.arguments, names)]))
            with self._noticing_imports():
                try:
                    return function(*arguments, **call.static)
                except (MemoryError, Af3memError):
                    raise
                except Exception as error:
                    raise NotJudged(f"{call.module}:{call.name} does not trace: {first_line(error)}") from error

        flags = container_flags(compute_capability)
        if importlib.util.find_spec("haiku") is None:
            return Forward(lambda key, features: {}, lambda parameters, key, features: called(features), dict(settings), flags)
        import haiku as hk

        transformed = hk.transform(called)
        return Forward(transformed.init, transformed.apply, dict(settings), flags)

    def _function(self, call: Call) -> Callable[..., Any]:
        """Raises UsageError for one that is not there, and for one that does not take these arguments."""
        module = sys.modules[self._module]
        try:
            function: Callable[..., Any] = operator.attrgetter(call.name)(module)
        except AttributeError as error:
            raise UsageError(f"gpu_peak.of: {error} ({module.__file__}): define it at the top of the module") from error
        if (signature := _signature(function)) is not None:
            try:
                signature.bind(*call.arguments, **call.static)
            except TypeError as error:
                rule = "each array is an argument before those by name"
                raise UsageError(f"gpu_peak.of: {error} of {call.name}{signature}: {rule}") from error
        return function

    @contextlib.contextmanager
    def _noticing_imports(self) -> Iterator[None]:
        """Refuses what is imported in a way that `packages` does not see: an edit of it would not be a new measurement."""
        before = set(sys.modules)
        yield
        fresh = {name.partition(".")[0] for name in {*sys.modules} - before}
        if unseen := [name for name in sorted(fresh - {*self.packages}) if _is_loose(name)]:
            way_out = f"write 'import {unseen[0]}' in its module"
            raise UsageError(f"{self._module} imports {unseen[0]} otherwise than by a statement: {way_out}")


def _sources(package: str) -> tuple[list[str], set[str]]:
    """A package and what it imports, and what that imports, as far as nobody installed it; and all that they import."""
    found, imports = [package], set[str]()
    for one in found:
        fresh = fingerprint.imported(one) - imports
        imports |= fresh
        found += [name for name in sorted(fresh) if name not in found and _is_loose(name)]
    return found, imports


def _real(path: str) -> Path:
    return Path(path).resolve()


def _is_loose(package: str) -> bool:
    """Whether it is neither installed, nor Python's, nor ours: a source tree that anyone may edit."""
    if package in sys.stdlib_module_names or package in ("pytest_af3mem", "__main__"):
        return False
    return any(not fingerprint.is_installed(Path(place)) for place in fingerprint.places([package]))


def _names(call: Call, function: Callable[..., Any]) -> list[str]:
    """Of the positional arguments, as the function calls them, else their numbers."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = _signature(function)
    known = [one.name for one in signature.parameters.values() if one.kind in kinds] if signature else []
    return [known[at] if at < len(known) else str(at) for at in range(len(call.arguments))]


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None of what has none, as some that are not written in Python."""
    with contextlib.suppress(ValueError, TypeError):
        return inspect.signature(function)
    return None


def _arrays(arguments: Sequence[Any], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each array of these trees with its place, `bias/weights` or `0/1`."""
    for argument, name in zip(arguments, names, strict=True):
        if isinstance(argument, str):
            yield name, argument
        elif argument is not None:
            parts = argument if isinstance(argument, dict) else dict(enumerate(argument))
            yield from _arrays([*parts.values()], [f"{name}/{key}" for key in parts])


def _filled(tree: Any, arrays: Iterator[Any]) -> Any:
    """The tree with arrays in the place of their texts, in the order of `_arrays`."""
    if isinstance(tree, dict):
        return {key: _filled(part, arrays) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([_filled(part, arrays) for part in tree])
    return None if tree is None else next(arrays)
