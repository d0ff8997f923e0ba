"""Waves: many calls within minutes that come at the same time of most days, as a batch of every night does."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.assured import DAY_BINS, HOURS, counted, days_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BIN_S: Final = 86400 / DAY_BINS
#: the day, from the busiest, on which as many came is what is usual, and of fewer days
DAYS: Final = 3
DAYS_OF_FEW: Final = 2
#: covered days below which two of them are enough, and below which nothing is
SOME_DAYS: Final = 5
FEWEST_DAYS: Final = 3
#: calls that make a wave, and times the mean pace of its hour
LEAST: Final = 12.0
TIMES: Final = 4.0


def waves(bins: Floats, who: Ints, covered: Ints, rate: Floats) -> Floats:
    """Calls of the busiest five minutes that an hour of the day, or one beside it, has on most days.

    One busy day, as of an attack, makes no wave; nor does what the pace of that hour explains.

    Args:
        bins: float64[m, >= 3], number and calls of spans of five minutes in columns 1 and 2.
        who: int64[m], the function of each, below ``len(rate)``.
        covered: int64[c], numbers of the spans that logs cover.
        rate: float64[n, 168], calls a second by hour of the week.

    Returns:
        float64[n, 24], 0 where there is none.

    Example:
        >>> nights = np.arange(6) * DAY_BINS + 3 * DAY_BINS // HOURS
        >>> bins = np.stack([np.zeros(6), nights, np.full(6, 90.0)], axis=1)
        >>> found = waves(bins, np.zeros(6, int), np.arange(6 * DAY_BINS), np.full((1, 168), 90 / 86400))
        >>> found[0, :6].tolist()
        [0.0, 0.0, 90.0, 90.0, 90.0, 0.0]
    """
    out = np.zeros((len(rate), HOURS))
    days = days_of(covered)
    if len(days) < FEWEST_DAYS:
        return out
    place = DAYS if len(days) >= SOME_DAYS else DAYS_OF_FEW
    for rows, counts in counted(bins, who, days, len(rate)):
        busiest = counts.reshape(len(counts), len(days), HOURS, -1).max(axis=3)
        out[rows] = np.sort(busiest, axis=1)[:, -place]
    pace = rate.reshape(len(rate), -1, HOURS).mean(axis=1) * _BIN_S
    out[(out < LEAST) | (out < TIMES * pace)] = 0.0
    found: Floats = np.maximum(np.maximum(np.roll(out, 1, axis=1), np.roll(out, -1, axis=1)), out)
    return found
