"""The `gpu_peak` fixture, as tests see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_af3mem.errors import Af3memError, shown
from pytest_af3mem.gpus.size import Size, format_bytes
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.records.job_sequence import JobSequence
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.records.verdict import judge

if TYPE_CHECKING:
    from pytest_af3mem.plugin.asking import Asking


def failed_test(text: str) -> BaseException:
    """A failed test whose whole message is `text`, in which a worker's words may stand."""
    return pytest.fail.Exception("\n".join(map(shown, text.split("\n"))), pytrace=False)


_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def explain(op: str, left: object, right: object) -> list[str] | None:
    """Why a comparison of a peak and a size is false, in one line; None for others. Also with the peak on the right."""
    if isinstance(right, Peak) and not isinstance(left, Peak):
        op, left, right = _TURNED.get(op, op), right, left
    if not isinstance(left, Peak) or not isinstance(right, str | int | Size) or op not in _TURNED:
        return None
    limit_bytes = left.bytes_of(right)
    if op == "<=" or (op == "<" and left.total_bytes > limit_bytes):
        return [judge(left, limit_bytes).line]
    what = {"<": "less than", ">": "more than", ">=": "at least"}[op]
    return [f"GPU peak {format_bytes(left.total_bytes)} is not {what} {format_bytes(limit_bytes)} {left.conditions}"]


class GpuPeak:
    """The `gpu_peak` fixture.

    It lives as long as the session and knows the test that is running, so that it can be used under Hypothesis' `@given`.
    """

    def __init__(self, asking: Asking):
        self._asking = asking

    def __call__(
        self,
        job: Job | None = None,
        *,
        tokens: int | None = None,
        target: str | None = None,
        method: str | None = None,
        **options: Any,
    ) -> Peak:
        """Measures one job, once: the same question is answered from memory or cache.

        Args:
          job: The job to measure. Without it one is generated, of exactly `tokens` tokens.
          tokens: Tokens of the generated job; by default what `af3_tokens` gives the test.
          target: GPU or MIG slice, such as "a100-40gb"; by default that of the test's budget, else of `--af3-target`.
          method: "compiled", "run" or "auto"; by default that of `--af3-method`.
          **options: Of the generated job, as for `af3_tokens`: chains, ligands, msa_depth, ...; see `inputs.generate.Mix`.

        The test fails, with the reason, when the peak cannot be measured.
        """
        __tracebackhide__ = True
        try:
            return self._asking.measure(job, tokens, target, method, options)
        except Af3memError as error:
            raise failed_test(str(error)) from None

    def of(
        self,
        function: Callable[..., Any] | str,
        /,
        *shapes: Any,
        target: str | None = None,
        method: str | None = None,
        **static: Any,
    ) -> Peak:
        """Measures a call of any JAX function, which needs no AlphaFold 3: `gpu_peak.of(gram, "bfloat16[1024,128]") <= "4 MiB"`.

        Args:
          function: One that `def` makes at the top of a module, or its name, as "package.module:name": the worker imports it.
          *shapes: Its arguments, as "bfloat16[1024,128]", or anything with .shape and .dtype; dictionaries, lists and tuples
            of these.
          target: As for a job.
          method: As for a job.
          **static: Its other arguments by name: values that JSON has.

        The test fails, with the reason, when the peak cannot be measured.
        """
        __tracebackhide__ = True
        try:
            return self._asking.function(function, shapes, target, method, static)
        except Af3memError as error:
            raise failed_test(str(error)) from None

    def sequence(self, jobs: Sequence[Job], *, target: str | None = None) -> JobSequence:
        """Runs jobs one after the other in one process, and the last alone in another; nothing is judged.

        On the GPU that is `target` where it is visible; else on JAX's CPU device, which counts no bytes: what is left alive
        is seen there too. `assert not gpu_peak.sequence([a, b]).leaks`
        """
        __tracebackhide__ = True
        try:
            return self._asking.sequence(jobs, target)
        except Af3memError as error:
            raise failed_test(str(error)) from None

    def shapes(self, job: Job | None = None, *, tokens: int | None = None, **options: Any) -> dict[str, str]:
        """Shape and type of each feature that the model's featuriser makes of a job; nothing is compiled.

        Jobs whose features have the same shapes and types are the same program, and need the same memory. Arguments as for
        a measurement.
        """
        __tracebackhide__ = True
        try:
            return self._asking.shapes(job, tokens, options)
        except Af3memError as error:
            raise failed_test(str(error)) from None
