"""A compiled program of the user's own, in a file or in a folder of many. Reading runs nothing, and takes no JAX."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_af3mem.errors import InputError, UsageError, shown
from pytest_af3mem.gpus import Gpu, described
from pytest_af3mem.records.program_limits import Rematerialization
from pytest_af3mem.records.read_program import ReadProgram
from pytest_af3mem.worker.xla import forms, limits, program
from pytest_af3mem.worker.xla.executable import Program
from pytest_af3mem.worker.xla.forms import FLAGS, FLAVOR, MOST_BYTES, Found, Unreadable

_PLANS, _ENTRIES = "after_optimizations.hlo.pb", "-cache"
_TEXTS = ("after_optimizations.txt", "buffer-assignment.txt", "memory-usage-report.txt")
_BEFORE = "before_optimizations.hlo.pb"
_MOST_TEXT_BYTES = 2**20
_BESIDE = (".gpu_target_config.pbtxt", ".config.pbtxt")
_ALPHAFOLD3 = re.compile(r"(.*/alphafold3)/")
_INSTALLED = re.compile(r"(.*/(?:site|dist)-packages/(\w+))/|.*/lib/python3\.\d+/|<")
_NOT_OWN = {"equinox", "flax", "haiku", "jax", "jaxlib", "tokamax"}


def read(path: Path, progress: Callable[[str], None]) -> ReadProgram:
    """The program in a file; of a folder the one with the largest total. Raises UsageError, with the way out, where none is."""
    try:
        if path.is_dir():
            return _in_folder(path, progress)
        progress("reading")
        return _told(path, _found(path))
    except Unreadable as error:
        raise UsageError(f"{shown(str(path))!r} {error}") from error
    except OSError as error:
        raise UsageError(f"{shown(str(path))!r} cannot be read: {error.strerror}") from error


def _in_folder(folder: Path, progress: Callable[[str], None]) -> ReadProgram:
    best, best_bytes, readable, unread = None, -1, 0, []
    names = _names(folder)
    for number, name in enumerate(names, start=1):
        progress(f"reading {number} of {len(names)}")
        try:
            found = _found(folder / name)
            total_bytes = program.sizes(found.program).total_bytes
        except Unreadable as error:
            unread.append(f"{shown(name)!r} {error}")
            continue
        readable += 1
        if total_bytes > best_bytes:
            best, best_bytes = (folder / name, found), total_bytes
    if best is None:
        which = "one program" if len(names) == 1 else f"{len(names)} programs, none of which is read, the first of them"
        raise Unreadable(f"holds {which}: {unread[0]}")
    return dataclasses.replace(_told(*best), others=readable - 1, unread=tuple(unread))


def _names(folder: Path) -> list[str]:
    """Of the files with programs, those of a dump before those of a cache."""
    names = sorted(one.name for one in folder.iterdir() if one.is_file())
    for ending in (_PLANS, _ENTRIES):
        if found := [name for name in names if name.endswith(ending)]:
            return found
    if any(name.endswith(_TEXTS) for name in names):
        raise Unreadable(f"is a dump of XLA's as text, which does not say all bytes: add --xla_dump_hlo_as_proto, as in {FLAGS}")
    if any(name.endswith(_BEFORE) for name in names):
        raise Unreadable("is a dump of XLA's that stops before the plan of the buffers: the compile did not get so far")
    raise Unreadable(
        f"holds no program: neither a dump of XLA's (*_{_PLANS}, which {FLAGS} writes) nor JAX's compilation cache (*{_ENTRIES})"
    )


def _found(path: Path) -> Found:
    if not path.exists():
        raise Unreadable("does not exist")
    if not path.is_file():
        raise Unreadable("is no file: give a file, or a folder with some")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1) if path.stat().st_size <= MOST_BYTES else None
    if content is None or len(content) > MOST_BYTES:
        raise Unreadable(f"is larger than {MOST_BYTES >> 20} MiB, the most that is read: give the plan of one program")
    return forms.found(content, path.name)


def _told(path: Path, found: Found) -> ReadProgram:
    around = _Around.of(path)
    compiled = program.of_program(found.program, _own_sources(found.program))
    limit_bytes = around.limit_bytes(compiled.argument_bytes, compiled.output_bytes)
    capability = ".".join(map(str, around.gpu.compute_capability)) if around.gpu else ""
    told = ReadProgram(
        file=str(path),
        form=found.form,
        module=found.module,
        argument_bytes=compiled.argument_bytes,
        output_bytes=compiled.output_bytes,
        temp_bytes=compiled.temp_bytes,
        alias_bytes=compiled.alias_bytes,
        constant_bytes=compiled.constant_bytes,
        live_bytes=compiled.live_bytes,
        kernels=compiled.kernels,
        holders=compiled.attribution.holders,
        high_water=compiled.attribution.high_water,
        unattributed=compiled.attribution.reason,
        program_limits=dataclasses.replace(compiled.limits, rematerialization=Rematerialization(limit_bytes)),
        compute_capability=found.compute_capability or capability,
        gpu=around.gpu.description if around.gpu else "",
    )
    try:
        return ReadProgram.from_json(told.to_json())
    except InputError as error:  # sizes that no program has
        raise Unreadable(f"is damaged ({error}): {forms.AGAIN}") from error


@dataclass(frozen=True)
class _Around:
    """What XLA dumped next to a plan: the GPU that it compiled for, and how it was told to."""

    gpu: Gpu | None
    config: str

    @classmethod
    def of(cls, path: Path) -> _Around:
        """Raises Unreadable where the GPU is not one of CUDA's."""
        flavor = FLAVOR.search(path.name)
        if flavor is None:
            return cls(None, "")
        target, config = (_text(path.with_name(path.name[: flavor.start()] + end)) for end in _BESIDE)
        if 'platform_name: "ROCM"' in target:
            raise Unreadable(forms.other_backend("ROCm"))
        try:
            return cls(described.parse(target, "", ""), config)
        except UsageError:
            return cls(None, config)

    def limit_bytes(self, argument_bytes: int, output_bytes: int) -> int | None:
        """XLA's limit for temporaries and outputs; None where what decides it was not dumped."""
        stated = {name: int(value) for name, value in re.findall(r"^\s*(\w+): (\d+)$", self.config, re.MULTILINE)}
        percent = stated.get("xla_gpu_memory_limit_slop_factor")
        memory_bytes = stated.get("device_memory_size") or (self.gpu and self.gpu.memory_bytes * 80 // 100)
        return limits.limit(memory_bytes, argument_bytes, output_bytes, percent) if memory_bytes and percent else None


def _text(path: Path) -> str:
    """A small text; empty where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_TEXT_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _own_sources(read: Program) -> list[str]:
    """Where the lines lie that say most of a program: AlphaFold 3, scripts, then packages but JAX's and those of layers."""
    files = dict.fromkeys(file for file, *_ in read.frames.values())
    alphafold3 = dict.fromkeys(match[1] for file in files if (match := _ALPHAFOLD3.match(file)))
    installed = {file: _INSTALLED.match(file) for file in files}
    packages = dict.fromkeys(match[1] for match in installed.values() if match and match[2] and match[2] not in _NOT_OWN)
    return [*alphafold3, *(file for file, match in installed.items() if not match), *packages]
