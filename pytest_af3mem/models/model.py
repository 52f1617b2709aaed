"""What is measured, as a worker sees it. AlphaFold 3 is one `Model`; any other network can be one too.

A model is named on the command line: `--af3-model alphafold3`, `--af3-model package.module:object` for one of your own, or
the name under which an installed package offers it (`ENTRY_POINTS`). docs/models.md has a complete example.
The worker process loads it; pytest's process never does. Import JAX and the network inside the methods, not at the top:
asking what is installed must stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Batch:
    """Features of one job as the network takes them, padded to `bucket` tokens of which `tokens` are real.

    `features` are NumPy arrays by name, of any shape and of a dtype that JAX has, as AlphaFold 3's `msa`, int8[rows, bucket], and
    `seq_mask`, bool[bucket]. Batches whose names, shapes and dtypes are equal are one program, whatever the values.
    The arguments of a function have neither tokens nor a bucket: both are None.
    """

    features: Mapping[str, Any]
    tokens: int | None
    bucket: int | None


@dataclass(frozen=True)
class Forward:
    """The network with its settings applied, as two pure functions.

    `init(key, features)` gives the parameters, `apply(parameters, key, features)` the outputs: trees of arrays. `key`
    is a `jax.random.PRNGKey`, uint32[2]; `features` are those of a `Batch`. Both are only traced (`jax.eval_shape`, `jax.jit`):
    they see abstract arrays and never a value. A run fills each parameter with one number.
    `config` is what a report says of the settings; `compiler_options` are the XLA flags that the model is run with;
    `left_to_xla` names tokamax operations (`attention`) that the settings give to XLA by name, which is no fallback.

    Two more are for the picture of memory over program order. `stages` are the parts of the network in the order in which they
    run, each with how the components in it begin: `{"trunk": ("net/embed", "net/trunk/"), "head": ("net/head",)}`.
    `pair_channels` are those of its pair representation, tokens x tokens x channels; None where it has none.
    """

    init: Callable[..., Any]
    apply: Callable[..., Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    compiler_options: Mapping[str, bool | int | str] = field(default_factory=dict)
    left_to_xla: frozenset[str] = frozenset()
    stages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pair_channels: int | None = None


@runtime_checkable
class Model(Protocol):
    """A network whose memory can be measured.

    It may have `fewer_iterations`, settings with which its loops run short: a real run uses them where a test does not say
    otherwise, to save time, so they must leave the peak as it is.

    It may say `parameters_follow_settings = True`: the shapes of its parameters are the same for every bucket, and need to be
    found once for all of them.

    It may say `refuses_other_parameters = True`: `Forward.apply` raises when it is traced with parameters whose names, shapes or
    dtypes are not those that `init` would make. Then those of an earlier version of the model are tried first.

    It may say `lies_in_source_tree = False`: a source tree that is measured need not hold it.

    It may have `depends_on`, a text: with another text it is another measurement, as with other versions of what it imports.

    It may have `features_of_bucket(bucket) -> Batch | None`: features of the names, shapes and dtypes that every job in this
    bucket has, or None where that is not so. Inputs that are generated for a token count are then not featurised.
    """

    name: str
    packages: tuple[str, ...]
    """Import names of the packages whose sources decide the number: editing one of them is a new measurement."""
    settings: tuple[str, ...]
    """Names that `af3_model(...)` takes for this model; dotted names are passed through unchecked."""

    def distribution(self) -> str:
        """Name and version for reports. Raises SetupError, with the command that mends it, when something is missing."""

    def buckets(self) -> tuple[int, ...]:
        """Padding sizes in tokens, ascending; above the largest the bucket is the exact token count."""

    def components(self, folder: Path, progress: Callable[[str], None]) -> Path | None:
        """The chemical component store (`models.ccd`), made in `folder` where missing; None for a model without one."""

    def prepare(self, folder: Path, progress: Callable[[str], None]) -> None:
        """Called once in the worker before `featurise` and `forward`; `folder` is the plugin's cache folder."""

    def featurise(self, job: str, buckets: Sequence[int]) -> Batch:
        """Features of one job, given as AlphaFold 3 JSON text."""

    def forward(self, settings: Mapping[str, Any], compute_capability: tuple[int, int]) -> Forward:
        """The network with `settings`, as run on a GPU of this compute capability. Raises UsageError for a bad setting."""
