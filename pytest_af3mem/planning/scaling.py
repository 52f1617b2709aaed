"""How a peak grows with the tokens: constant + linear + quadratic, where that breaks, and the local exponent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 4  # points; three are met by any parabola
BREAK = 0.02  # of the peak


@dataclass(frozen=True)
class Law:
    """`constant_bytes + bytes_per_token * N + bytes_per_token2 * N**2`, fitted to `points` (N, bytes) by relative errors."""

    constant_bytes: float
    bytes_per_token: float
    bytes_per_token2: float
    points: tuple[tuple[int, int], ...]

    def at(self, tokens: int) -> float:
        """Bytes at so many tokens, by the law; for what was not measured it is a guess."""
        return self.constant_bytes + self.bytes_per_token * tokens + self.bytes_per_token2 * tokens**2

    @property
    def residuals(self) -> list[float]:
        """Measured less fitted, as a share of the measured, for each point."""
        return [(total - self.at(tokens)) / total for tokens, total in self.points]

    @property
    def breaks(self) -> list[int]:
        """Tokens of the points that are more than 2 % away from the law: something else decides the peak there."""
        return [tokens for (tokens, _), residual in zip(self.points, self.residuals, strict=True) if abs(residual) > BREAK]


def fit(points: Sequence[tuple[int, int]]) -> Law | None:
    """The law of (tokens, bytes), or None for fewer than four points."""
    if len(points) < FEWEST:
        return None
    import numpy as np

    tokens, totals = np.array(points, dtype=np.float64).T
    scale = tokens.max()  # so that the columns are of one order
    terms = np.stack([np.ones_like(tokens), tokens / scale, (tokens / scale) ** 2], axis=1)
    (constant, linear, quadratic), *_ = np.linalg.lstsq(terms / totals[:, None], np.ones_like(tokens), rcond=None)
    return Law(float(constant), float(linear / scale), float(quadratic / scale**2), tuple(points))


def exponents(points: Sequence[tuple[int, int]]) -> list[float]:
    """Between neighbouring points, the power of the tokens that the peak grows with: 1 is linear, 2 quadratic."""
    return [math.log(b / a) / math.log(m / n) for (n, a), (m, b) in itertools.pairwise(points)]
