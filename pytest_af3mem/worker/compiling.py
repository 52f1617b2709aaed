"""The child process: a request in, a reply out. The only process that imports JAX and the model.

It may run in an interpreter that has nothing of this project installed, so it and all that it imports need the standard
library alone. Lines of JSON come on standard input and go out on what was standard output; whatever the model and its
libraries print goes to standard error, which the pool keeps in a file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, SetupError
from pytest_af3mem.models import fingerprint, registry
from pytest_af3mem.models import model as models
from pytest_af3mem.records import flags
from pytest_af3mem.records.answering import Answer
from pytest_af3mem.records.identity import batch_identity, parameters_identity, peak_identity, peak_of
from pytest_af3mem.records.peak import Model, Peak
from pytest_af3mem.records.request import Installation, Request
from pytest_af3mem.storage.cache import Cache
from pytest_af3mem.storage.typed import plain
from pytest_af3mem.worker import garbage, protocol
from pytest_af3mem.worker.features import Features
from pytest_af3mem.worker.parameters import Parameters
from pytest_af3mem.worker.xla import compile_process, same_program, target, tracing, tuning
from pytest_af3mem.worker.xla import program as programs

_OLDEST_JAX = (0, 7, 2)  # the first that was seen to compile without a device
_BFLOAT16_BYTES = 2


class Worker:
    """Answers for one model. What is costly (imports, dictionary, parameter shapes) is kept between requests.

    `folder` is for what does not depend on measurements, `results` for what they gave. `path` is the source tree that is to be
    measured, which is on `sys.path` already; None: what is installed. `shipped` is as in `Cache`.
    """

    def __init__(
        self,
        model: str,
        folder: Path,
        *,
        results: Path,
        progress: Callable[[str], None],
        path: Path | None = None,
        shipped: Path | None = None,
    ):
        self._spec = model
        self._model = registry.load(model)
        self._folder = folder
        self._path = path
        self._progress = progress
        self._features = Features(self._model, folder)
        self.cache = Cache(results, shipped)
        self._parameters = Parameters(self.cache, model, self._keep, lambda text: self._progress(text))

    @cached_property
    def installation(self) -> Installation:
        """What is installed here. Raises SetupError when something is missing that measuring needs, or is not in `path`."""
        own = fingerprint.modules(self._model)
        distribution = self._model.distribution()
        _check_jax()
        if self._path is not None and getattr(self._model, "lies_in_source_tree", True):
            fingerprint.check_place(self._path, [*own, *self._model.packages[:1]])
        self._sources = fingerprint.Sources([*self._model.packages, *own, *fingerprint.OWN])
        return Installation(
            spec=self._spec,
            model=self._model.name,
            distribution=distribution,
            fingerprint=self._sources.digest,
            buckets=self._model.buckets(),
            settings=tuple(self._model.settings),
            software=fingerprint.software(),
            environment=fingerprint.environment(beside=getattr(self._model, "depends_on", "")),
        )

    def _keep(self, kind: str, identity: Mapping[str, Any], value: Any) -> None:
        """Stores what was found out, of the sources that its identity says. Raises NotJudged where they were edited meanwhile."""
        if self._sources.were_edited():
            raise NotJudged("the model's sources were edited while they were measured; start the session again")
        self.cache.put(kind, identity, value)

    def components(self) -> str | None:
        path = self._model.components(self._folder, self._progress)
        return str(path) if path else None

    def targets(self, described: Sequence[Mapping[str, str]]) -> dict[str, str]:
        """Every target, and why a small program does not compile for it here (empty where it does)."""
        for one in described:
            gpus.take(one)
        with _private() as folder:
            toolchain = target.toolchain(folder)
            return {name: programs.trial(gpus.find(name), toolchain) for name in (*gpus.learnt(), *gpus.names())}

    @garbage.sought_seldom()
    def measure(self, request: Request, threads: int | None = None) -> Answer:
        """The peak for one request, from the cache where an equal program was compiled before; XLA gets so many `threads`."""
        start = time.perf_counter()
        assert self.installation  # as in `_featurised`
        batch = self._features.to_compile_with(request, self._progress)
        signature = tracing.signature(batch.features)
        identity = peak_identity(self.installation, request, signature)
        with self.cache.only_one("peaks", identity, lambda: self._progress(protocol.WAITING)):
            peak = peak_of(self.cache, self.installation, request, signature)
            if peak is None:
                peak = self._compile(request, batch, start, threads)
                self._keep("peaks", identity, peak.to_json())
        self._keep("signatures", batch_identity(self.installation, request), signature)
        return self._answer(request, peak, signature)

    def _answer(self, request: Request, peak: Peak, signature: str) -> Answer:
        return Answer(peak, dict(request.settings), signature, self.installation.identity)

    def featurise(self, request: Request) -> dict[str, Any]:
        """What the featuriser makes of a job: its tokens, the bucket, and shape and type of each feature."""
        batch = self._featurised(request)
        signature = tracing.signature(batch.features)
        self._keep("signatures", batch_identity(self.installation, request), signature)
        return {
            "tokens": batch.tokens,
            "bucket": batch.bucket,
            "signature": signature,
            "shapes": {
                name: f"{array.dtype}[{','.join(map(str, array.shape))}]"
                for name, array in sorted(tracing.shapes(batch.features).items())
            },
        }

    def _featurised(self, request: Request) -> models.Batch:
        assert self.installation  # known before the model is imported, of whose sources it is
        return self._features.of_job(request, self._progress)

    def _compile(self, request: Request, batch: models.Batch, start: float, threads: int | None) -> Peak:
        gpu = gpus.find(request.target)
        self._progress("tracing")
        with tracing.pretending(target.device(gpu)):
            forwards = self._forwards(request, gpu.compute_capability)
        with compile_process.Compiler(gpu.target_config(), threads) as compiler, _private() as folder:
            lowered, tuned = self._lowered(request, batch, forwards[0], gpu)
            self._progress("compiling")
            options = {**target.FLAGS, "xla_gpu_cuda_data_dir": str(target.toolchain(folder))}
            compiled = [
                (self._program(lowered, {**one.compiler_options, **options}, one, gpu, compiler, request.launch), one)
                for one in forwards
            ]
        program, forward = max(compiled, key=lambda pair: pair[0].total_bytes)
        peak = self._peak(request, batch, forward, program, time.perf_counter() - start, target.FLAGS)
        least_bytes = min(one.total_bytes for one, _ in compiled)
        return replace(peak, least_bytes=least_bytes if len(compiled) > 1 else None, tuning_bytes=tuned.total_bytes)

    def _forwards(
        self, request: Request, compute_capability: tuple[int, int], fewer: Mapping[str, Any] = MappingProxyType({})
    ) -> list[models.Forward]:
        """The network as it is asked for; more than one where a GPU would choose between programs. `fewer` are settings, too."""
        settings = {**fewer, **dict(request.settings)}
        stated = settings.pop(flags.SETTING, flags.CONTAINER)
        forward = self._model.forward(settings, compute_capability)
        if stated == flags.CONTAINER:
            return [forward]
        config = {**forward.config, flags.SETTING: stated}
        options = flags.programs(stated, forward.compiler_options, compute_capability, _version("jax"))
        return [replace(forward, config=config, compiler_options=one) for one in options]

    def _program(
        self,
        lowered: Any,
        options: flags.Options,
        forward: models.Forward,
        gpu: gpus.Gpu,
        compiler: compile_process.Compiler,
        launch: bool,
    ) -> programs.Compiled:
        """What a lowered program comes to, from the cache where an equal one was compiled before."""
        packages = self._model.packages
        job = compile_process.job(lowered, options)
        if job is None:
            return programs.compiled(lowered, job, options, forward, gpu, packages, compiler, launch=launch)
        listing = same_program.listing(lowered, self._path)
        identity = {
            "program": listing.digest,
            "options": same_program.options(job),
            "target": gpu.target_config(),
            "launch": launch,
            "left_to_xla": sorted(forward.left_to_xla),
            "stages": plain(forward.stages),
            "packages": [place.removeprefix(f"{self._path}/") for place in fingerprint.places(packages)],
            "software": self.installation.software,
            "environment": self.installation.environment,
            "reader": fingerprint.digest(fingerprint.OWN),
        }
        stored = self.cache.get("programs", identity, same_program.read)
        found = same_program.found(stored, listing) if stored else None
        if found is not None:
            self._progress("the same program as before")
            return replace(found, same=True)
        program = programs.compiled(lowered, job, options, forward, gpu, packages, compiler, launch=launch)
        self._keep("programs", identity, same_program.stored(program, listing))
        return program

    def _peak(
        self,
        request: Request,
        batch: models.Batch,
        forward: models.Forward,
        program: programs.Compiled,
        seconds: float,
        options: Mapping[str, bool | int | str] = MappingProxyType({}),
    ) -> Peak:
        """What a program comes to, which was compiled with `options` besides the model's own."""
        installation, timeline, channels = self.installation, program.attribution.timeline, forward.pair_channels
        if timeline and channels and batch.bucket and not timeline.reason:
            timeline = replace(timeline, pair_bytes=batch.bucket**2 * channels * _BFLOAT16_BYTES)
        return Peak(
            tokens=batch.tokens,
            bucket=batch.bucket,
            target=request.target,
            method=request.method,
            total_bytes=program.total_bytes,
            live_bytes=program.live_bytes,
            argument_bytes=program.argument_bytes,
            output_bytes=program.output_bytes,
            temp_bytes=program.temp_bytes,
            alias_bytes=program.alias_bytes,
            constant_bytes=program.constant_bytes,
            kernels=program.kernels,
            holders=program.attribution.holders,
            high_water=program.attribution.high_water,
            unattributed=program.attribution.reason,
            timeline=timeline,
            model=Model(self._model.name, installation.distribution, installation.fingerprint, plain(forward.config)),
            software={**installation.software, "xla_flags": _flags({**forward.compiler_options, **options})},
            seconds=round(seconds, 3),
            same_program=program.same,
            program_limits=program.limits,
        )

    def _lowered(self, request: Request, batch: models.Batch, forward: models.Forward, gpu: gpus.Gpu) -> tuple[Any, tuning.Tuned]:
        """The program as XLA is given it, and what tokamax would tune of it: of this program, and not to find parameters.

        Parameters of an earlier model are tried first where this one refuses what does not fit it: that is a trace the less.
        """
        key = self._key(request, batch)
        may_guess = getattr(self._model, "refuses_other_parameters", False) and self._parameters.known(key) is None
        if may_guess and (earlier := self._parameters.latest(key)) is not None:
            with contextlib.suppress(NotJudged), tuning.noted() as tuned:
                return tracing.lowered(forward, earlier, batch.features, gpu), tuned
        with tuning.noted():
            shapes = self._parameters.found(key, lambda: tracing.parameters(forward, batch.features, gpu))
        self._progress("tracing")
        with tuning.noted() as tuned:
            return tracing.lowered(forward, shapes, batch.features, gpu), tuned

    def _key(self, request: Request, batch: models.Batch, platform: str = "gpu") -> dict[str, Any]:
        """The identity of the parameters' shapes: they are the same for every bucket where the model says so."""
        follow_settings = getattr(self._model, "parameters_follow_settings", False)
        signature = None if follow_settings else tracing.signature(batch.features)
        return parameters_identity(self.installation, request, platform, signature)


@contextlib.contextmanager
def _private() -> Iterator[Path]:
    """A folder that nobody else may write, for what is run from it: nothing of the cache is."""
    with tempfile.TemporaryDirectory(prefix="af3mem-toolchain-") as folder:
        yield Path(folder)


def _flags(options: Mapping[str, bool | int | str]) -> str:
    stated = [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in options.items()]
    return " ".join([*fingerprint.without_paths(os.environ.get("XLA_FLAGS", "")).split(), *stated])


def _version(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in (fingerprint.installed(package) or "").split(".")[:3] if part.isdigit())


def _check_jax() -> None:
    from pytest_af3mem.models.alphafold3 import INSTALL

    found = fingerprint.installed("jax")
    if found is None:
        raise SetupError(f"JAX is not installed in {sys.executable}: {INSTALL}")
    if _version("jax") < _OLDEST_JAX:
        oldest = ".".join(map(str, _OLDEST_JAX))
        raise SetupError(f"jax {found} in {sys.executable} is too old to compile without a GPU (oldest: {oldest}): {INSTALL}")
    if fingerprint.cuda_plugin() is None:
        raise SetupError(f"jax {found} in {sys.executable} has no CUDA plugin, which compiles for GPUs: {INSTALL}")
