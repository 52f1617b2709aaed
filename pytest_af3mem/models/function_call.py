"""A call of a function with arrays of which only shapes and types are known: what is measured of a function, as a line of text.

`blocks:attention('bfloat16[1024,128]', {'bias': 'float32[128]'}, heads=4)` is `attention` of the module `blocks`; behind the name
stands what Python reads, so the text is all that travels. JAX is not imported for it.
"""

from __future__ import annotations

import ast
import operator
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_af3mem.errors import UsageError, near
from pytest_af3mem.models import fingerprint

DTYPES = frozenset(
    """bool int2 int4 int8 int16 int32 int64 uint2 uint4 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64
    float4_e2m1fn float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz
    float8_e8m0fnu complex64 complex128""".split()
)
_SHAPE = re.compile(r"(\w+)\[((?:\d+(?:,\d+)*)?)\]", re.ASCII)
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_LONGEST = 120


@dataclass(frozen=True)
class Call:
    """`name` in `module`, called with `arguments` and, by name, with `static` ones, which are values.

    An argument is the text of an array, `bfloat16[1024,128]`, or None, or a dictionary, list or tuple of arguments.
    """

    module: str
    name: str
    arguments: tuple[Any, ...]
    static: Mapping[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any] | str, shapes: Sequence[Any], static: Mapping[str, Any]) -> Call:
        """Raises UsageError for a function that no other process can import, and for what is no shape or no JSON value."""
        module, _, name = (_checked(function) if isinstance(function, str) else _name(function)).partition(":")
        arguments = tuple(_argument(shape, f"argument {at}") for at, shape in enumerate(shapes, start=1))
        return cls(module, name, arguments, {key: _value(static[key], key) for key in sorted(static)})

    @classmethod
    def parse(cls, text: str) -> Call:
        """The inverse of `str`."""
        function, bracket, rest = text.partition("(")
        module, _, name = function.partition(":")
        called = ast.parse(f"_{bracket}{rest}", mode="eval").body
        assert isinstance(called, ast.Call)
        static = {str(one.arg): ast.literal_eval(one.value) for one in called.keywords}
        return cls(module, name, tuple(map(ast.literal_eval, called.args)), static)

    def __str__(self) -> str:
        parts = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.static.items())]
        return f"{self.module}:{self.name}({', '.join(parts)})"


def shortened(call: str, length: int = _LONGEST) -> str:
    """A call for a line that people read: of a long one, as with the parameters of a network, the middle is left out."""
    return call if len(call) <= length else f"{call[: length - 25]} ... {call[-20:]}"


def array(text: str) -> tuple[str, tuple[int, ...]]:
    """Type and shape of an array that is written `bfloat16[1024,128]`."""
    dtype, _, shape = text.removesuffix("]").partition("[")
    return dtype, tuple(map(int, filter(None, shape.split(","))))


def place(module: str) -> Path | None:
    """The folder that this process imports a module from; None where it is installed, or is not here at all."""
    file = getattr(sys.modules.get(module), "__file__", None)
    parts = module.split(".")
    if file:
        path = Path(file).absolute()
        path = path.parent if path.stem == "__init__" else path.with_suffix("")
        folder = path.parents[len(parts) - 1] if path.parts[-len(parts) :] == tuple(parts) else None
    else:
        folder = next((Path(found).absolute().parent for found in fingerprint.places(parts[:1])), None)
    return None if folder is None or fingerprint.is_installed(folder) else folder


def _name(function: Any) -> str:
    """Where a function is found again, as `package.module:name`."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    rule = "so the worker cannot import it: define it with `def` at the top of a module, or name it as 'package.module:name'"
    if not callable(function) or not (isinstance(module, str) and isinstance(name, str)):
        raise UsageError(f"gpu_peak.of({function!r}) is no function with a name, {rule}")
    if "<" in name:
        what = "a lambda" if name.endswith("<lambda>") else "defined inside of a function"
        raise UsageError(f"gpu_peak.of: {name} of {module} is {what}, {rule}")
    try:
        found = operator.attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        found = None
    if found is not function or module == "__main__":
        raise UsageError(f"gpu_peak.of: {name} of {module} is not what is found under that name, {rule}")
    return _checked(f"{module}:{name}")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(f"gpu_peak.of: function {name!r} must be 'package.module:name', or the function itself")
    return name


def _argument(given: Any, where: str) -> Any:
    """A tree of arrays as text. Raises UsageError for what is none."""
    if given is None:
        return None
    if type(given) in (list, tuple):
        return type(given)(_argument(part, f"{where}[{at}]") for at, part in enumerate(given))
    if type(given) is dict:
        if unnamed := [key for key in given if not isinstance(key, str)]:
            raise UsageError(f"gpu_peak.of: {where} has the key {unnamed[0]!r}: keys must be text")
        return {key: _argument(given[key], f"{where}[{key!r}]") for key in sorted(given)}
    text = given
    if not isinstance(given, str) and hasattr(given, "shape") and hasattr(given, "dtype"):
        dtype = str(getattr(given.dtype, "name", given.dtype))
        text = f"{dtype}[{','.join(map(str, given.shape))}]"
    found = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        rule = "write 'bfloat16[1024,128]', for one number 'float32[]', or give what has .shape and .dtype"
        raise UsageError(f"gpu_peak.of: {where} {repr(given)[:_LONGEST]} is no shape: {rule}; a value goes by its name, as n=3")
    if found[1] not in DTYPES:
        hint = near(found[1], DTYPES) or f" (there are {', '.join(sorted(DTYPES))})"
        raise UsageError(f"gpu_peak.of: {where} {text!r}: unknown type {found[1]!r}{hint}")
    return text


def _value(given: Any, name: str) -> Any:
    """A value that JSON has, of Python's own types."""
    if isinstance(given, list | tuple):
        parts = [_value(part, name) for part in given]
        return tuple(parts) if isinstance(given, tuple) else parts
    if type(given) is dict and all(isinstance(key, str) for key in given):
        return {key: _value(given[key], name) for key in sorted(given)}
    for plain in (bool, int, float, str):
        if isinstance(given, plain) and given == given and given not in (float("inf"), -float("inf")):
            return plain(given)
    if given is not None:
        rule = "must be a finite number, a text, True, False, None, or a list, tuple or dictionary of these"
        raise UsageError(f"gpu_peak.of: {name}={repr(given)[:_LONGEST]} {rule}; arrays go before it, by their shapes")
    return None
