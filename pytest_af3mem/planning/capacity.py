"""The largest input that fits a target, found by measuring at both sides of the edge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_af3mem import gpus
from pytest_af3mem.errors import NotJudged, UsageError
from pytest_af3mem.gpus import Gpu
from pytest_af3mem.gpus.size import Size
from pytest_af3mem.planning.ask import Search, Show, run_searches
from pytest_af3mem.records.peak import Peak
from pytest_af3mem.session.session import Session

STEP = 64  # tokens, above the largest bucket, where every input is a bucket of its own
_GUESSES = 4


@dataclass(frozen=True)
class Capacity:
    """What fits in `limit_bytes` of a target. `fits` and `beyond` were both measured; no input is padded to in between.

    More tokens are taken to need more; a model that works in pieces above some number may need less there. `fits` is None where
    the smallest is too large, `beyond` where the largest fits. After a failure, the `reason`, they are what was measured so far.
    """

    target: Gpu
    limit_bytes: int
    fits: Peak | None
    beyond: Peak | None
    reason: str = ""

    @property
    def headroom_bytes(self) -> int | None:
        return self.limit_bytes - self.fits.total_bytes if self.fits else None

    @property
    def excess_bytes(self) -> int | None:
        """How far the next size is over the limit: what would spill into host memory where memory is unified."""
        return self.beyond.total_bytes - self.limit_bytes if self.beyond else None


def candidates(buckets: Sequence[int], up_to: int) -> list[int]:
    """The buckets up to `up_to` tokens, and then every multiple of 64, each a bucket of its own. Raises UsageError for none."""
    first = (buckets[-1] if buckets else 0) // STEP * STEP + STEP
    smallest = buckets[0] if buckets else first
    if up_to < smallest:
        raise UsageError(f"--up-to {up_to} is less than the smallest {'bucket' if buckets else 'size to look at'}, {smallest}")
    return [tokens for tokens in (*buckets, *range(first, up_to + 1, STEP)) if tokens <= up_to]


def capacities(
    session: Session, targets: Sequence[Gpu], fraction: Size, up_to: int, model_settings: Mapping[str, Any], show: Show
) -> list[Capacity]:
    """For each target, the largest of all `candidates` that needs at most `fraction` of its memory."""
    known: list[Peak] = []
    padded = candidates(session.buckets, up_to)
    searches = [_search(session, target, fraction.of(target.memory_bytes), padded, model_settings, known) for target in targets]
    return run_searches(session, searches, show)


def _search(
    session: Session, target: Gpu, limit_bytes: int, padded: Sequence[int], model_settings: Mapping[str, Any], known: list[Peak]
) -> Search[Capacity]:
    """Measures where the edge is expected, from what is `known` of all targets so far, and bisects where that does not help."""
    peaks: dict[int, Peak] = {}
    low, high = -1, len(padded)  # the largest that fits, the smallest that does not
    while high - low > 1:
        at = _expected_edge(padded, limit_bytes, target, known) if len(peaks) < _GUESSES else (low + high) // 2
        at = min(max(at, low + 1), high - 1)
        answer = yield session.request(tokens=padded[at], target=target.name, model_settings=model_settings)
        if isinstance(answer, NotJudged):
            return Capacity(target, limit_bytes, peaks.get(low), peaks.get(high), f"{padded[at]} tokens: {answer}")
        known.append(answer)
        peaks[at] = answer
        low, high = (at, high) if answer.total_bytes <= limit_bytes else (low, at)
    return Capacity(target, limit_bytes, peaks.get(low), peaks.get(high))


def _expected_edge(padded: Sequence[int], limit_bytes: int, target: Gpu, known: Sequence[Peak]) -> int:
    """Index of the largest that should fit: what was measured nearest to it grows with the square of the tokens.

    GPUs of one compute capability run the same kernels, so they come before others. This only chooses what to measure next.
    """
    alike = [peak for peak in known if gpus.find(peak.target).compute_capability == target.compute_capability] or known

    def fits(tokens: int) -> bool:
        if not alike:
            return tokens <= 2048
        sized = [(peak.bucket, peak) for peak in alike if peak.bucket]
        bucket, nearest = min(sized, key=lambda one: (abs(math.log(tokens / one[0])), one[1].target != target.name))
        return nearest.total_bytes * (tokens / bucket) ** 2 <= limit_bytes

    return max((at for at, tokens in enumerate(padded) if fits(tokens)), default=-1)
