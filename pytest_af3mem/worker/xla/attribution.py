"""Who holds the peak, and what grew: XLA's plan for the buffers of a program, told in the model's own names.

Pure functions: a `Program` as `executable` reads it, or what peaks hold, in; records out.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pytest_af3mem.errors import first_line
from pytest_af3mem.records.holders import FRAGMENTATION
from pytest_af3mem.records.peak import Holder
from pytest_af3mem.records.timeline import Timeline, bands
from pytest_af3mem.worker.xla import stages
from pytest_af3mem.worker.xla.executable import ALLOCATE, SHARE, Allocation, Buffer, Program
from pytest_af3mem.worker.xla.scopes import PARAMETERS, Names, argument

_TINY = 1_000  # arrays below a thousandth of the total are counted together
_MOST_STEPS, _MOST_BANDS, _MOST_POINTS = 200, 16, 600  # of a timeline: some 15 kB of JSON at most


@dataclass(frozen=True)
class Attribution:
    """`holders`, `high_water`, `live_bytes` and `timeline` of a `Peak`, or the `reason` why they are not known."""

    holders: tuple[Holder, ...] = ()
    high_water: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    live_bytes: int | None = None
    timeline: Timeline | None = None


def attribute(
    program: Program,
    packages: Sequence[str],
    total_bytes: int,
    live_bytes: int | None,
    named: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Attribution:
    """Who holds the peak of `program`, the most that temporaries of each component ever take together, and all of it over time.

    Source lines are those of `packages`, folders or files with the model's own first. `named` are the stages of the model, as
    those of a `Forward`. Raises ValueError where the buffers do not
    add up to what XLA says that it asks for (`total_bytes`) and has alive at the peak (`live_bytes`; None: it does not say).
    """
    names = Names(program, packages)
    replay = _Replay(program, names)
    kept = [one for allocation in program.allocations if (one := _kept(allocation, program, names))]
    constants = [one for one in kept if one.kind == "constant"]
    slab = sum(one.size for one in program.allocations if is_slab(one))
    held, constant_bytes = _bytes(kept) - _bytes(constants), _bytes(constants)
    alive = held + constant_bytes + replay.peak_bytes
    if live_bytes not in (None, alive):
        raise ValueError(f"{alive} bytes are alive at the peak, and XLA says {live_bytes}")
    if total_bytes == held + slab:  # as memory_analysis() says it, which counts no constants
        kept = [one for one in kept if one.kind != "constant"]
    elif total_bytes != held + constant_bytes + slab:
        raise ValueError(f"buffers add up to {held + slab} bytes, and XLA says {total_bytes}")
    idle = slab - replay.peak_bytes
    fragmentation = [Holder(FRAGMENTATION, FRAGMENTATION, idle)] if idle else []
    holders = _grouped([*kept, *replay.holders(), *fragmentation], total_bytes // _TINY)
    timeline = _timeline(program, names, replay, alive, named)
    return Attribution(tuple(holders), replay.high_water, live_bytes=alive, timeline=timeline)


def _timeline(program: Program, names: Names, replay: _Replay, live_bytes: int, named: Mapping[str, Sequence[str]]) -> Timeline:
    """Memory over program order, or why it is not known: the numbers are good without it."""
    try:
        arrays = {}
        for component, buffer in replay.largest.items():
            arrays[component] = (program.instructions[buffer.instruction].array(buffer.index), names.source(buffer))
        steps, per_step = replay.steps or [{}], replay.per_step
        held = bands(steps, arrays, _MOST_BANDS)
        while sum(len(band.points) for band in held) > _MOST_POINTS:
            steps = [max(steps[first : first + 2], key=lambda one: sum(one.values())) for first in range(0, len(steps), 2)]
            per_step *= 2
            held = bands(steps, arrays, _MOST_BANDS)
        found = Timeline(len(steps), live_bytes - replay.peak_bytes, held, stages.found(program, named, per_step))
        if max(found.totals) != live_bytes:
            raise ValueError(f"its peak is {max(found.totals)} bytes, and {live_bytes} are alive")
        return found
    except (ValueError, IndexError, KeyError) as error:
        return Timeline(reason=f"memory over program order is not known: {first_line(error)}")


def is_slab(allocation: Allocation) -> bool:
    """Whether temporaries lie in it."""
    return allocation.parameter is None and not (allocation.output or allocation.constant or allocation.thread_local)


def _kept(allocation: Allocation, program: Program, names: Names) -> Holder | None:
    """Who holds an allocation that lives as long as the program runs; None for another, and for one of threads of a kernel."""
    buffers = sorted((program.buffers[one] for one in allocation.buffers), key=lambda buffer: -buffer.size)
    if allocation.parameter is not None:
        chosen = next((one for one in buffers if names.is_argument(program.instructions[one.instruction])), buffers[0])
        name = program.instructions[chosen.instruction].op_name
        kind = "parameter" if argument(name) in PARAMETERS else "input"
    elif allocation.output:
        root = program.roots[program.entry]
        chosen = next((one for one in buffers if root in (one.instruction, *one.places)), buffers[0])
        kind = "output"
    elif allocation.constant:
        chosen, kind = buffers[0], "constant"
    else:
        return None
    return _holder(chosen, kind, allocation.size, program, names)


def _holder(buffer: Buffer, kind: str, size: int, program: Program, names: Names) -> Holder:
    array = program.instructions[buffer.instruction].array(buffer.index)
    return Holder(names.component(buffer), kind, size, array, names.source(buffer))


class _Replay:
    """XLA's plan for the temporaries, event by event: `peak_bytes` are the most that are alive at once.

    `steps` are what each component holds at the fullest moment of every `per_step` events, and `largest` its largest buffer.
    A buffer that is laid over another one while that is alive takes no memory of its own; the last one alive holds it.
    """

    def __init__(self, program: Program, names: Names):
        self._program, self._names = program, names
        self._at_peak = 0  # number of the event
        self.peak_bytes = now = 0
        self.high_water: dict[str, int] = {}
        self.largest: dict[str, Buffer] = {}
        self.steps: list[dict[str, int]] = []
        self.per_step = math.ceil(len(program.events) / _MOST_STEPS)
        fullest = 0
        holding: Counter[str] = Counter()
        for number, (first, before, owners) in enumerate(self._events(), start=1):
            size = program.buffers[first].size
            for owner, sign in ((before, -1), (owners[-1] if owners else None, 1)):
                if owner is not None:
                    component = names.component(program.buffers[owner])
                    holding[component] += sign * size
                    now += sign * size
                    if sign > 0:
                        self.high_water[component] = max(self.high_water.get(component, 0), holding[component])
                        if component not in self.largest or size > self.largest[component].size:
                            self.largest[component] = program.buffers[owner]
            if len(self.steps) * self.per_step < number:
                self.steps.append({})
                fullest = -1
            if now > fullest:
                fullest = now
                self.steps[-1] = {name: held for name, held in holding.items() if held}
            if now > self.peak_bytes:
                self.peak_bytes, self._at_peak = now, number

    def _events(self) -> Iterator[tuple[int, int | None, list[int]]]:
        """Of each event: the buffer whose place it is about, who held it before, and all that are alive there now."""
        alive: dict[int, list[int]] = {}
        place: dict[int, int] = {}
        for event in self._program.events:
            if event.kind == ALLOCATE:
                place[event.buffer] = event.buffer
            elif event.kind == SHARE:
                place[event.buffer] = place[event.shared]
            owners = alive.setdefault(place[event.buffer], [])
            before = owners[-1] if owners else None
            if event.kind in (ALLOCATE, SHARE):
                owners.append(event.buffer)
            else:
                owners.remove(event.buffer)
            yield place[event.buffer], before, owners

    def holders(self) -> Iterator[Holder]:
        """Who holds the temporaries at their peak: replayed up to there, for noting them at each new one is quadratic."""
        running = self._running()
        alive = {first: owners for first, _, owners in itertools.islice(self._events(), self._at_peak)}
        for first, owners in alive.items():
            if owners:
                buffer = self._program.buffers[owners[-1]]
                kind = "carry" if running.intersection(self._names.loops(buffer)) else "temporary"
                yield _holder(buffer, kind, self._program.buffers[first].size, self._program, self._names)

    def _running(self) -> set[int]:
        """The loops that run at the peak, one in the other."""
        instructions = self._program.instructions
        callers = {called: identity for identity, one in instructions.items() for called in one.called}
        name = self._program.events[self._at_peak - 1].instruction if self._at_peak else ""
        current = next((identity for identity, one in instructions.items() if one.name == name), None)
        found: set[int] = set()
        while current is not None and current not in found:
            found.add(current)
            current = callers.get(instructions[current].computation)
        return {one for one in found if instructions[one].opcode == "while"}


def _grouped(holders: Iterable[Holder], tiny: int) -> list[Holder]:
    """Alike holders as one, the largest first; those of less than `tiny` bytes by component and kind alone."""
    alike: dict[tuple[str, str, str, str], list[Holder]] = defaultdict(list)
    for one in holders:
        alike[one.component, one.kind, one.array, one.source].append(one)
    groups: dict[tuple[str, str, str, str], list[Holder]] = defaultdict(list)
    for (component, kind, array, source), found in alike.items():
        groups[(component, kind, "", "") if _bytes(found) < tiny else (component, kind, array, source)] += found
    counted = [
        Holder(component, kind, _bytes(found), array, source, len(found))
        for (component, kind, array, source), found in groups.items()
    ]
    return sorted(counted, key=lambda one: (-one.bytes, one.component, one.kind, one.array, one.source))


def _bytes(holders: Iterable[Holder]) -> int:
    return sum(one.bytes for one in holders)
