"""What a file says of a compiled program, that nobody compiled here. To and from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pytest_af3mem.records.peak import Holder, Kernels, Peak
from pytest_af3mem.records.program_limits import ProgramLimits
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.typed import Filled


@dataclass(frozen=True)
class ReadProgram:
    """What `file` says of the program `module`; what is as of a `Peak` is called as there.

    `form` is what the file is, in words. `compute_capability` ("9.0") and `gpu` (the name that CUDA gives it) are what the
    program was compiled for, empty where the file does not say. Neither tokens, nor a model, nor versions stand in such a file.
    Of a folder `file` is that of the program with the largest total, `others` are how many more are read, and `unread` says of
    each that cannot be read why not.
    """

    file: Filled
    form: Filled
    module: str
    argument_bytes: int
    output_bytes: int
    temp_bytes: int
    alias_bytes: int
    constant_bytes: int
    live_bytes: int | None
    kernels: Kernels
    holders: tuple[Holder, ...] = ()
    high_water: Mapping[str, int] = field(default_factory=dict)
    unattributed: str = ""
    program_limits: ProgramLimits = field(default_factory=ProgramLimits)
    compute_capability: str = ""
    gpu: str = ""
    others: int = 0
    unread: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """As a `Peak`'s: argument + output + temp - alias, and constants."""
        return self.argument_bytes + self.output_bytes + self.temp_bytes - self.alias_bytes + self.constant_bytes

    @property
    def packing_bytes(self) -> int | None:
        """As a `Peak`'s."""
        return None if self.live_bytes is None else self.total_bytes - self.live_bytes

    @property
    def compiled_for(self) -> str:
        """What is known of the GPU, in words; empty where nothing is."""
        return self.gpu or (f"compute capability {self.compute_capability}" if self.compute_capability else "")

    def to_json(self) -> dict[str, Any]:
        return typed.write(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReadProgram:
        """The inverse of `to_json`. Raises InputError for what is no such record."""
        return typed.read(cls, data)


Planned: TypeAlias = Peak | ReadProgram
"""A program whose buffers XLA planned: measured here, or read from a file."""
