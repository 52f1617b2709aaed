"""One job after another in one process: whether the second needs more than it does alone, and what stays behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_af3mem.gpus.size import format_bytes
from pytest_af3mem.storage.typed import Positive, Signed


@dataclass(frozen=True)
class Step:
    """One job of a sequence.

    `peak_bytes` is the allocator's counter after it, which never falls; `left_bytes` what is in use once its results are on
    the host and all of it is dropped, beyond what was in use before it; both None on a device without counters.
    `left_arrays` are the JAX arrays that are alive then and were not before the first job, as `float32[128,32]`, and how many.
    """

    tokens: Positive
    bucket: Positive
    peak_bytes: int | None
    left_bytes: Signed | None
    left_arrays: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class JobSequence:
    """Jobs in one process, in this order, and the last of them alone in another. `device` says on what."""

    steps: tuple[Step, ...]
    alone: Step
    device: str

    @property
    def excess_bytes(self) -> int | None:
        """What the sequence peaks at beyond the larger of its jobs before the last and the last alone; None without counters.

        The counter never falls, so a last job that is smaller than one before it is hidden by that.
        """
        peaks = [step.peak_bytes for step in (*self.steps[:-1], self.alone)]
        last = self.steps[-1].peak_bytes
        if last is None:
            return None
        return max(0, last - max(peak for peak in peaks if peak is not None))

    @property
    def leaks(self) -> bool:
        """Whether anything stays behind that a job made."""
        return any(step.left_arrays or step.left_bytes for step in self.steps)

    def __str__(self) -> str:
        lines = []
        for number, step in enumerate(self.steps, start=1):
            arrays = ", ".join(f"{count} x {array}" for array, count in sorted(step.left_arrays.items()))
            peak = "not counted" if step.peak_bytes is None else format_bytes(step.peak_bytes)
            left = "" if step.left_bytes is None else f"; {format_bytes(step.left_bytes)} stay in use"
            lines.append(f"{number}. {step.tokens} tokens: peak so far {peak}{left}; arrays left: {arrays or 'none'}")
        alone = "not counted" if self.alone.peak_bytes is None else format_bytes(self.alone.peak_bytes)
        excess = "" if self.excess_bytes is None else f", {format_bytes(self.excess_bytes)} more in the sequence"
        return "\n".join([*lines, f"the last alone: peak {alone}{excess} [{self.device}]"])

    __repr__ = __str__  # what a failing `assert not sequence.leaks, sequence` shows
