"""What XLA says of a program that it compiled: its scheduled HLO module and its buffer assignment.

XLA dumps both as one protocol buffer, an HloProto. `compiled.runtime_executable().serialize()` holds them too, in a container
that depends on the version of jaxlib. Field numbers are those of xla/service/hlo.proto and xla/xla_data.proto of https://github.com/openxla/xla.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_af3mem.worker.xla.wire import SIGNATURE, Fields, decoded, fields, records, varint

# xla_data.proto's PrimitiveType by number, spelled as JAX does; others are numbers of bits that no model here uses.
_TYPES = dict(enumerate("? bool i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 f64 tuple opaque c64 bf16 token c128 f8_e5m2".split()))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One HLO instruction; `computation`, `operands` and `called` are ids, `frame` is the innermost of its stack frames.

    `target` is what a custom call calls, `note` what tokamax says of the operation.
    """

    name: str
    opcode: str
    computation: int
    op_name: str
    frame: int
    operands: tuple[int, ...]
    called: tuple[int, ...]
    shape: bytes = field(repr=False)
    target: str = ""
    note: str = field(default="", repr=False)

    def array(self, index: Sequence[int] = ()) -> str:
        """Type and shape, of one element where the instruction makes a tuple: `bf16[1024,1024,128]`."""
        shape = self.shape
        for position in index:
            shape = decoded(shape, _SHAPE)["elements"][position]
        found = decoded(shape, _SHAPE)
        kind = found["type"]
        return f"{_TYPES.get(kind, f'type{kind}')}[{','.join(map(str, found['dimensions']))}]"


@dataclass(frozen=True, slots=True)
class Buffer:
    """A value that needs memory: `index` of what `instruction` makes. `places` are other instructions that it passes through."""

    size: int
    instruction: int
    index: tuple[int, ...]
    places: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Allocation:
    """Memory that XLA asks for in one piece, and the ids of the buffers in it."""

    size: int
    thread_local: bool
    constant: bool
    parameter: int | None
    output: bool
    buffers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A step of XLA's plan for its temporaries: `buffer` is allocated, freed, or laid over `shared` while that is alive."""

    kind: int
    buffer: int
    instruction: str
    shared: int


ALLOCATE, FREE, SHARE = range(3)
_HOST = 5  # the number of the memory space that is the host's
_NOTE = b"tokamax:{"
_THUNK = 13
_DEEPEST = 10  # containers in containers


@dataclass(frozen=True)
class Parts:
    """Of a GpuExecutableProto: an HloModuleProto, a BufferAssignmentProto, and ThunkProtos, which older versions lack.

    `others` are its other fields by number, among them what it was compiled for.
    """

    module: bytes
    assignment: bytes
    thunks: tuple[bytes, ...]
    others: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A compiled program with its buffers. `roots` are the root instructions of computations, `frames` stack frames by id.

    A frame is the file, the function, the line and the id of the frame that called it, 0 for none.
    """

    instructions: dict[int, Instruction]
    roots: dict[int, int]
    entry: int
    buffers: dict[int, Buffer]
    allocations: tuple[Allocation, ...]
    events: tuple[Event, ...]
    frames: dict[int, tuple[str, str, int, int]]


# Fields that are read, by number: a name and what it holds. A list is a repeated field, a table a message within the message.
_SHAPE: Fields = {2: ("type", int), 3: ("dimensions", [int]), 4: ("elements", [bytes])}
_METADATA: Fields = {2: ("op_name", str), 15: ("frame", int)}
_INSTRUCTION: Fields = {
    1: ("name", str),
    2: ("opcode", str),
    3: ("shape", bytes),
    7: ("metadata", bytes),
    28: ("target", str),
    35: ("id", int),
    36: ("operands", [int]),
    38: ("called", [int]),
}
_COMPUTATION: Fields = {2: ("instructions", [_INSTRUCTION]), 5: ("id", int), 6: ("root", int)}
_FRAMES: Fields = {
    1: ("files", [str]),
    2: ("functions", [str]),
    3: ("places", [{1: ("file", int), 2: ("function", int), 3: ("line", int)}]),
    4: ("frames", [{1: ("place", int), 2: ("caller", int)}]),
}
_MODULE: Fields = {3: ("computations", [_COMPUTATION]), 6: ("entry", int), 17: ("stack", _FRAMES)}
_LOCATION: Fields = {3: ("index", [int]), 4: ("instruction", int)}
_ALLOCATION: Fields = {
    2: ("size", int),
    3: ("thread_local", int),
    5: ("is_parameter", int),
    6: ("parameter", int),
    7: ("output", int),
    8: ("color", int),
    9: ("buffers", [{1: ("id", int)}]),
    12: ("constant", int),
}
_EVENT: Fields = {1: ("kind", int), 2: ("buffer", int), 4: ("instruction", str), 5: ("shared", int)}
_ASSIGNMENT: Fields = {
    1: ("buffers", [{1: ("id", int), 2: ("size", int), 3: ("made", _LOCATION)}]),
    2: ("aliases", [{1: ("buffer", int), 2: ("at", _LOCATION)}]),
    3: ("allocations", [_ALLOCATION]),
    4: ("traces", [{1: ("events", [_EVENT])}]),
}


def read(serialized: bytes) -> Program:
    """What `compiled.runtime_executable().serialize()` says. Raises ValueError where it is of no known form."""
    return of_parts(parts(serialized))


def of_parts(found: Parts) -> Program:
    """What the parts of an executable say. Raises ValueError, IndexError or KeyError where they are damaged."""
    return _program(found.module, found.assignment)


def read_plan(plan: bytes) -> Program:
    """What an HloProto says. Raises ValueError where it is none, or not whole."""
    found = {number: content for number, _, content in fields(plan) if number in (1, 3)}
    if len(found) < 2:
        raise ValueError("the HloProto lacks its module or its buffers")
    return _program(found[1], found[3])


def instructions(module: bytes) -> dict[int, Instruction]:
    """The instructions of an HloModuleProto by id, those of all computations."""
    return _instructions(decoded(module, _MODULE))


def _program(module: bytes, assignment: bytes) -> Program:
    hlo, plan = decoded(module, _MODULE), decoded(assignment, _ASSIGNMENT)
    buffers = {one["id"]: Buffer(one["size"], one["made"]["instruction"], tuple(one["made"]["index"])) for one in plan["buffers"]}
    for alias in plan["aliases"]:
        buffers[alias["buffer"]].places.append(alias["at"]["instruction"])
    return Program(
        instructions=_instructions(hlo),
        roots={computation["id"]: computation["root"] for computation in hlo["computations"]},
        entry=hlo["entry"],
        buffers=buffers,
        allocations=tuple(_allocation(one) for one in plan["allocations"] if one["color"] != _HOST),
        events=max((tuple(Event(**event) for event in trace["events"]) for trace in plan["traces"]), key=len, default=()),
        frames=_frames(hlo["stack"]),
    )


def parts(serialized: bytes) -> Parts:
    """The parts of a GpuExecutableProto, wherever that is. Raises ValueError where it is of no known form."""
    length, at = varint(serialized, 0)  # a header of IFRT's comes first, with its length before it
    for candidate in (serialized[at + length :], serialized):
        try:
            return _executable(candidate)
        except (ValueError, IndexError):
            continue
    raise ValueError("the serialized executable has no form that is known here")


def _executable(data: bytes, depth: int = 0) -> Parts:
    if depth > _DEEPEST:
        raise ValueError("containers are nested too deeply")
    if data.startswith(SIGNATURE):
        # The records of a split message, to be merged: https://github.com/openxla/xla/tree/main/xla/util/split_proto
        for record in sorted(records(data), key=len, reverse=True):
            try:
                return _executable(record, depth + 1)
            except (ValueError, IndexError):
                continue
        raise ValueError("no record of the Riegeli file is an executable")
    found = {number: content for number, _, content in fields(data) if number != _THUNK}
    if found.get(1, b"").startswith(SIGNATURE):
        return _executable(found[1], depth + 1)
    module = {number: content for number, _, content in fields(found.get(1, b"")) if number == 1}.get(1, b"")
    if is_module(module) and found.get(2):
        return Parts(module, found.pop(2), tuple(content for number, _, content in fields(data) if number == _THUNK), found)
    if found.get(1):
        return _executable(found[1], depth + 1)
    raise ValueError("no executable")


def is_module(data: bytes) -> bool:
    """Whether this is an HloModuleProto: its computations hold instructions."""
    computation = next((content for number, _, content in fields(data) if number == 3), b"")
    return any(number == 2 and content for number, _, content in fields(computation))


def _instructions(hlo: Mapping[str, Any]) -> dict[int, Instruction]:
    return {
        one["id"]: _instruction(one, computation["id"])
        for computation in hlo["computations"]
        for one in computation["instructions"]
    }


def _instruction(found: Mapping[str, Any], computation: int) -> Instruction:
    metadata = decoded(found["metadata"], _METADATA)
    _, tokamax, note = found["metadata"].partition(_NOTE)  # in its name, or in a field of its own
    return Instruction(
        name=found["name"],
        opcode=found["opcode"],
        computation=computation,
        op_name=metadata["op_name"],
        frame=metadata["frame"],
        operands=tuple(found["operands"]),
        called=tuple(found["called"]),
        shape=found["shape"],
        target=found["target"],
        note=(tokamax + note).decode(errors="replace"),
    )


def _allocation(found: Mapping[str, Any]) -> Allocation:
    return Allocation(
        size=found["size"],
        thread_local=bool(found["thread_local"]),
        constant=bool(found["constant"]),
        parameter=found["parameter"] if found["is_parameter"] else None,
        output=bool(found["output"]),
        buffers=tuple(one["id"] for one in found["buffers"]),
    )


def _frames(stack: Mapping[str, Any]) -> dict[int, tuple[str, str, int, int]]:
    """Frames by id; all ids count from 1."""
    frames = {}
    for identity, frame in enumerate(stack["frames"], start=1):
        place = stack["places"][frame["place"] - 1]
        frames[identity] = (
            stack["files"][place["file"] - 1],
            stack["functions"][place["function"] - 1],
            place["line"],
            frame["caller"],
        )
    return frames
