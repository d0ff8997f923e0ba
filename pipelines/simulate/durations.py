"""How long functions run: lognormal modes with a heavy tail, or the percentiles of a real function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .events import Array

SHORTEST_MS = 0.2  #: a percentile of 0 ms means "below the clock's step"


class Durations(Protocol):
    """Anything that draws durations."""

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """``count`` durations in ms, float64."""
        ...

    def median_ms(self) -> float:
        """A typical duration, ms."""
        ...


@dataclass(frozen=True)
class Modes:
    """A mixture of lognormals (a cache hit, a query, a slow path) with now and then a far slower run.

    Attributes:
        modes: (weight, median in ms, sigma of the logarithm) of each.
        tail: share of runs that are drawn out.
        tail_alpha: Pareto exponent of the factor by which they are; smaller is heavier.
    """

    modes: tuple[tuple[float, float, float], ...]
    tail: float = 0.01
    tail_alpha: float = 1.6

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """``count`` durations in ms, float64."""
        weights = np.array([mode[0] for mode in self.modes])
        pick = np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(count), side="right")
        median = np.array([mode[1] for mode in self.modes])[pick]
        sigma = np.array([mode[2] for mode in self.modes])[pick]
        ms = median * np.exp(sigma * rng.standard_normal(count))
        drawn_out = rng.random(count) < self.tail
        return np.asarray(np.where(drawn_out, ms * (1.5 + rng.pareto(self.tail_alpha, count)), ms))

    def median_ms(self) -> float:
        """Median of the heaviest mode, ms."""
        return max(self.modes)[1]


@dataclass(frozen=True)
class Percentiles:
    """A real function's percentiles, interpolated in log space.

    Attributes:
        shares: rising shares from 0 to 1.
        values_ms: duration at each share, ms.
        scatter: sigma of the logarithm put on top, as averages over samples hide it.
    """

    shares: tuple[float, ...]
    values_ms: tuple[float, ...]
    scatter: float = 0.15

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """``count`` durations in ms, float64."""
        logs = np.log(np.maximum(np.asarray(self.values_ms), SHORTEST_MS))
        ms = np.exp(np.interp(rng.random(count), self.shares, logs) + self.scatter * rng.standard_normal(count))
        return np.asarray(np.maximum(ms, SHORTEST_MS))

    def median_ms(self) -> float:
        """The middle percentile, ms."""
        return float(np.interp(0.5, self.shares, np.maximum(self.values_ms, SHORTEST_MS)))
