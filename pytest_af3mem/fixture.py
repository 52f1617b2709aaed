"""The `gpu_peak` fixture, as tests see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_af3mem.errors import Af3memError
from pytest_af3mem.inputs.job import Job
from pytest_af3mem.peak import Peak
from pytest_af3mem.sequence import Sequence as JobSequence

if TYPE_CHECKING:
    from pytest_af3mem.measuring import Measuring


def failed_test(text: str) -> BaseException:
    """A failed test whose whole message is `text`."""
    return pytest.fail.Exception(text, pytrace=False)


class GpuPeak:
    """The `gpu_peak` fixture.

    It lives as long as the session and knows the test that is running, so that it can be used under Hypothesis' `@given`.
    """

    def __init__(self, measuring: Measuring):
        self._measuring = measuring

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
          tokens: Size of the generated job; by default what `af3_tokens` gives the test.
          target: Card or MIG slice, such as "a100-40gb"; by default that of the test's budget, else of `--af3-target`.
          method: "compiled", "run" or "auto"; by default that of `--af3-method`.
          **options: Of the generated job, as for `af3_tokens`: chains, ligands, msa_depth, ...; see `inputs.generate.Mix`.

        The test fails, with the reason, when the peak cannot be measured.
        """
        __tracebackhide__ = True
        try:
            return self._measuring.measure(job, tokens, target, method, options)
        except Af3memError as error:
            raise failed_test(str(error)) from None

    def sequence(self, jobs: Sequence[Job], *, target: str | None = None) -> JobSequence:
        """Runs jobs one after the other in one process, and the last alone in another; nothing is judged.

        On the GPU that is `target` where it is visible; else on JAX's CPU device, which counts no bytes: what is left alive
        is seen there too. `assert not gpu_peak.sequence([a, b]).leaks`
        """
        __tracebackhide__ = True
        try:
            return self._measuring.sequence(jobs, target)
        except Af3memError as error:
            raise failed_test(str(error)) from None

    def shapes(self, job: Job | None = None, *, tokens: int | None = None, **options: Any) -> dict[str, str]:
        """Shape and type of each feature that the model's featuriser makes of a job; nothing is compiled.

        Jobs whose features have the same shapes and types are the same program, and need the same memory. Arguments as for
        a measurement.
        """
        __tracebackhide__ = True
        try:
            return self._measuring.shapes(job, tokens, options)
        except Af3memError as error:
            raise failed_test(str(error)) from None
