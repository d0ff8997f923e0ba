"""Microseconds since 1970 UTC, and the rhythm of a day and a week in a caller's local time."""

from __future__ import annotations

from typing import Final

import numpy as np

from .events import Array

SECOND: Final = 1_000_000  #: microseconds
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
MINUTES_A_DAY: Final = 1440
EPOCH_WEEKDAY: Final = 3  #: 1970-01-01 was a Thursday (Monday is 0)

#: relative activity by local hour 0..23 on a working day, for each kind of audience
CURVES: Final[dict[str, tuple[float, ...]]] = {
    "public": (3, 2, 1, 1, 1, 2, 4, 6, 8, 10, 11, 12, 13, 12, 11, 11, 12, 13, 14, 16, 17, 15, 10, 6),
    "customers": (2, 1, 1, 1, 1, 2, 5, 9, 13, 15, 15, 14, 12, 14, 15, 15, 13, 11, 9, 8, 8, 7, 5, 3),
    "internal": (
        0.05,
        0.02,
        0.02,
        0.02,
        0.05,
        0.2,
        1,
        5,
        14,
        20,
        19,
        16,
        10,
        16,
        19,
        18,
        12,
        5,
        2,
        1,
        0.5,
        0.3,
        0.1,
        0.1,
    ),
    "partners": (4, 4, 4, 4, 4, 5, 7, 10, 14, 16, 16, 15, 13, 14, 16, 15, 13, 10, 8, 6, 5, 5, 4, 4),
    "devices": (9, 9, 9, 9, 9, 9, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 9, 9),
}
#: activity on (Saturday, Sunday) relative to a working day
WEEKEND: Final[dict[str, tuple[float, float]]] = {
    "public": (1.15, 1.1),
    "customers": (0.55, 0.5),
    "internal": (0.06, 0.03),
    "partners": (0.5, 0.4),
    "devices": (0.95, 0.9),
}


def weekday(day: int) -> int:
    """0 for Monday to 6 for Sunday, of a day counted from 1970-01-01."""
    return (day + EPOCH_WEEKDAY) % 7


def minute_weights(audience: str, day: int, utc_offset_h: float, shift_h: float = 0.0) -> Array:
    """Relative activity for each UTC minute of a day; 1 is the mean of a working day.

    Args:
        audience: a key of CURVES.
        day: days since 1970-01-01.
        utc_offset_h: the callers' local time minus UTC, hours.
        shift_h: this application's own habit, hours later than the curve.

    Returns:
        float64 array of shape (1440,).
    """
    curve = np.asarray(CURVES[audience], dtype=np.float64)
    curve = curve / curve.mean()
    local = (np.arange(MINUTES_A_DAY) / 60.0) + utc_offset_h
    hours = (local - shift_h) % 24.0
    weights = np.interp(hours, np.arange(25), np.append(curve, curve[0]))
    days = (day + np.floor(local / 24.0).astype(np.int64) + EPOCH_WEEKDAY) % 7
    saturday, sunday = WEEKEND[audience]
    factor = np.where(days == 5, saturday, np.where(days == 6, sunday, 1.0))
    return np.asarray(weights * factor)


def rough(rng: np.random.Generator, sigma: float = 0.12, every_min: int = 15) -> Array:
    """Slow multiplicative noise over a day, shape (1440,): traffic is burstier than a Poisson process."""
    knots = np.exp(rng.normal(0.0, sigma, MINUTES_A_DAY // every_min + 1))
    return np.asarray(np.interp(np.arange(MINUTES_A_DAY) / every_min, np.arange(len(knots)), knots))


def draw_times(rng: np.random.Generator, weights: Array, count: int, day: int) -> Array:
    """``count`` times within a day, UTC microseconds int64, unsorted, following minute weights of shape (1440,)."""
    heights = np.cumsum(weights)
    if count <= 0 or heights[-1] <= 0:
        return np.zeros(0, dtype=np.int64)
    minutes = np.searchsorted(heights, rng.random(count) * heights[-1], side="right")
    minutes = np.minimum(minutes, MINUTES_A_DAY - 1)
    within = (rng.random(count) * MINUTE).astype(np.int64)
    return np.asarray(day * DAY + minutes.astype(np.int64) * MINUTE + within)
