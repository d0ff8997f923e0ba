"""How long each function may be silent before somebody should be told, from the silences of its training."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.function_features import DEFAULT_SILENCE
from detectors.function_kernel import UNWATCHED
from models.assured import fewest_missed
from models.baselines import BIN_US, HOUR_US, SELDOM, US, Baselines, hour_of_week

Vector = npt.NDArray[Any]

HOURS_A_DAY: Final = 24
#: a function is silent after this many times the longest silence seen in training
SILENCE_MARGIN: Final = 3.0
#: chance that calls which come at random never leave a longer gap, below which they come by the clock
BY_THE_CLOCK: Final = 1e-4
#: such calls that must be missing, and the calls that come together below which each comes by itself
FEWEST_MISSED: Final = 3.0
SINGLE: Final = 1.5
#: runs a day below which timers tell of each other whether runs are skipped, and held-out runs of one that is missed
RARELY: Final = 30.0
FEWEST_RUNS: Final = 2
#: calls expected between two of its runs, at most, where none was skipped
REGULAR: Final = 1.7
#: hours that runs of such a timer may take
MOST_HOURS: Final = 6
#: how many times what is expected between two runs must be missing, of what runs a few times a day and more often
LATE: Final = 1.25
TWICE: Final = 2.0
#: s of calls at the mean pace that a silence must miss at least, also where the hour is a busy one
SILENCE_SECONDS: Final = 1200.0
#: how much longer a silence is by what the first days alone expect than by what all do, at most: what is usual at a
#: weekend that they did not see is no silence
UNSEEN_DAYS: Final = 1.5


def silences(
    whole: Baselines, early: Baselines, group: Vector, at: Vector, gaps: dict[tuple[str, str], float]
) -> Vector:
    """float64[len(whole.cohort)]: calls missed from which on each function, or one of a cohort, is silent.

    How long a function may be silent is known only where its silences were measured, beside ``early``, and beside
    ``whole``, which knows more days, and these silences.

    Args:
        whole: baselines of the whole window.
        early: baselines of the part before the held-out one.
        group: int64[n], row in ``whole`` of each held-out invocation's function; -1 where it has none.
        at: int64[n], its completion, us.
        gaps: calls expected in the longest silence of each function, by app and name.
    """
    out = np.full(len(whole.cohort), DEFAULT_SILENCE)
    watched, (calls, clumps) = set(early.names()), _clumps(group, at, len(whole))
    missed = whole.missed()[: len(whole)]
    lived = _longest(whole, missed, group, at)
    # the first days may not have seen that a timer rests at weekends
    rests = dict(zip(whole.names(), whole.rests_at_weekends.tolist(), strict=False))
    gaps = {
        name: min(gap, (1.0 if rests.get(name) else UNSEEN_DAYS) * lived.get(name, np.inf))
        for name, gap in gaps.items()
    }
    once = _missed_once(whole, missed, gaps, calls)
    for row, name in enumerate(whole.names()):
        if name in gaps and name not in watched:
            out[row] = UNWATCHED
        elif name in gaps:
            # work that comes in clumps is silent between them
            clump = max(float(whole.dispersion[row]) / 2.0, float(clumps[row]))
            least = float(fewest_missed(clump))
            if clump < SINGLE and by_the_clock(gaps[name], int(calls[row])):
                # what never keeps anybody waiting is missed as soon as it does
                least = FEWEST_MISSED
            most = max(least, SILENCE_MARGIN * gaps[name], float(whole.rate[row].mean()) * SILENCE_SECONDS)
            out[row] = min(most, once[row])
    return out


def _longest(whole: Baselines, missed: Vector, group: Vector, at: Vector) -> dict[tuple[str, str], float]:
    """Calls expected in the longest silence of each function in the held-out part, by all that was learned."""
    hours = np.arange(int(at.min()) // HOUR_US, int(at.max()) // HOUR_US + 2)
    a_second = missed[:, hour_of_week(hours[:-1] * HOUR_US)]
    order = np.lexsort((at, group))
    group, at = group[order], at[order]
    ends = np.searchsorted(group, np.arange(len(whole) + 1))
    out = {}
    for row, name in enumerate(whole.names()):
        mine = at[ends[row] : ends[row + 1]]
        if len(mine):
            expected = np.concatenate([[0.0], np.cumsum(a_second[row] * (HOUR_US / US))])
            moments = np.concatenate([at.min(keepdims=True), mine, at.max(keepdims=True)])
            out[name] = float(np.diff(np.interp(moments, hours * HOUR_US, expected)).max())
    return out


def _missed_once(whole: Baselines, missed: Vector, gaps: dict[tuple[str, str], float], calls: Vector) -> Vector:
    """float64[len(whole)]: calls missed from which on a timer of few runs has skipped one; inf where none is missed so.

    A timer runs when it is due, unless something is wrong: that it did so on each day is enough to miss it on the next,
    where the tenant's other timers of few runs are mostly like that.
    """
    functions = slice(0, len(whole))
    a_day = whole.starts_a_day[functions]
    rare = whole.keeps_schedule[functions] & (a_day < RARELY)
    gap = np.array([gaps.get(name, np.inf) for name in whole.names()])
    # what is missed from one run to the next on the busiest day
    expected = missed.reshape(len(whole), -1, HOURS_A_DAY).sum(axis=2).max(axis=1) * (HOUR_US / US)
    between = np.maximum(gap, expected / np.maximum(np.rint(a_day), 1.0))
    regular = rare & whole.runs_daily[functions] & (between < REGULAR) & (calls >= FEWEST_RUNS)
    skipped = int((rare & np.isfinite(gap) & ~regular).sum())
    out = np.full(len(whole), np.inf)
    if int(regular.sum()) >= skipped:
        # what runs for half a day ends at no certain time
        brief = whole.takes_ms()[functions] < MOST_HOURS * HOUR_US / 1000
        once = regular & brief & (a_day < SELDOM)
        out[once] = LATE * between[once]
        # of what runs more often two in turn are
        twice = regular & brief & (a_day >= SELDOM)
        out[twice] = TWICE * between[twice]
    return out


def by_the_clock(gap: float, calls: int) -> bool:
    """Whether so many calls with no longer gap than this, in calls expected meanwhile, come too evenly for chance.

    >>> by_the_clock(1.1, 80), by_the_clock(1.1, 10), by_the_clock(4.0, 80)
    (True, False, False)
    """
    return gap > 0.0 and calls * float(np.log(-np.expm1(-gap))) < float(np.log(BY_THE_CLOCK))


def _clumps(group: Vector, at: Vector, functions: int) -> tuple[Vector, Vector]:
    """Invocations of each function, int64[functions], and those in a bin of time that has any, on average, float64."""
    inside = group >= 0
    group, moment = group[inside], at[inside] // BIN_US
    span = int(moment.max(initial=0)) + 1
    busy = np.unique(group * span + moment) // span
    calls, bins = (np.bincount(rows, minlength=functions)[:functions] for rows in (group, busy))
    return calls, calls / np.maximum(bins, 1)
