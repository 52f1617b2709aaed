"""What people keep of a compiled program, and the program in it: XLA's dump, an entry of JAX's compilation cache, an executable.

Of an entry jax/_src/compilation_cache.py says the form: the seconds of the compile in four bytes, then the executable, all of it
compressed. IFRT writes a header before an executable: xla/python/pjrt_ifrt/executable_metadata.proto. Nothing is run, and no more
is unpacked than `MOST_BYTES`.
"""

from __future__ import annotations

import importlib
import re
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_af3mem.errors import UsageError
from pytest_af3mem.worker.xla import executable
from pytest_af3mem.worker.xla.executable import Parts, Program
from pytest_af3mem.worker.xla.wire import SIGNATURE, Fields, decoded, fields, records, varint

DUMP, ENTRY, EXECUTABLE = "XLA dump", "entry of JAX's compilation cache", "serialized executable"
MOST_BYTES = 2**28
FLAGS = "XLA_FLAGS='--xla_dump_to=DIR --xla_dump_hlo_as_proto'"
"""What makes XLA write the dump that is read here."""

AGAIN = f"{FLAGS} makes a dump that is read"

FLAVOR = re.compile(r"\.(?:sm_(?P<sm>\d+\.\d+)\w?_gpu|(?P<rocm>gfx\w+)_gpu|(?P<other>cpu|tpu))_after_optimizations")
"""What XLA compiled for, in the name of a file that it dumps: `module_0001.jit_f.sm_9.0a_gpu_after_optimizations.hlo.pb`."""

_DAMAGED = (ValueError, IndexError, KeyError, RecursionError)
_ZSTD, _TIME_BYTES, _PIECE_BYTES, _MOST_HEADER_BYTES = b"\x28\xb5\x2f\xfd", 4, 2**12, 2**24
_CUT = "is cut off: what wrote it did not get to its end, or it was copied in part"
_ENDS = "ends after"  # as `wire` says it of what is cut off
_MODULE = re.compile(rb"\n[\x80-\xff]{0,5}[\x00-\x7f]\n")  # how a dump begins: with a module, which begins with its name
_NAMED = {
    b"\x1f\x8b": "is packed by gzip: gunzip it first",
    b"\xfd7zXZ\x00": "is packed by xz: unxz it first",
    b"PK\x03\x04": "is a zip archive: unzip it first",
    b"\x7fELF": "is machine code, which says nothing of XLA's plan: give an XLA dump",
}
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95|[\]\(\}cC(B])")
_TEXTS = (
    (r"HloModule |BufferAssignment:|Memory Space: |Total bytes: ", "is XLA's text, which does not say all bytes"),
    (r"module @|#loc|module \{|builtin\.module", "is a program as text, before XLA compiles it"),
    (r"", "is text"),
)
_HEADER: Fields = {1: ("version", int), 2: ("runtime", str)}
_KNOWN_VERSION = 3  # of IFRT's header, as jaxlib 0.10.2 writes it
# Fields of a GpuExecutableProto (xla/service/gpu/gpu_executable.proto) and of the CPU's CompilationResultProto.
_PTX, _BINARY, _CAPABILITY, _OBJECTS, _PLATFORM = 3, 4, 6, 8, 14
_CAPABILITIES: Fields = {1: ("cuda", {1: ("major", int), 2: ("minor", int)}), 2: ("rocm", {1: ("architecture", str)})}
_ELF_CUDA, _ELF_ROCM = 190, 224
_OF_GPUS = (b"fingerprint_before_lhs", b'"operation_queue_id"', b"__cublas", b"__gpu$")  # what XLA writes for GPUs alone


class Unreadable(UsageError):
    """A content that gives no program; the text follows its name: what it is, and the way out."""


@dataclass(frozen=True)
class Found:
    """A program, what it was kept as, and the compute capability that it was compiled for, where that is known: "9.0"."""

    form: str
    module: str
    program: Program
    compute_capability: str = ""


def found(content: bytes, name: str = "") -> Found:
    """The program in the content of a file, called `name`. Raises Unreadable for anything else."""
    if not content:
        raise Unreadable("is empty: what wrote it did not get to its end")
    try:
        unpacked = _unpacked(content)
        if unpacked is None:
            return _found(content, name)
        if _is_executable(unpacked[_TIME_BYTES:]):
            return _of_executable(unpacked[_TIME_BYTES:], ENTRY)
    except Unreadable:
        raise
    except _DAMAGED as error:
        raise Unreadable(f"is damaged, or of a form that is not known here: {AGAIN}") from error
    raise Unreadable("is packed, and holds no entry of JAX's compilation cache: unpack it first")


def _found(content: bytes, name: str) -> Found:
    for start, what in _NAMED.items():
        if content.startswith(start):
            raise Unreadable(what)
    if _PICKLE.match(content):
        raise Unreadable(
            "is a pickle, which is not loaded, for that would run what it says: write compiled.runtime_executable().serialize() "
            "to a file"
        )
    if (text := _text(content[:4096])) is not None:
        what = next(said for start, said in _TEXTS if re.match(start, text))
        raise Unreadable(f"{what}: {AGAIN}")
    return _of_executable(content, EXECUTABLE) if _is_executable(content) else _of_plan(content, name)


def _text(start: bytes) -> str | None:
    text = start.decode(errors="ignore")
    strange = sum(not (one.isprintable() or one in "\t\n\r\f") for one in text)
    return text.lstrip() if len(text.encode()) > len(start) - 4 and not strange else None


def _unpacked(content: bytes) -> bytes | None:
    """What zstd or zlib packed; None for what they did not."""
    if content.startswith(_ZSTD):
        inflating = _zstd()
    elif content[0] == 0x78 and int.from_bytes(content[:2]) % 31 == 0:
        inflating = zlib.decompressobj()
    else:
        return None
    unpacked = bytearray()
    for start in range(0, len(content), _PIECE_BYTES):
        try:
            unpacked += inflating.decompress(content[start : start + _PIECE_BYTES])
        except MemoryError:
            raise
        except Exception as error:  # zlib, zstandard and Python's own zstd have errors of their own
            raise Unreadable("is packed, and damaged: remove it, and let it be compiled again") from error
        if len(unpacked) > MOST_BYTES:
            raise Unreadable(f"unpacks to more than {MOST_BYTES >> 20} MiB, the most that is read")
        if inflating.eof:
            return bytes(unpacked)
    raise Unreadable(_CUT)


def _zstd() -> Any:
    """What unpacks zstd: Python's own from 3.14 on, before that the package that JAX takes, too."""
    for name in ("compression.zstd", "zstandard"):
        try:
            unpacker = importlib.import_module(name).ZstdDecompressor()
        except ImportError:
            continue
        return unpacker.decompressobj() if name == "zstandard" else unpacker
    raise Unreadable(
        f"is packed by zstd, which {sys.executable} cannot unpack: pip install zstandard there, or name with --python the one "
        "that wrote it"
    )


def _is_executable(content: bytes) -> bool:
    if _header(content)["runtime"].startswith("pjrt") or content.startswith(SIGNATURE):
        return True
    try:
        found = {number: inner for number, _, inner in fields(content) if number in (1, 2)}
        return len(found) == 2 and any(executable.is_module(inner) for number, _, inner in fields(found[1]) if number == 1)
    except _DAMAGED:
        return False


def _header(content: bytes) -> Mapping[str, Any]:
    """What IFRT writes before an executable: its version, and the name of the runtime."""
    try:
        length, at = varint(content, 0)
        return decoded(content[at : at + length], _HEADER) if length < _MOST_HEADER_BYTES else decoded(b"", _HEADER)
    except _DAMAGED:
        return decoded(b"", _HEADER)


def _of_executable(content: bytes, form: str) -> Found:
    try:
        parts = executable.parts(content)
    except _DAMAGED as error:
        raise Unreadable(_why_not(content, form)) from error
    capability = _compute_capability(parts)
    return Found(form, _name(parts.module), executable.of_parts(parts), capability)


def _why_not(content: bytes, form: str) -> str:
    """What is the matter with an executable that has no form that is known."""
    header = _header(content)
    length, at = varint(content, 0) if header["runtime"] else (0, 0)
    body = content[at + length :]
    try:
        inside = [body] if body.startswith(SIGNATURE) else [inner for _, _, inner in fields(body) if inner.startswith(SIGNATURE)]
        for one in inside:
            records(one)
    except _DAMAGED as error:
        if isinstance(error, IndexError) or _ENDS in str(error):
            return _CUT
    version = f" of version {header['version']} of {header['runtime']}" if header["runtime"] else ""
    is_newer = header["version"] > _KNOWN_VERSION
    newer, other = f"newer than {_KNOWN_VERSION}, that of jaxlib 0.10.2", "of another backend than CUDA, or of an unknown jaxlib"
    return f"is {_a(form)}{version}, which is not read here ({newer if is_newer else other}): {AGAIN}"


def _compute_capability(parts: Parts) -> str:
    """What an executable was compiled for. Raises Unreadable unless it is a GPU of CUDA's."""
    others = {number: parts.others.get(number, b"") for number in (_PTX, _BINARY, _CAPABILITY, _OBJECTS, _PLATFORM)}
    platform = next((inner for number, _, inner in _fields(others[_PLATFORM]) if number == 1), b"").decode(errors="replace")
    capability = _decoded(others[_CAPABILITY], _CAPABILITIES)
    if platform.upper() == "ROCM" or capability["rocm"]["architecture"] or _machine(others[_BINARY]) == _ELF_ROCM:
        raise Unreadable(other_backend(f"ROCm {capability['rocm']['architecture']}".strip()))
    if capability["cuda"]["major"]:
        return f"{capability['cuda']['major']}.{capability['cuda']['minor']}"
    if platform.upper() == "CUDA" or _machine(others[_BINARY]) == _ELF_CUDA or b".target sm_" in others[_PTX][:4096]:
        return ""
    if any(_machine(inner) for _, _, inner in _fields(others[_OBJECTS])):
        raise Unreadable(other_backend("the CPU"))
    raise Unreadable(f"does not say that it is of a GPU: {FLAGS} makes a dump that does")


def _machine(content: bytes) -> int:
    """The machine that machine code is for, by the number that ELF has for it; 0 for what is no machine code."""
    return int.from_bytes(content[18:20], "little") if content.startswith(b"\x7fELF") else 0


def _of_plan(content: bytes, name: str) -> Found:
    if not content.startswith(b"\n"):
        raise Unreadable(f"is nothing that is known here: {AGAIN}")
    try:
        parts = {number: inner for number, _, inner in fields(content) if number in (1, 3)}
    except _DAMAGED as error:
        raise Unreadable(_CUT if _MODULE.match(content) else f"is nothing that is known here: {AGAIN}") from error
    module = parts.get(1, b"")
    if not executable.is_module(module):
        raise Unreadable(f"is no dump of a program: give NAME_after_optimizations.hlo.pb, which {FLAGS} writes")
    if 3 not in parts:
        raise Unreadable(
            "is a program before XLA planned its buffers, or is cut off: give NAME_after_optimizations.hlo.pb of the same dump"
        )
    flavor = FLAVOR.search(name)
    if flavor and (flavor["rocm"] or flavor["other"]):
        raise Unreadable(other_backend(f"ROCm {flavor['rocm']}" if flavor["rocm"] else f"the {flavor['other'].upper()}"))
    if not (flavor or any(word in module for word in _OF_GPUS)):
        raise Unreadable(
            "is a plan of XLA's without a sign of a GPU, as of a CPU or TPU: give that of a GPU, under XLA's name for it"
        )
    return Found(DUMP, _name(module), executable.read_plan(content), (flavor and flavor["sm"]) or "")


def _name(module: bytes) -> str:
    return next((inner.decode(errors="replace") for number, _, inner in fields(module) if number == 1), "")


def other_backend(name: str) -> str:
    """What is said of a program that is for no GPU of CUDA's."""
    return f"is a program for {name}, and those for CUDA's GPUs are read here: give one that was compiled for such a GPU"


def _a(form: str) -> str:
    return f"an {form}" if form[0] in "eX" else f"a {form}"


def _fields(content: bytes) -> list[tuple[int, int, bytes]]:
    """Fields of what may be no protocol buffer, and then has none."""
    try:
        return list(fields(content))
    except _DAMAGED:
        return []


def _decoded(content: bytes, form: Fields) -> dict[str, Any]:
    try:
        return decoded(content, form)
    except _DAMAGED:
        return decoded(b"", form)
