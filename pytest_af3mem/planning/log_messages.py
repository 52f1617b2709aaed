"""What AlphaFold 3, JAX, XLA, CUDA, Triton, Slurm and the kernel print when a run ends badly, and what each line means.

A line has the meaning of the first row of `MESSAGES` whose pattern it has. Each row begins with words that such a line has, so
that most lines of a log are passed over without a pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_af3mem.planning import log_causes as end
from pytest_af3mem.planning.log_causes import Cause
from pytest_af3mem.records.out_of_memory import ASKED, FAILED, REQUEST, SHARED_DATA, SHARED_REQUEST, TRYING, TRYING_ROUNDED

GENERAL, SPECIFIC = 1, 2  # a specific line is believed rather than a general one, and both rather than a warning


@dataclass(frozen=True)
class Message:
    """One row: words that the line has, its pattern, and how much the line says."""

    cause: Cause
    words: str
    pattern: str
    rank: int = SPECIFIC


def _rows(cause: Cause, *patterns: tuple[str, str] | str, rank: int = SPECIFIC) -> tuple[Message, ...]:
    """Rows of one cause; a pattern that is but its words is given as such."""
    pairs = [(one, re.escape(one)) if isinstance(one, str) else one for one in patterns]
    return tuple(Message(cause, words, pattern, rank) for words, pattern in pairs)


MESSAGES = (
    *_rows(end.RETRIED, "The caller indicates that this is not a failure", rank=0),
    *_rows(end.REMATERIALIZED, "by rematerialization", rank=0),
    *_rows(
        end.SHARED,
        ("hared memory size limit", SHARED_REQUEST),
        (
            "shared memory",
            r"out of resource: shared memory.{0,9}Required: (?P<asked>\d{1,19})\D{1,9}Hardware limit\D{1,9}(?P<limit>\d{1,19})",
        ),
        ("too much shared data", SHARED_DATA),
        "Shared memory requested exceeds",
        (
            "CUDA_ERROR_INVALID_VALUE",
            r"(?i:shared memory).{0,300}CUDA_ERROR_INVALID_VALUE|CUDA_ERROR_INVALID_VALUE.{0,300}(?i:shared memory)",
        ),
    ),
    *_rows(
        end.HOST,
        ("on host:", rf"{FAILED} on host:"),
        ("host_bfc", rf"host_bfc\) ran out of memory {TRYING}"),
        ("host memory", rf"allocate [\d.]+\w+ \({ASKED}\) of (?:pinned )?host memory"),
        ("host memory", rf"allocate pinned host memory of size: {ASKED}"),
        "ailed to allocate host memory",
        "std::bad_alloc",
        ("MemoryError", r"(?:^|[\s.])_?(?:Array)?MemoryError(?::|$|\s)(?:.{0,40}Unable to allocate " + ASKED + ")?"),
        "Cannot allocate memory",
    ),
    *_rows(
        end.JOB_LIMIT,
        ("oom_kill", r"oom_kill event.{0,20}(?:StepId=|step )(?P<slurm>\d{1,12})"),
        ("oom-kill", r"oom-kill event.{0,20}(?:StepId=|step )(?P<slurm>\d{1,12})"),
        ("emory cgroup out of memory", r"Killed process \d+(?:.{0,140}anon-rss:(?P<held>\d{1,15}kB))?"),
        "Exceeded job memory limit",
        ("exceeded limit", r"(?:mem|vmem) \S{1,20} exceeded limit"),
    ),
    *_rows(end.JOB_LIMIT, ("Out Of Memory", r"task \d+: Out Of Memory"), rank=GENERAL),
    *_rows(
        end.HOST,
        ("ut of memory: Kill", r"Kill(?:ed)? process \d+(?:.{0,140}anon-rss:(?P<held>\d{1,15}kB))?"),
    ),
    *_rows(end.UNIFIED, ("unified memory", rf"{FAILED} (?:of )?unified memory")),
    *_rows(
        end.OUTSIDE,
        "instantiate command buffer",
        (
            "CUDA_ERROR_OUT_OF_MEMORY",
            r"(?:CUBIN|cuDevicePrimaryCtxRetain|cuModuleLoad|[Ff]ailed to capture gpu graph).{0,300}CUDA_ERROR_OUT_OF_MEMORY",
        ),
    ),
    *_rows(
        end.GPU,
        ("trying to allocate", rf"[Oo]ut of memory while {TRYING}"),
        ("trying to allocate", rf"ran out of memory {TRYING_ROUNDED}"),
        ("trying to allocate", rf"ran out of memory {TRYING}"),
        ("Failed to allocate request for", REQUEST),
        ("CUDA_ERROR_OUT_OF_MEMORY", rf"{FAILED}.{{0,80}}CUDA_ERROR_OUT_OF_MEMORY"),
    ),
    *_rows(end.GPU, "CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation", "RESOURCE_EXHAUSTED", rank=GENERAL),
    *_rows(
        end.TIME,
        ("DUE TO TIME LIMIT", r"(?:(?:JOB|STEP) (?P<slurm>\d{1,12}).{0,200})?DUE TO TIME LIMIT"),
        ("walltime", r"walltime \S{1,20} exceeded limit"),
    ),
    *_rows(
        end.DRIVER,
        ("does not match DSO version", r"kernel version [\d.]+ does not match DSO version [\d.]+"),
        "CUDA driver version is insufficient",
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "Driver/library version mismatch",
        ("too old", r"(?i:driver(?: version)?(?: is)? too old)"),
    ),
    *_rows(
        end.NO_GPU,
        "CUDA_ERROR_NO_DEVICE",
        "no CUDA-capable device is detected",
        "could not select device driver",
        "CUDA-enabled jaxlib is not installed",
    ),
    *_rows(
        end.NO_GPU,
        "No visible GPU devices",
        ("no supported devices found", r"no supported devices found for platform CUDA"),
        ("nable to initialize backend", r"nable to initialize backend '(?:cuda|gpu)'"),
        ("failed to initialize", r"[Bb]ackend '(?:cuda|gpu)' failed to initialize"),
        ("Unknown backend", r"Unknown backend:? '?(?:cuda|gpu)"),
        "failed call to cuInit",
        "alling back to CPU",
        rank=GENERAL,
    ),
    *_rows(
        end.GENERATION,
        "no kernel image is available",
        "CUDA_ERROR_NO_BINARY_FOR_GPU",
        "is unsupported on this GPU generation",
        ("GPU compute capability", r"For devices with GPU compute capability 7|requires at least GPU compute capability"),
    ),
    *_rows(end.COMPILER, "libdevice not found", "find libdevice", "suitable version of ptxas", "No PTX compilation provider"),
    *_rows(end.CUDNN, "DNN library initialization failed", "Could not create cudnn handle", "before creating cudnn handle"),
    *_rows(end.ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access"),
    *_rows(
        end.LAUNCH,
        "failed to launch on the GPU",
        "CUDA_ERROR_LAUNCH_",
        ("ailed to launch CUDA", r"ailed to launch CUDA (?:kernel|graph)"),
        ("ailed to capture", r"(?i:failed to capture gpu graph)"),
        "CUDA_ERROR_INVALID_VALUE",
    ),
    *_rows(
        end.DATABASE,
        ("not found in any of", r"\S{1,300} with \S{1,20} not found in any of"),
        ("Could not find", r"Could not find \w{1,20} database \S{1,300}"),
        ("failed to slurp", r"failed to slurp \S{1,300}"),
        ("FileNotFoundError", r"[^\s']{1,300}(?:\.fasta|\.fa|mmcif_files\S{0,20})'?(?: does not exist\.)?$"),
    ),
    *_rows(
        end.PARAMETERS,
        ("o models matched in", r"o models matched in \S{1,300}"),
        ("Model missing from", r"Model missing from \S{1,300}"),
    ),
    *_rows(end.DISK, "No space left on device", "Disk quota exceeded"),
    *_rows(
        end.DONE,
        ("done, output written", r"Fold job .{1,300} done, output written"),
        ("Done running", r"Done running \d+ fold jobs?\."),
        ("Done processing", r"Done processing (?:\d+ fold inputs?|fold input .{1,300})\."),
    ),
    *_rows(
        end.KILLED,
        ("Killed", r"(?:^|\d\s+|: )Killed(?:\s|$)"),
        ("xit code", r"xit code:? 137\b"),
        ("with code", r"with code 137\b"),
        rank=GENERAL,
    ),
    *_rows(end.CRASH, "Segmentation fault", ("core dumped", r"(?:Aborted|Bus error) \(core dumped\)"), rank=GENERAL),
)

NOISE = r"(?:^|\s)W\d{4} \d|: W \w+/|leaking|failed to unload module"
"""Lines that are warnings, or of a process that is ending already: they count where nothing else is known."""
