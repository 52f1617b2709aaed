"""Containers that serialized XLA executables come in: protocol buffers, Riegeli files, Snappy.

Read with the standard library, for the worker's interpreter may have nothing else. The formats:
https://protobuf.dev/programming-guides/encoding/, https://github.com/google/snappy/blob/main/format_description.txt and
https://github.com/google/riegeli/blob/master/doc/riegeli_records_file_format.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Fields: TypeAlias = Mapping[int, tuple[str, Any]]
"""A message's fields by number: the name, and `int`, `str`, `bytes`, the `Fields` of a message, or a list of one of these."""


SIGNATURE = bytes.fromhex("83af70d10d884a3f00000000000000004000000000000000")
"""How each Riegeli file begins."""


_MOST_BYTES = 2**30  # of what is unpacked
_BLOCK, _BLOCK_HEADER, _CHUNK_HEADER = 1 << 16, 24, 40


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in base 128, and where the next thing begins. Raises ValueError for one of more bytes than 64 bits need."""
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
    raise ValueError(f"a number of more than 64 bits before byte {at}")


def fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Fields of a protocol buffer in their order: number, value where it is a number, content where it is none.

    Raises ValueError for what is no protocol buffer.
    """
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = varint(data, at - 1)
        kind = key & 7
        if kind > 5 or kind in (3, 4):
            raise ValueError(f"wire type {kind} at byte {at} is none of a protocol buffer's")
        if kind in (0, 2):
            value = data[at]
            at += 1
            if value > 127:
                value, at = varint(data, at - 1)
            if kind == 0:
                yield key >> 3, value, b""
                continue
            length = value
        else:
            length = 8 if kind == 1 else 4
        if at + length > end:
            raise ValueError(f"a field of {length} bytes at byte {at} ends after {end}")
        yield key >> 3, 0, data[at : at + length]
        at += length


def decoded(data: bytes, form: Fields) -> dict[str, Any]:
    """A message as a dictionary of the fields in `form`; one that is absent is 0, empty, or a message of absent fields.

    Raises ValueError for what is no protocol buffer.
    """
    found: dict[str, Any] = {}
    for number, value, content in fields(data):
        if number not in form:
            continue
        name, kind = form[number]
        if type(kind) is not list:
            found[name] = _single(value, content, kind)
        elif kind[0] is int:
            found.setdefault(name, []).extend(numbers(value, content))
        else:
            found.setdefault(name, []).append(_single(value, content, kind[0]))
    for name, kind in form.values():
        if name not in found:
            found[name] = decoded(b"", kind) if isinstance(kind, Mapping) else [] if type(kind) is list else kind()
    return found


def _single(value: int, content: bytes, kind: Any) -> Any:
    if kind is int:
        return value
    if kind is str:
        return content.decode()
    return content if kind is bytes else decoded(content, kind)


def numbers(value: int, packed: bytes) -> list[int]:
    """A repeated field of numbers, which are written one by one or packed."""
    if not packed:
        return [value]
    found, at = [], 0
    while at < len(packed):
        number, at = varint(packed, at)
        found.append(number)
    return found


def unsnapped(data: bytes) -> bytes:
    """Decompresses Snappy's raw format. Raises ValueError for what is not of the size that it says, or above 1 GiB."""
    size, at = varint(data, 0)
    out, end = bytearray(), len(data)
    while at < end and len(out) <= min(size, _MOST_BYTES):
        tag = data[at]
        at += 1
        kind, length = tag & 3, tag >> 2
        if kind == 0:
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at : at + extra], "little")
                at += extra
            out += data[at : at + length + 1]
            at += length + 1
            continue
        if kind == 1:
            length, offset = (length & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            length, offset = length + 1, int.from_bytes(data[at : at + width], "little")
            at += width
        start = len(out) - offset
        if start < 0 or not offset:
            raise ValueError(f"a Snappy copy reaches {offset} bytes back from {len(out)}")
        if offset >= length:
            out += out[start : start + length]
        else:
            pattern = out[start:]
            out += (pattern * (length // offset + 1))[:length]
    if len(out) != size:
        raise ValueError(f"Snappy data of {size} bytes has {len(out)}")
    return bytes(out)


def records(data: bytes) -> list[bytes]:
    """The records of a Riegeli file: simple chunks, uncompressed or with Snappy. Raises ValueError for others."""
    stream = b"".join(data[start + _BLOCK_HEADER : start + _BLOCK] for start in range(0, len(data), _BLOCK))
    found: list[bytes] = []
    at = 0
    while at + _CHUNK_HEADER <= len(stream):
        size = int.from_bytes(stream[at + 8 : at + 16], "little")
        kind, count = stream[at + 24 : at + 25], int.from_bytes(stream[at + 25 : at + 32], "little")
        start = at + _CHUNK_HEADER
        if start + size > len(stream):
            raise ValueError(f"a Riegeli chunk of {size} bytes ends after the file")
        if kind == b"r":
            found += _simple(stream[start : start + size], count)
        elif kind not in b"smp":
            raise ValueError(f"a Riegeli chunk of type {kind!r}, which is not read here")
        at = start + size
    return found


def _simple(chunk: bytes, count: int) -> list[bytes]:
    length, at = varint(chunk, 1)
    sizes, values = _plain(chunk[:1], chunk[at : at + length]), _plain(chunk[:1], chunk[at + length :])
    found, at, start = [], 0, 0
    for _ in range(count):
        size, at = varint(sizes, at)
        found.append(values[start : start + size])
        start += size
    return found


def _plain(compression: bytes, data: bytes) -> bytes:
    if compression == b"\0":
        return data
    if compression == b"s":
        return unsnapped(data[varint(data, 0)[1] :])
    raise ValueError(f"a Riegeli chunk is compressed as {compression!r}, which is not read here")
