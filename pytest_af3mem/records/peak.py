"""The records: one measurement of peak GPU memory and what it was made with. To and from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import UsageError
from pytest_af3mem.gpus.size import Size, format_bytes
from pytest_af3mem.records.program_limits import ProgramLimits
from pytest_af3mem.records.request import conditions, of_function
from pytest_af3mem.records.timeline import Timeline
from pytest_af3mem.storage import typed
from pytest_af3mem.storage.typed import Filled, Positive, Signed


@dataclass(frozen=True)
class Kernels:
    """Which kernels the compiled program calls.

    `triton` and `mosaic` count the custom calls of either kind. `xla_fallbacks` names, as `operation in component`, each
    operation that tokamax would run as a kernel of its own but left to XLA on this target: it costs memory and nobody is told.
    """

    triton: int
    xla_fallbacks: tuple[str, ...] = ()
    mosaic: int = 0

    def __str__(self) -> str:
        others = {"mosaic": self.mosaic, "xla fallbacks": len(self.xla_fallbacks)}
        return ", ".join([f"triton {self.triton}", *(f"{name} {count}" for name, count in others.items() if count)])


@dataclass(frozen=True)
class Model:
    """Which network was measured: its name, where it comes from, a digest of its sources, its settings."""

    name: str
    distribution: str
    fingerprint: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Holder:
    """Buffers that are alive at the peak and alike: `count` of them, `bytes` together.

    `component` is the part of the model that made them, by its Haiku scope, as in
    `diffuser/evoformer/msa_stack/outer_product_mean`, `batch/msa` for a feature, "model" outside of all scopes, or
    "fragmentation"; `kind` is "parameter", "input", "output", "temporary", "carry" (of a loop that runs at the peak), "constant"
    or "fragmentation"; `array` is type and shape as JAX writes them, `bf16[1024,1024,128]`, empty for small ones of several
    kinds; `source` is the line of the model that made them, `alphafold3/model/model.py:209`, empty where it is not known.
    """

    component: str
    kind: str
    bytes: Signed
    array: str = ""
    source: str = ""
    count: int = 1


@dataclass(frozen=True)
class Phase:
    """JAX's allocator at the end of a phase: the bytes in use, and the most that were in use since the process began."""

    in_use_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Phases:
    """JAX's allocator in one process, at the end of each phase of a run: `start` is before anything was put on the device.

    `steady_peak_bytes` is the most in use while the program runs. It is exact where the runs raised the peak, and then `gap_ms`
    is 0; else it comes of readings at most `gap_ms` apart.
    """

    start: Phase
    parameters: Phase
    features: Phase
    compile: Phase
    first_run: Phase
    second_run: Phase
    steady_peak_bytes: int
    gap_ms: float = 0.0

    @property
    def by_name(self) -> dict[str, Phase]:
        """The phases in their order, under the names that reports give them."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name.replace("_", " "): phase for name, phase in found.items() if isinstance(phase, Phase)}

    @property
    def peak_bytes(self) -> int:
        """The most in use in the life of the process."""
        return self.second_run.peak_bytes


@dataclass(frozen=True)
class Run:
    """What was read on a real GPU while one program ran twice in a clean process. Bytes are of JAX's allocator unless said.

    `before_bytes` are in use before anything was put on the device, `loaded_bytes` with parameters and features there,
    `after_bytes` once the results are on the host. `compile_peak_bytes` is the most in use up to the end of the compile,
    autotuning's scratch included; `steady_peak_bytes` the most in use while the program runs. The allocator's counter cannot be
    set back: where the compile peaked higher, `steady_peak_bytes` comes of readings at most `allocator_gap_ms` apart, else it is
    exact and that is 0. `largest_bytes` is the largest single allocation, `pool_bytes` what the allocator took from the device,
    `limit_bytes` what it may take.

    `device_bytes` is NVML's figure of all that was taken on the device meanwhile, less what was taken before; NVML was read
    at most `nvml_gap_ms` apart. `process_note` says why `Peak.process_bytes` is None.

    `cold` are the phases of the process that compiled the program, of which all of the above is. `warm` are those of a second
    process, which loaded the program from JAX's compilation cache; where there are none, `warm_note` says why.
    """

    device: str
    uuid: str
    driver: str
    before_bytes: int
    loaded_bytes: int
    compile_peak_bytes: int
    steady_peak_bytes: int
    after_bytes: int
    largest_bytes: int
    pool_bytes: int
    limit_bytes: int
    device_bytes: Signed
    allocator_gap_ms: float = 0.0
    nvml_gap_ms: float = 0.0
    process_note: str = ""
    cold: Phases | None = None
    warm: Phases | None = None
    warm_note: str = ""


@dataclass(frozen=True, eq=False)
class Peak:
    """Peak GPU memory of one inference, or of one call of a function: `total_bytes` is the number that is judged.

    `total_bytes` = argument + output + temp - alias + constant: what the runtime asks the allocator for, and the arrays that are
    part of the program, as of a model that closes over them, which are loaded with it. `live_bytes` is XLA's peak of
    live buffers, without fragmentation (None where the JAX version cannot tell). `holders` say who holds the peak, the largest
    first: their bytes add up to `total_bytes`. `high_water` is the most that temporaries of each component ever take, in bytes,
    whenever that is; what is carried through loops and belongs to a component counts. Where the two are not known they are
    empty, and `unattributed` says why. `timeline` is what is alive along the program; None in records of
    earlier versions, and where the holders are not known.

    With the method `run` a real GPU was read: `total_bytes` is then what JAX's allocator peaked at, `allocator_bytes` the same,
    `process_bytes` NVML's figure of the process, context and libraries included (None where NVML does not name it), `run` the
    rest of the readings. The other bytes stay those of the program, as it was compiled on that GPU: `program_bytes` is their sum,
    and that of `holders`.

    `least_bytes`: with flags that leave it to the GPU which kernels multiply matrices, the total is that of the choice that needs
    most, and this that of the one that needs least (`records.flags`).

    `tuning_bytes`, which is not in the total: where tokamax tunes kernels as the model is traced, the most that it may keep on
    the GPU of the inputs of kernels that failed. None where it does not.

    `program_limits` are what the program may run into besides these bytes.

    Of a function there are no `tokens` and no `bucket`: both are None, and `function` is the call.

    `cached`: it was measured before; `shipped`: by who made this project (`records.shipped`). `same_program`: its sources are
    new, and the program that they make was compiled before.

    Peaks compare with each other and with sizes: `peak <= "12 GiB"`, `peak < "95 %"` (of the target's memory), `a == b`. Those of
    different targets or methods are never equal.
    """

    tokens: Positive | None
    bucket: Positive | None
    target: Filled
    method: Filled
    total_bytes: Positive
    live_bytes: int | None
    argument_bytes: int
    output_bytes: int
    temp_bytes: int
    alias_bytes: int
    kernels: Kernels
    model: Model
    software: Mapping[str, str]
    allocator_bytes: int | None = None
    process_bytes: int | None = None
    run: Run | None = None
    holders: tuple[Holder, ...] = ()
    high_water: Mapping[str, int] = field(default_factory=dict)
    unattributed: str = ""
    seconds: float = 0.0
    cached: bool = False
    constant_bytes: int = 0
    same_program: bool = False
    least_bytes: int | None = None
    tuning_bytes: int | None = None
    program_limits: ProgramLimits = field(default_factory=ProgramLimits)
    timeline: Timeline | None = None
    shipped: bool = False

    def __post_init__(self) -> None:
        _ = self.function  # or it has tokens

    def __str__(self) -> str:
        return f"GPU peak {format_bytes(self.total_bytes)} {self.conditions}"

    def __repr__(self) -> str:
        return f"<{self}>"

    @property
    def program_bytes(self) -> int:
        """What the compiled program asks the allocator for: argument + output + temp - alias."""
        return self.argument_bytes + self.output_bytes + self.temp_bytes - self.alias_bytes

    @property
    def packing_bytes(self) -> int | None:
        """What lies between buffers that are alive at the program's peak, lost to fragmentation; None where that is not known."""
        return None if self.live_bytes is None else self.program_bytes + self.constant_bytes - self.live_bytes

    @property
    def conditions(self) -> str:
        """What the number belongs to: `[3072 tokens, bucket 3072, a100-40gb, compiled]`."""
        return conditions(self.tokens, self.bucket, self.target, self.method, self.function)

    @property
    def function(self) -> str:
        """The call that was measured, as `blocks:gram('float32[64,64]')`; empty for the inference of a job."""
        return of_function(self.tokens, self.bucket, self.model.config)

    def bytes_of(self, other: Peak | str | int | Size) -> int:
        """`other` in bytes, as this peak compares with it: percentages are of this peak's target."""
        if isinstance(other, Peak):
            return other.total_bytes
        if isinstance(other, int) and not isinstance(other, bool):
            return other
        return Size.parse(other).of(gpus.find(self.target).memory_bytes)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Peak) and (self.target, self.method) != (other.target, other.method):
            return False  # of as many bytes, and yet not the same
        if not isinstance(other, Peak | str | int | Size) or isinstance(other, bool):
            return NotImplemented
        try:
            return self.total_bytes == self.bytes_of(other)
        except UsageError:  # text that is no size
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self.total_bytes)

    def __lt__(self, other: Peak | str | int | Size) -> bool:
        return self.total_bytes < self.bytes_of(other)

    def __le__(self, other: Peak | str | int | Size) -> bool:
        return self.total_bytes <= self.bytes_of(other)

    def __gt__(self, other: Peak | str | int | Size) -> bool:
        return self.total_bytes > self.bytes_of(other)

    def __ge__(self, other: Peak | str | int | Size) -> bool:
        return self.total_bytes >= self.bytes_of(other)

    def to_json(self) -> dict[str, Any]:
        return typed.write(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Peak:
        """The inverse of `to_json`; other keys, as a report adds them, are left alone. Raises InputError for what is no peak."""
        return typed.read(cls, data, others=True)
