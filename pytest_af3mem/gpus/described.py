"""A target that a file describes: XLA's `stream_executor.GpuTargetConfigProto` in text form, which XLA then gets as it is.

The fields are those of xla/stream_executor/device_description.proto in openxla/xla.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import UsageError, shown
from pytest_af3mem.gpus.gpu import Gpu

SUFFIX = ".txtpb"
_EXAMPLES = "openxla/xla has examples in xla/backends/gpu/target_config/specs"
_MOST, _MOST_BYTES, _MOST_DEPTH = 2**63 - 1, 2**20, 20
# XLA takes a number that is missing for 0, and divides by some of them.
_COUNTS = (
    *("threads_per_block_limit", "threads_per_warp", "threads_per_core_limit", "registers_per_block_limit"),
    *("registers_per_core_limit", "shared_memory_per_block", "shared_memory_per_block_optin", "shared_memory_per_core"),
    *("block_dim_limit_x", "block_dim_limit_y", "block_dim_limit_z", "fpus_per_core"),
    *("device_memory_size", "core_count", "memory_bandwidth"),
)
_TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*+)*+(?:(?P<text>"[^"\n]*"|'[^'\n]*')|(?P<word>[\w.+-]+)|(?P<mark>[{}<>\[\]:;,])|(?P<end>\Z))"""
)
_CLOSING = {"{": "}", "<": ">"}


class _Wrong(Exception):
    """What is wrong with a text, and the way out."""


def read(path: Path) -> Gpu:
    """The target in a file, named after the file and a digest of its content. Raises UsageError with file, field and rule."""
    where = shown(str(path))
    try:
        path = path.expanduser().absolute()
        is_fit = not path.exists() or (path.is_file() and path.stat().st_size <= _MOST_BYTES)
        text = path.read_bytes().decode() if is_fit else ""
    except UnicodeDecodeError:
        raise UsageError(f"target {where!r} is not a text: {_EXAMPLES}") from None
    except (OSError, RuntimeError, ValueError) as error:  # of no file, no home, a name with a zero in it
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"target {where!r} cannot be read ({reason}): give the path of the file, or a name") from error
    if not is_fit:
        raise UsageError(f"target {where!r} is not a file of at most {_MOST_BYTES:,} bytes: {_EXAMPLES}")
    stem = re.sub(r"[^a-z0-9]+", "-", path.name[: -len(SUFFIX)].lower()).strip("-")
    return parse(text, f"{stem or 'target'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}", str(path))


def parse(text: str, name: str, source: str) -> Gpu:
    """The target that a text describes. Raises UsageError, which names `source`, for what is no such text."""
    try:
        return _gpu(_message(_tokens(text), "", 0), text, name, source)
    except _Wrong as wrong:
        raise UsageError(f"target {shown(source)!r} {wrong}") from None


def _gpu(found: Mapping[str, Any], text: str, name: str, source: str) -> Gpu:
    info = _of_kind(found, "gpu_device_info", dict, "{...}")
    platform = _of_kind(found, "platform_name", str, '"CUDA"')
    if platform != "CUDA":
        raise _Wrong(f'has platform_name "{shown(platform)}" and must have "CUDA": AlphaFold 3 runs on NVIDIA\'s GPUs alone')
    capability = _of_kind(info, "cuda_compute_capability", dict, "{major: ...}")
    counts = {field: _count(info, field) for field in _COUNTS}
    description = _of_kind(found, "device_description_str", str, "the name that CUDA gives the GPU")
    if not description.isprintable():
        raise _Wrong(f'has device_description_str "{shown(description)}", and must have a name that prints')
    return Gpu(
        name=name,
        description=description,
        compute_capability=(_count(capability, "major"), _count({"minor": "0", **capability}, "minor", least=0)),
        memory_bytes=counts["device_memory_size"],
        core_count=counts["core_count"],
        clock_rate_ghz=_positive(info, "clock_rate_ghz"),
        memory_bytes_per_second=counts["memory_bandwidth"],
        l2_cache_bytes=_count({"l2_cache_size": "0", **info}, "l2_cache_size", least=0),
        source=source,
        config=text,
    )


def _of_kind(fields: Mapping[str, Any], name: str, kind: type, what: str) -> Any:
    if not isinstance(fields.get(name), kind) or not fields[name]:
        raise _Wrong(f"lacks {name}: {what}; {_EXAMPLES}")
    return fields[name]


def _count(fields: Mapping[str, Any], name: str, least: int = 1) -> int:
    text = _of_kind(fields, name, str, "a whole number")
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(_MOST)) or not least <= int(text) <= _MOST:
        raise _Wrong(f"has {name} {shown(text)[:40]}, and must have a whole number from {least} to 2**63 - 1")
    return int(text)


def _positive(fields: Mapping[str, Any], name: str) -> float:
    text = _of_kind(fields, name, str, "a number")
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise _Wrong(f"has {name} {shown(text)[:40]}, and must have a number greater than 0")
    return number


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each token: `text` for what stands in quotes, `word`, `mark`, and `end` at last."""
    position, kind = 0, ""
    while kind != "end":
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            line = text.count("\n", 0, position) + 1
            raise _Wrong(f"is not in protobuf's text form (line {line}): {_EXAMPLES}")
        position, kind = match.end(), match.lastgroup
        yield kind, match[kind].strip("\"'") if kind == "text" else match[kind]


def _message(tokens: Iterator[tuple[str, str]], closing: str, depth: int) -> dict[str, Any]:
    """The fields up to `closing`: messages as dictionaries, all else as text; of a field that is repeated, the last."""
    found: dict[str, Any] = {}
    for kind, name in tokens:
        if kind in ("end", "mark") and name == closing:
            return found
        if kind == "mark" and name in ",;":
            continue
        kind_of_value, value = next(tokens, ("end", ""))
        if (kind_of_value, value) == ("mark", ":"):
            kind_of_value, value = next(tokens, ("end", ""))
        if kind != "word" or kind_of_value == "end" or depth > _MOST_DEPTH:
            break
        if kind_of_value == "mark" and value in _CLOSING:
            found[name] = _message(tokens, _CLOSING[value], depth + 1)
        elif kind_of_value == "mark" and value == "[":
            found[name] = list(iter(lambda: next(tokens, ("mark", "]")), ("mark", "]")))
        elif kind_of_value != "mark":
            found[name] = value
        else:
            break
    raise _Wrong(f"is not in protobuf's text form: {_EXAMPLES}")
