"""What is inside a serialized XLA executable: its scheduled HLO module and its buffer assignment.

`compiled.runtime_executable().serialize()` holds both as protocol buffers, in a container that depends on the version of
jaxlib. Field numbers are those of xla/service/hlo.proto and xla/xla_data.proto of https://github.com/openxla/xla.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_af3mem.probes.container import SIGNATURE, fields, numbers, records, varint

# xla_data.proto's PrimitiveType by number, spelled as JAX does; others are numbers of bits that no model here uses.
_TYPES = dict(enumerate("? bool i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 f64 tuple opaque c64 bf16 token c128 f8_e5m2".split()))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One HLO instruction; `computation`, `operands` and `called` are ids, `frame` is the innermost of its stack frames."""

    name: str
    opcode: str
    computation: int
    op_name: str
    frame: int
    operands: tuple[int, ...]
    called: tuple[int, ...]
    shape: bytes = field(repr=False)

    def array(self, index: Sequence[int] = ()) -> str:
        """Type and shape, of one element where the instruction makes a tuple: `bf16[1024,1024,128]`."""
        shape = self.shape
        for position in index:
            shape = [content for number, _, content in fields(shape) if number == 4][position]
        kind, dimensions = 0, list[int]()
        for number, value, content in fields(shape):
            if number == 2:
                kind = value
            elif number == 3:
                dimensions += numbers(value, content)
        return f"{_TYPES.get(kind, f'type{kind}')}[{','.join(map(str, dimensions))}]"


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


def read(serialized: bytes) -> Program:
    """What `compiled.runtime_executable().serialize()` says. Raises ValueError where it is of no known form."""
    module, assignment = _parts(serialized)
    roots: dict[int, int] = {}
    instructions: dict[int, Instruction] = {}
    frames: dict[int, tuple[str, str, int, int]] = {}
    entry = 0
    for number, value, content in fields(module):
        if number == 3:
            _read_computation(content, instructions, roots)
        elif number == 6:
            entry = value
        elif number == 17:
            frames = _frames(content)
    buffers: dict[int, Buffer] = {}
    aliases, allocations, traces = [], [], []
    for number, _, content in fields(assignment):
        if number == 1:
            _read_buffer(content, buffers)
        elif number == 2:
            aliases.append(content)
        elif number == 3:
            allocations.append(_allocation(content))
        elif number == 4:
            traces.append(tuple(_event(event) for part, _, event in fields(content) if part == 1))
    for alias in aliases:
        source = dict.fromkeys((1, 2), 0) | {part: value for part, value, _ in fields(alias)}
        location = next(content for part, _, content in fields(alias) if part == 2)
        buffers[source[1]].places.append(_location(location)[0])
    events = max(traces, key=len, default=())
    return Program(instructions, roots, entry, buffers, tuple(allocations), events, frames)


def _parts(serialized: bytes) -> tuple[bytes, bytes]:
    """The HLO module and the buffer assignment: fields 1 and 2 of a GpuExecutableProto, wherever that is."""
    length, at = varint(serialized, 0)  # a header of IFRT's comes first, with its length before it
    for candidate in (serialized[at + length :], serialized):
        try:
            return _executable(candidate)
        except (ValueError, IndexError):
            continue
    raise ValueError("the serialized executable has no form that is known here")


def _executable(data: bytes) -> tuple[bytes, bytes]:
    if data.startswith(SIGNATURE):
        # The records of a split message, to be merged: https://github.com/openxla/xla/tree/main/xla/util/split_proto
        for record in sorted(records(data), key=len, reverse=True):
            try:
                return _executable(record)
            except (ValueError, IndexError):
                continue
        raise ValueError("no record of the Riegeli file is an executable")
    found = {number: content for number, _, content in fields(data) if number in (1, 2)}
    if found.get(1, b"").startswith(SIGNATURE):
        return _executable(found[1])
    module = {number: content for number, _, content in fields(found.get(1, b"")) if number == 1}.get(1, b"")
    if _is_module(module) and found.get(2):
        return module, found[2]
    if found.get(1):
        return _executable(found[1])
    raise ValueError("no executable")


def _is_module(data: bytes) -> bool:
    """Whether this is an HloModuleProto: its computations hold instructions."""
    computation = next((content for number, _, content in fields(data) if number == 3), b"")
    return any(number == 2 and content for number, _, content in fields(computation))


def _read_computation(data: bytes, instructions: dict[int, Instruction], roots: dict[int, int]) -> None:
    contents, identity = [], 0
    root = 0
    for number, value, content in fields(data):
        if number == 2:
            contents.append(content)
        elif number == 5:
            identity = value
        elif number == 6:
            root = value
    roots[identity] = root
    for content in contents:
        _read_instruction(content, identity, instructions)


def _read_instruction(data: bytes, computation: int, instructions: dict[int, Instruction]) -> None:
    name = opcode = op_name = ""
    shape = b""
    operands, called = [], []
    identity = frame = 0
    for number, value, content in fields(data):
        if number == 1:
            name = content.decode()
        elif number == 2:
            opcode = content.decode()
        elif number == 3:
            shape = content
        elif number == 7:
            for part, inner, text in fields(content):
                if part == 2:
                    op_name = text.decode()
                elif part == 15:
                    frame = inner
        elif number == 35:
            identity = value
        elif number == 36:
            operands += numbers(value, content)
        elif number == 38:
            called += numbers(value, content)
    instructions[identity] = Instruction(name, opcode, computation, op_name, frame, tuple(operands), tuple(called), shape)


def _read_buffer(data: bytes, buffers: dict[int, Buffer]) -> None:
    identity = size = 0
    place: tuple[int, tuple[int, ...]] = 0, ()
    for number, value, content in fields(data):
        if number == 1:
            identity = value
        elif number == 2:
            size = value
        elif number == 3:
            place = _location(content)
    buffers[identity] = Buffer(size, *place)


def _location(data: bytes) -> tuple[int, tuple[int, ...]]:
    instruction, index = 0, list[int]()
    for number, value, content in fields(data):
        if number == 4:
            instruction = value
        elif number == 3:
            index += numbers(value, content)
    return instruction, tuple(index)


def _allocation(data: bytes) -> Allocation:
    parts, buffers = dict[int, int](), []
    for number, value, content in fields(data):
        if number == 9:
            buffers.append({part: inner for part, inner, _ in fields(content)}.get(1, 0))
        else:
            parts[number] = value
    return Allocation(
        size=parts.get(2, 0),
        thread_local=bool(parts.get(3)),
        constant=bool(parts.get(12)),
        parameter=parts.get(6, 0) if parts.get(5) else None,
        output=bool(parts.get(7)),
        buffers=tuple(buffers),
    )


def _event(data: bytes) -> Event:
    parts, name = dict[int, int](), ""
    for number, value, content in fields(data):
        if number == 4:
            name = content.decode()
        else:
            parts[number] = value
    return Event(parts.get(1, 0), parts.get(2, 0), name, parts.get(5, 0))


def _frames(data: bytes) -> dict[int, tuple[str, str, int, int]]:
    files, functions, places, frames = [""], [""], [(0, 0, 0)], dict[int, tuple[str, str, int, int]]()
    for number, _, content in fields(data):
        if number == 1:
            files.append(content.decode())
        elif number == 2:
            functions.append(content.decode())
        else:
            parts = {part: value for part, value, _ in fields(content)}
            if number == 3:
                places.append((parts.get(1, 0), parts.get(2, 0), parts.get(3, 0)))
            elif number == 4:
                file, function, line = places[parts.get(1, 0)]
                frames[len(frames) + 1] = files[file], functions[function], line, parts.get(2, 0)
    return frames
