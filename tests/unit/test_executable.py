"""Reading serialized executables: hand-made ones, in each of the containers that versions of jaxlib use."""

import pytest
from protobuf import message, number

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged
from pytest_af3mem.records.program_limits import Launch
from pytest_af3mem.worker.xla import executable
from pytest_af3mem.worker.xla.executable import Allocation, Buffer, Event, read
from pytest_af3mem.worker.xla.limits import launch
from pytest_af3mem.worker.xla.thunks import kernels
from pytest_af3mem.worker.xla.wire import fields, numbers, records, unsnapped, varint

SIGNATURE = bytes.fromhex(
    "83af70d10d884a3f0000000000000000400000000000000091bac23c9287e1a90000000000000000e19f13c0e9b1c37273" + "00" * 15
)


def literally(data):
    """Snappy's format, without compressing anything."""
    out = number(len(data))
    for start in range(0, len(data), 1 << 16):
        piece = data[start : start + (1 << 16)]
        out += bytes([61 << 2]) + (len(piece) - 1).to_bytes(2, "little") + piece
    return out


def riegeli(*chunks):
    """A Riegeli file: `(type, number of records, content)` of each chunk; a header of 24 bytes interrupts every 64 KiB."""
    stream = SIGNATURE[24:]
    for kind, count, content in chunks:
        head = (0, len(content), 0, kind[0] | count << 8, len(content))
        stream += b"".join(value.to_bytes(8, "little") for value in head) + content
    pieces = [stream[start : start + (1 << 16) - 24] for start in range(0, len(stream), (1 << 16) - 24)]
    return b"".join(SIGNATURE[:24] + piece for piece in pieces)


def simple(*values, snappy=False):
    sizes, content = b"".join(number(len(value)) for value in values), b"".join(values)
    if snappy:
        sizes, content = (number(len(data)) + literally(data) for data in (sizes, content))
    return b"r", len(values), (b"s" if snappy else b"\0") + number(len(sizes)) + sizes + content


F32_2_3 = message((2, 11), (3, [2, 3]))
BF16_4 = message((2, 16), (3, 4))
MODULE = message(
    (1, "jit_program"),
    (
        3,
        message(
            (1, "region"),
            (2, message((1, "fusion.1"), (2, "fusion"), (3, F32_2_3), (35, 21), (36, [300, 22]), (38, 9))),
            (5, 2),
            (6, 21),
        ),
    ),
    (
        3,
        message(
            (1, "main"),
            (2, message((1, "p"), (2, "parameter"), (3, F32_2_3), (7, message((2, "features['x']"), (15, 1))), (35, 300))),
            (2, message((1, "t"), (2, "custom-call"), (3, message((2, 13), (4, F32_2_3), (4, BF16_4))), (35, 22))),
            (5, 3),
            (6, 22),
        ),
    ),
    (6, 3),
    (17, message((1, "/a/model.py"), (2, "f"), (3, message((1, 1), (2, 1), (3, 7))), (4, message((1, 1), (2, 5))))),
)
ASSIGNMENT = message(
    (1, message((1, 1), (2, 24), (3, message((4, 300))))),
    (1, message((1, 2), (2, 8), (3, message((4, 22), (3, [1]))))),
    (2, message((1, 2), (2, message((4, 21))))),
    (3, message((1, 0), (2, 24), (5, 1), (6, 0), (9, message((1, 1), (3, 24))))),
    (3, message((1, 1), (2, 8), (7, 1), (9, message((1, 2))))),
    (3, message((1, 2), (2, 4), (12, 1))),
    (4, message((1, message((2, 2), (4, "t"))), (1, message((1, 2), (2, 1), (4, "t"), (5, 2))), (1, message((1, 1), (2, 1))))),
)
EXECUTABLE = message((1, message((1, MODULE), (2, "configuration"))), (2, ASSIGNMENT))
HEADER = number(9) + b"\x12\x07pjrt..."
SPLIT = riegeli((b"s", 0, b""), simple(b"manifest", b"", snappy=True), simple(b"", EXECUTABLE, snappy=True))


@pytest.mark.parametrize(
    "serialized",
    [
        HEADER + message((1, EXECUTABLE), (2, "options")),
        HEADER + message((1, SPLIT), (2, "options")),
        HEADER + riegeli((b"s", 0, b""), simple(b"manifest", SPLIT), simple(b"the rest")),
        EXECUTABLE,
    ],
    ids=["plain", "riegeli inside", "riegeli in riegeli", "bare"],
)
def test_read(serialized):
    program = read(serialized)
    assert program.entry == 3
    assert program.roots == {2: 21, 3: 22}
    fusion, parameter, call = (program.instructions[one] for one in (21, 300, 22))
    assert (fusion.name, fusion.opcode, fusion.operands, fusion.called, fusion.computation) == (
        "fusion.1",
        "fusion",
        (300, 22),
        (9,),
        2,
    )
    assert (parameter.op_name, parameter.frame, parameter.array()) == ("features['x']", 1, "f32[2,3]")
    assert [call.array(index) for index in ((0,), (1,))] == ["f32[2,3]", "bf16[4]"]
    assert program.buffers == {1: Buffer(24, 300, ()), 2: Buffer(8, 22, (1,), [21])}
    assert program.allocations == (
        Allocation(24, False, False, 0, False, (1,)),
        Allocation(8, False, False, None, True, (2,)),
        Allocation(4, False, True, None, False, ()),
    )
    assert program.events == (Event(0, 2, "t", 0), Event(2, 1, "t", 2), Event(1, 1, "", 0))
    assert program.frames == {1: ("/a/model.py", "f", 7, 5)}


NESTED = {
    "sequence": (2, (1,)),
    "conditional": (6, (2, 1)),
    "condition": (7, (2, 1)),
    "body": (7, (3, 1)),
    "slice": (18, (1, 1)),
    "group": (47, (2,)),
    "asynchronous": (57, (3, 1)),
}


@pytest.mark.parametrize("nesting", NESTED)
def test_kernels_of_all_thunks_are_found(nesting):
    kind, path = NESTED[nesting]
    inner = message((1, "info"), (36, message((1, b"slice"), (3, message((1, "dot"), (6, 98_304))))))
    for field in reversed(path):
        inner = message((field, inner))
    thunks = (message((8, message((3, "add"), (6, 16)))), message((kind, inner)), message((13, b"a copy")))
    serialized = HEADER + message((1, EXECUTABLE + message(*((13, thunk) for thunk in thunks))), (2, "options"))
    assert kernels(serialized) == [("add", 16), ("dot", 98_304)]
    assert read(serialized).entry == 3
    assert launch(serialized, gpus.find("l4-24gb")) == Launch(2, "dot", 98_304, 99 * 1024)
    with pytest.raises(
        NotJudged, match=r"^does not run on p100-16gb: the kernel dot asks for 98,304 bytes .* limit is 49,152; no lack"
    ):
        launch(serialized, gpus.find("p100-16gb"))


def test_thunks_without_end_are_refused():
    thunk = message((8, message((3, "add"))))
    for _ in range(1000):
        thunk = message((2, message((1, thunk))))
    with pytest.raises(ValueError, match="thunks are nested too deeply"):
        kernels(EXECUTABLE + message((13, thunk)))


def test_containers_without_end_are_refused():
    data = EXECUTABLE
    for _ in range(20):
        data = riegeli((b"s", 0, b""), simple(data))
    with pytest.raises(ValueError, match="has no form that is known here"):
        read(HEADER + data)


def test_an_executable_without_thunks_tells_nothing_of_kernels():
    with pytest.raises(ValueError, match="names no kernel"):
        launch(EXECUTABLE, gpus.find("l4-24gb"))


@pytest.mark.parametrize("serialized", [b"\x05", b"\0" * 40, HEADER + message((1, "text"), (2, "options")), SIGNATURE, HEADER])
def test_what_is_of_no_known_form_is_refused(serialized):
    with pytest.raises(ValueError, match="has no form that is known here"):
        read(serialized)


@pytest.mark.parametrize(("data", "value"), [(b"\0", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xff\xff\x03", 65_535)])
def test_varint(data, value):
    assert varint(b"." + data + b".", 1) == (value, 1 + len(data))
    assert number(value) == data


def test_a_number_of_more_than_64_bits_is_refused():
    assert varint(number(2**64 - 1), 0) == (2**64 - 1, 10)
    with pytest.raises(ValueError, match="a number of more than 64 bits"):
        varint(b"\xff" * 1_000_000, 0)


def test_repeated_numbers_come_one_by_one_or_packed():
    assert [found for _, value, content in fields(message((3, 5), (3, [7, 300]))) for found in numbers(value, content)] == [
        5,
        7,
        300,
    ]


def test_fields():
    data = message((1, 300), (2, "text")) + b"\x1d1234" + b"\x2112345678"
    assert list(fields(data)) == [(1, 300, b""), (2, 0, b"text"), (3, 0, b"1234"), (4, 0, b"12345678")]
    with pytest.raises(ValueError, match="wire type 3"):
        list(fields(b"\x0b"))
    with pytest.raises(ValueError, match="a field of 9 bytes at byte 2 ends after 3"):
        list(fields(b"\x0a\x09x"))


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"\x05\x10hello", b"hello"),
        (b"\x46\xf0\x45" + b"a" * 70, b"a" * 70),
        (b"\x0a\x08abc\x05\x03\x00a", b"abcabcaba"),
        (b"\x08\x04ab" + bytes([2 << 2 | 1, 2]), b"abababab"),
        (b"\x06\x08abc" + bytes([2 << 2 | 2, 3, 0]), b"abcabc"),
        (b"\x06\x08abc" + bytes([2 << 2 | 3, 3, 0, 0, 0]), b"abcabc"),
    ],
)
def test_snappy(data, plain):
    assert unsnapped(number(len(plain)) + data[1:]) == plain


@pytest.mark.parametrize(
    "data",
    [b"\x05\x10hell", b"\x06\x08abc" + bytes([2 << 2 | 2, 4, 0]), b"\x05\x08abc" + bytes([63 << 2 | 2, 1, 0]) * 10**6],
    ids=["too short", "from before its start", "too long"],
)
def test_damaged_snappy_is_refused(data):
    with pytest.raises(ValueError, match="Snappy"):
        unsnapped(data)


def test_records_of_several_chunks_that_block_headers_interrupt():
    large = bytes(range(256)) * 1_000
    file = riegeli((b"s", 0, b""), simple(b"a", b"", b"bc"), (b"p", 0, b"padding"), simple(large), simple(large, snappy=True))
    assert records(file) == [b"a", b"", b"bc", large, large]


def test_what_has_no_end_or_ends_too_soon_is_refused():
    with pytest.raises(ValueError, match="a number of more than 64 bits"):
        varint(b"\xff" * 1_000_000, 0)
    with pytest.raises(ValueError, match="a Riegeli chunk of 1004 bytes ends after the file"):
        records(riegeli(simple(b"x" * 1_000))[:-1])


def test_chunks_of_other_kinds_are_refused():
    with pytest.raises(ValueError, match="a Riegeli chunk of type b't'"):
        records(riegeli((b"t", 1, b"...")))
    with pytest.raises(ValueError, match="compressed as b'z'"):
        records(riegeli((b"r", 1, b"z\1\1\1")))


def test_types_are_spelled_as_jax_does():
    def spelled(kind):
        shape = message((2, kind), (3, [1]))
        return executable.Instruction("", "", 0, "", 0, (), (), shape).array()

    assert [spelled(kind) for kind in (1, 4, 6, 16, 11, 15, 99)] == [
        f"{name}[1]" for name in ("bool", "i32", "u8", "bf16", "f32", "c64", "type99")
    ]
