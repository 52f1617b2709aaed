"""Where in XLA's schedule the stages of a model begin, by the scopes of its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_af3mem.records.timeline import Stage
from pytest_af3mem.worker.xla.executable import Program
from pytest_af3mem.worker.xla.scopes import of_operation


def found(program: Program, named: Mapping[str, Sequence[str]], per_step: int) -> tuple[Stage, ...]:
    """The stages that the program has, of those in `named`: each with how the components in it begin, in the order they run.

    They are cut where most operations agree, for XLA moves single ones to where others run, and names what two stages share
    after one of them. `per_step` of the program's events are one step.
    """
    running = {event.instruction for event in program.events}
    operations = {one.name: of_operation(one.op_name) for one in program.instructions.values() if one.name in running}
    labels = [_label(operations.get(event.instruction, ""), named) for event in program.events]
    order = [name for name in named if name in labels]
    if not order:
        return ()
    path = _in_order([order.index(label) if label else None for label in labels], len(order))
    begins: dict[str, int] = {}
    for moment, (label, stage) in enumerate(zip(labels, path, strict=True)):
        if label == order[stage] and label not in begins:
            begins[label] = moment // per_step if begins else 0
    last_of_step = {first: name for name, first in begins.items()}
    return tuple(Stage(name, first) for first, name in last_of_step.items())


def _label(component: str, named: Mapping[str, Sequence[str]]) -> str:
    """The stage whose beginning is the longest that the component has; empty where it is in none."""
    fitting = ((len(begin), name) for name, begins in named.items() for begin in begins if component.startswith(begin))
    return max(fitting, default=(0, ""))[1]


def _in_order(labels: Sequence[int | None], stages: int) -> list[int]:
    """The stage of each moment, never an earlier one after a later one, so that most labels are met."""
    met, earlier = [0] * stages, []
    for label in labels:
        best, before = 0, []
        for stage in range(stages):
            best = stage if met[stage] > met[best] else best
            before.append(best)
        met = [met[best] + (label == stage) for stage, best in enumerate(before)]
        earlier.append(before)
    path: list[int] = []
    stage = met.index(max(met))
    for before in reversed(earlier):
        path.append(stage)
        stage = before[stage]
    return path[::-1]
