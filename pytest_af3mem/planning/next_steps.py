"""What to do next about what a log says: commands, each with what it is for."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_af3mem.planning import log_causes as log
from pytest_af3mem.planning.explain import Explanation

_LITTLE = 2**30  # bytes that are free where cuDNN and CUDA have too few
_TRITON_OFF = "run_alphafold.py --flash_attention_implementation=xla"


@dataclass(frozen=True)
class Step:
    """A command line, and what it does or says."""

    command: str
    purpose: str


def steps(one: Explanation) -> tuple[Step, ...]:
    """The next steps, the first to be taken first. `job.json` in them is the user's input, `NAME` a target."""
    cause = one.found.cause if one.found else None
    if cause in (log.GPU, log.UNIFIED):
        return _gpu(one)
    if one.memory == "host" or cause is log.KILLED:
        return _host(one)
    if cause is log.SHARED:
        return _shared_memory(one)
    if cause is log.CUDNN and (one.free_bytes is None or one.free_bytes >= _LITTLE):
        return (
            Step("unset LD_LIBRARY_PATH", "another cuDNN than the one that JAX came with may be found first"),
            Step("nvidia-smi", "the driver's version, and whether another process holds the GPU"),
        )
    if cause in (log.OUTSIDE, log.CUDNN):
        return (
            Step("export XLA_CLIENT_MEM_FRACTION=0.9", "leaves more of the GPU to CUDA: AlphaFold 3's container takes 0.95"),
            Step("nvidia-smi", "whether another process holds memory of this GPU; af3mem watch PID says what for"),
        )
    templates = _OF_CAUSE.get(cause, ()) if cause else (_EVERYTHING,)
    return tuple(
        Step(command.format(input=_input(one), target=_target(one), slurm=one.said.get("slurm", "JOBID")), purpose)
        for command, purpose in templates
    )


def _gpu(one: Explanation) -> tuple[Step, ...]:
    found = []
    if one.is_unified and (one.share or 0) <= 1:
        why = "unified memory is on, and no share above 1 is in the log: without one the pool ends where the GPU does"
        found.append(Step("export XLA_CLIENT_MEM_FRACTION=3.2", why))
    elif one.is_unified and one.asked_bytes and one.limit_bytes and one.asked_bytes < one.limit_bytes:
        found.append(Step("free -h", "unified memory is also the host's: what the host, container or job leaves of it"))
    if one.asked_bytes and one.memory_bytes and "CUDA_ERROR" in one.line and one.asked_bytes <= one.memory_bytes:
        why = "the GPU has more than was asked for: another process may hold it; af3mem watch PID says what for"
        found.append(Step("nvidia-smi", why))
    if not one.tokens:
        found.append(Step("af3mem tokens job.json", "its tokens, N below"))
    older = "this log is of an older JAX: whether it fits with the versions here as it is, else with which settings"
    why = older if "old_jax" in one.said else "the settings with which it fits this GPU"
    found.append(Step(f"af3mem fit --tokens {one.tokens or 'N'} --target {_target(one)}", why))
    return *found, Step("af3mem plan job.json --targets gpus", "what it needs, and the GPUs that it fits as it is")


def _shared_memory(one: Explanation) -> tuple[Step, ...]:
    measured = f"af3mem measure {_input(one)} --target {_target(one)}"
    if "GatedLinearUnit" in one.said.get("kernel", ""):
        return (
            Step("pip install --upgrade tokamax", "its tile of this kernel is too large for such GPUs: openxla/tokamax#1361"),
            Step(measured, "whether the versions that are installed here compile for this GPU"),
        )
    return (
        Step(_TRITON_OFF, "attention without its Triton kernel, if that is the one: it takes more GPU memory"),
        Step(f"{measured} --set attention=xla", "how much, and whether the rest compiles for this GPU"),
    )


def _host(one: Explanation) -> tuple[Step, ...]:
    found = []
    if "slurm" in one.said:
        found.append(
            Step(
                f"sacct -j {one.said['slurm']} --format=JobID,ReqMem,MaxRSS,State",
                "what it had and took; then ask for more by --mem",
            )
        )
    else:
        found.append(Step("free -h", "what the host has; in a container or job its limit counts, such as that of --mem"))
    if one.stage == "searching the databases":
        found.append(
            Step("run_alphafold.py --norun_inference", "runs the searches alone, on a machine with more memory and no GPU")
        )
    elif one.is_unified:
        found.append(Step(f"af3mem plan job.json --targets {_target(one)}", "what spills from the GPU into host memory"))
    else:
        found.append(
            Step(f"af3mem measure {_input(one)} --target {_target(one)}", "what the GPU needs, of which this log says nothing")
        )
    return tuple(found)


def _input(one: Explanation) -> str:
    return f"--tokens {one.tokens}" if one.tokens else "--job job.json"


def _target(one: Explanation) -> str:
    return one.target or "NAME"


_MEASURE = "af3mem measure {input} --target {target}"
_EVERYTHING = ("run_alphafold.py ... > run.log 2>&1", "a log with all that it printed, standard error included")
_DOCTOR = ("af3mem doctor", "what af3mem finds installed, and the GPUs that it sees; measuring compiled needs none")
_OF_CAUSE: dict[log.Cause, tuple[tuple[str, str], ...]] = {
    log.TIME: (
        ("sacct -j {slurm} --format=JobID,Timelimit,Elapsed,State", "what it had; then ask for more by --time"),
        (_MEASURE, "whether it fits the GPU: what spills into host memory runs many times slower"),
    ),
    log.DRIVER: (
        ("nvidia-smi", "the driver's version: JAX for CUDA 12 needs 525 or later, and a restart after an update"),
        _DOCTOR,
    ),
    log.NO_GPU: (
        ("nvidia-smi", "whether this machine, container or job has a GPU (docker --gpus all, singularity --nv, --gres=gpu:1)"),
        _DOCTOR,
    ),
    log.GENERATION: (
        (
            f"XLA_FLAGS=--xla_disable_hlo_passes=custom-kernel-fusion-rewriter {_TRITON_OFF}",
            "for compute capability 7, as V100 and T4",
        ),
        (f"{_MEASURE} --set attention=xla", "what that needs of GPU memory"),
    ),
    log.COMPILER: (("export XLA_FLAGS=--xla_gpu_cuda_data_dir=$CUDA_HOME", "says where CUDA is; or: pip install 'jax[cuda12]'"),),
    log.ADDRESS: (
        ("pip list | grep -iE '^(jax|tokamax)'", "the versions: such faults were mended in later ones (alphafold3#697)"),
        (_MEASURE, "whether it fits without unified memory, where these faults are seen most"),
    ),
    log.LAUNCH: (
        (_MEASURE, "whether it fits the GPU without unified memory"),
        ("pip list | grep -iE '^(jax|tokamax)'", "the versions, for a report where it fits"),
    ),
    log.DATABASE: (
        ("run_alphafold.py --db_dir=DIR", "the folder that has the files, as the container sees it"),
        ("run_alphafold.py --norun_data_pipeline", "for an input that has its MSAs and templates already"),
    ),
    log.PARAMETERS: (
        ("run_alphafold.py --model_dir=DIR", "the folder that has the parameters, as the container sees it"),
        (_MEASURE, "what it will need of GPU memory: that needs no parameters"),
    ),
    log.DISK: (("df -h . /tmp", "which disk is full; quota -s for a quota. TMPDIR is where the searches write"),),
    log.CRASH: ((_MEASURE, "whether it fits the GPU"), _EVERYTHING),
    log.REMATERIALIZED: ((_MEASURE, "what it needs of the GPU, and who holds it"),),
    log.RETRIED: ((_MEASURE, "what it needs of the GPU, and who holds it"),),
}
