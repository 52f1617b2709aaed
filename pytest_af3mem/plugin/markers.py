"""The markers: one function for each, which checks what a marker says, and whose signature and docstring are its help.

A function returns what its marker says, by what it says that of: of several markers that say something of the same, the nearest
to the test counts. Light, since every session loads it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError

if TYPE_CHECKING:
    from pytest_af3mem.gpus.size import Size

_Function = Callable[..., Mapping[Any, Any]]


class Budget(NamedTuple):
    """At most `size` on `target`; without a target, on whichever the test measures for."""

    size: Size
    target: str | None


class Baseline(NamedTuple):
    """At most the baseline and `tolerance`; without one, that of `--af3-tolerance`."""

    tolerance: Size | None


class Marker(NamedTuple):
    """A test with a marker that `measures` is one of ours; `usage` is the error for arguments that do not fit the signature."""

    function: _Function
    usage: str
    measures: bool

    @property
    def help(self) -> str:
        """A line for `pytest --markers`."""
        parameters = inspect.signature(self.function).parameters.values()
        plain = ", ".join(str(one.replace(annotation=one.empty)) for one in parameters)
        return f"{self.function.__name__}({plain}): {' '.join((self.function.__doc__ or '').split())}"

    def read(self, mark: pytest.Mark) -> Mapping[Any, Any]:
        """What a mark says. Raises UsageError for what cannot be right."""
        try:
            inspect.signature(self.function).bind(*mark.args, **mark.kwargs)
        except TypeError:
            raise UsageError(self.usage.format(*mark.args)) from None
        return self.function(*mark.args, **mark.kwargs)


MARKERS: dict[str, Marker] = {}


def _marker(usage: str, *, measures: bool = True) -> Callable[[_Function], _Function]:
    def enter(function: _Function) -> _Function:
        MARKERS[function.__name__] = Marker(function, usage, measures)
        return function

    return enter


@_marker("af3_tokens needs at least one size, like af3_tokens(512), or every bucket up to one: af3_tokens(up_to=2048)")
def af3_tokens(
    *sizes: int, up_to: int | None = None, **job_options: Any
) -> Mapping[None, tuple[tuple[int, ...], int | None, Mapping[str, Any]]]:
    """run the test once for each size, or for every bucket up to one, on a generated AlphaFold 3 input of exactly so many
    tokens; options: chains, kinds, copies, ligands, smiles, modifications, msa_depth, paired_msa_depth, templates, seed."""
    from pytest_af3mem.inputs import generate

    if sizes and up_to is not None:
        spelled = spell("af3_tokens", sizes, {"up_to": up_to, **job_options})
        raise UsageError(f"{spelled}: sizes and up_to exclude each other: leave one out")
    all_tokens = sizes if up_to is None else (up_to,)
    if not all_tokens:
        raise UsageError(MARKERS["af3_tokens"].usage)
    mix = generate.Mix.of(job_options)
    for tokens in all_tokens:
        generate.check_tokens(tokens)
        generate.check_room(tokens, mix)
    return {None: (tuple(dict.fromkeys(sizes)), up_to, job_options)}


@_marker('af3_budget takes one size and perhaps a target, like af3_budget("16 GiB", target="a100-40gb")')
def af3_budget(size: str | int, /, *, target: str | None = None) -> Mapping[str | None, Budget]:
    """the GPU peak must stay within size, such as "16 GiB" or "95 %" of the target's memory; with target, on that GPU. May be
    repeated for several targets."""
    from pytest_af3mem.gpus.size import Size

    if not isinstance(target, str | None) or target == "":
        raise UsageError(f"af3_budget: target={target!r} must be the name of a target, like 'a100-40gb'")
    budget = Budget(Size.parse(size, name="af3_budget"), gpus.find(target).name if target else None)
    return {budget.target: budget}


@_marker('af3_baseline takes at most a tolerance, by name, like af3_baseline(tolerance="0.5 %")')
def af3_baseline(*, tolerance: str | int | None = None) -> Mapping[None, Baseline]:
    """the GPU peak must not exceed the one in the file of --af3-baseline by more than tolerance, such as "0.5 %" or "64 MiB"
    (default: that of --af3-tolerance)."""
    from pytest_af3mem.gpus.size import read_tolerance

    return {None: Baseline(None if tolerance is None else read_tolerance(tolerance, "af3_baseline: tolerance"))}


@_marker("af3_model takes settings by name, like af3_model(num_samples=1), not {0!r}", measures=False)
def af3_model(**settings: Any) -> Mapping[str, Any]:
    """settings of the model under test: num_samples, num_recycles, attention, bfloat16, num_msa, ..., or dotted paths in
    AlphaFold 3's config."""
    return settings


def spell(name: str, arguments: Collection[Any], options: Mapping[str, Any]) -> str:
    """A marker as it is written."""
    return f"{name}({', '.join([*map(repr, arguments), *(f'{option}={value!r}' for option, value in options.items())])})"


def measures(node: pytest.Item, fixtures: Collection[str]) -> bool:
    """Whether a test is one of ours."""
    return "gpu_peak" in fixtures or any(mark.name in MARKERS and MARKERS[mark.name].measures for mark in node.iter_markers())
