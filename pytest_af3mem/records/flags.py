"""Which XLA flags a program is compiled with: AlphaFold 3's container's, JAX's default, or one's own.

They decide the bytes: the programs that they make of one model differ by up to 17 % (docs/truth.md). So they are part of the
question: a setting called `xla_flags`, of every model.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TypeAlias

from pytest_af3mem.errors import UsageError

Options: TypeAlias = Mapping[str, bool | int | str]
"""XLA's options by name, without dashes."""

SETTING = "xla_flags"
CONTAINER, DEFAULT = "container", "default"

# With JAX's default flags a GPU's autotuner chooses for each matrix product between Triton and cuBLASLt. Without a GPU every one
# is Triton's; so these are all cuBLASLt's, as XLA takes it for a compiler option.
_ALL_CUBLASLT = {"xla_gpu_experimental_autotune_backends": "CUBLASLT_FISSION,CUBLASLT"}
_ALL_CUBLASLT_SINCE_0_11 = {
    "xla_gpu_experimental_autotune_backends": "CUBLASLT_FISSION,CUBLASLT,NATIVE_EMITTER,BLOCK_LEVEL_EMITTER"
}
_MOST_LETTERS = 2**17
_FLAG = re.compile(r"--(xla_\w+)(?:=(.*))?", re.DOTALL)


def read(text: str, name: str) -> str:
    """`container`, `default`, or flags as `XLA_FLAGS` takes them, one space between. Raises UsageError for anything else."""
    if text in (CONTAINER, DEFAULT):
        return text
    parsed(text, name)
    return shlex.join(shlex.split(text))


def parsed(text: str, name: str = SETTING) -> Options:
    """Flags as options: those without a value are true. Raises UsageError for a word that is no flag of XLA's."""
    if len(text) > _MOST_LETTERS:
        raise UsageError(
            f"{name} has {len(text):,} letters, and may have {_MOST_LETTERS:,}, as an environment variable may: state fewer"
        )
    options: dict[str, bool | int | str] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{name} {text!r} cannot be read: {error}") from error
    for word in words:
        flag = _FLAG.fullmatch(word)
        if flag is None:
            rule = f"is neither {CONTAINER}, {DEFAULT}, a file, nor a flag of XLA's, like --xla_gpu_enable_triton_gemm=false"
            raise UsageError(f"{name}: {word!r} {rule}")
        options[flag[1]] = _value(flag[2])
    if not options:
        raise UsageError(f"{name} has no flags: state {CONTAINER}, {DEFAULT}, or some, like --xla_gpu_enable_triton_gemm=false")
    return options


def _value(text: str | None) -> bool | int | str:
    if text is None or text.lower() in ("true", "false"):
        return text is None or text.lower() == "true"
    return int(text) if re.fullmatch(r"-?\d{1,19}", text) else text  # no flag of XLA's is a longer number


def programs(flags: str, container: Options, compute_capability: tuple[int, int], jax: tuple[int, ...]) -> tuple[Options, ...]:
    """The options of each program that a model may be with these flags. Of several a GPU chooses, told the first's.

    `container` are those that the model is run with as a rule. Triton makes no matrix products before Ampere.
    """
    if flags == CONTAINER:
        return (container,)
    if flags != DEFAULT:
        return (parsed(flags),)
    if compute_capability < (8, 0):
        return ({},)
    return {}, _ALL_CUBLASLT if jax < (0, 11) else _ALL_CUBLASLT_SINCE_0_11
