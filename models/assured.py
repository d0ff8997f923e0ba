"""What came on every day: calls that a function had at a time of day on each day of learning, and are missed at once.

How many calls an hour has on average says little of how many it has at least: a lesson begins at nine on most days, and
on none of the holidays. What came on each of the days at that time is as good as promised, so that its absence tells,
also where nights and weekends are as quiet as can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.lived import SATURDAY, THURSDAY

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DAY_BINS: Final = 288
HOURS: Final = 24
QUARTERS: Final = 96
QUARTER_S: Final = 900.0
#: working days, and days of the weekend, UTC
KINDS_OF_DAY: Final = 2
_BINS: Final = DAY_BINS // QUARTERS
#: quarters of an hour of which the least is looked for together: what seldom comes promises nothing of a quarter alone
SPANS: Final = (1, 4, 12)
#: days of a kind below which what came on each of them promises nothing
FEWEST_DAYS: Final = 4
#: days that are added to those that were seen: the next may have less than the least of few
MORE_DAYS: Final = 2.0
#: quarters of an hour by which a day may be shifted: clocks are put forward and back, and some begin late
SHIFT: Final = 4
#: calls that must be missing before their function is silent
MIN_SILENCE: Final = 8.0
#: how many times the promised calls of the worst gap that was lived through must be missing, judged by what the other
#: days promised
MARGIN: Final = 2.5
#: calls a day of functions that tell a holiday, share of a working day's calls up to which a weekend is quiet, and the
#: share of working days that may be holidays
A_DAY: Final = 10.0
QUIET_WEEKEND: Final = 0.6
HOLIDAYS: Final = 0.2
#: days from which on an hour of one of them may stand out, which it does where it has so many times what the others
#: have, and so many calls besides
DAYS_BESIDE: Final = 3
TIMES_OTHERS: Final = 3.0
ONE_DAYS: Final = 10.0
#: calls that come together count as one, up to so many
MOST_CLUMP: Final = 10.0
#: hours whose calls are held against those of the same hours on other days of their kind; the larger dispersion counts
SPANS_OF_DAYS: Final = (1, 6)
#: degrees of freedom from which on days tell how they differ, calls below which hours say nothing of it, and what is
#: believed beforehand, with how many degrees of freedom
FEWEST_FREE: Final = 20
SOME_CALLS: Final = 0.5
BELIEVED: Final = 2.0
BELIEVED_FREE: Final = 10
#: calls of a day added to those that are compared, and what is believed of a day's deviation (nats) where functions
#: don't tell it
DAY_CALLS: Final = 5.0
BELIEVED_SPREAD: Final = 0.2
#: functions from which on their middle is believed of each, the least that is, and with how many degrees of freedom
SOME_FUNCTIONS: Final = 5
LEAST_SPREAD: Final = 0.1
SPREAD_FREE: Final = 8.0
#: cells of counts held at a time
_CELLS: Final = 1_000_000


def alarms(bins: Floats, who: Ints, covered: Ints, dispersion: Floats) -> Floats:
    """How fast a silence becomes an alarm, float64[F, KINDS_OF_DAY * QUARTERS], 1/s: once it adds up to 1 it is one.

    All 0 for a function without calls.

    Args:
        bins: float64[n, >= 3], of five minutes: their number since 1970 in column 1, calls in column 2.
        who: int64[n], row of each one's function.
        covered: int64[m], numbers of the bins that the logs cover, sorted.
        dispersion: float64[F], variance over mean of the counts.

    Example:
        >>> day = np.arange(96, 204)
        >>> number = np.concatenate([day + DAY_BINS * (d + 4) for d in range(4)])
        >>> bins = np.stack([0 * number, number, 0 * number + 5], axis=1).astype(float)
        >>> every = np.arange(4 * DAY_BINS, 8 * DAY_BINS)
        >>> found = alarms(bins, np.zeros(len(bins), int), every, np.ones(1))[0]
        >>> int(found[:QUARTERS].nonzero()[0].min()), int(found[:QUARTERS].nonzero()[0].max())
        (36, 63)
    """
    out = np.zeros((len(dispersion), KINDS_OF_DAY * QUARTERS))
    days = days_of(covered)
    kind = _kinds(bins, who, days)
    whole = _whole(covered, days, _BINS)
    for rows, counts in counted(bins, who, days, len(dispersion)):
        out[rows] = _alarms(counts, whole, kind, dispersion[rows])
    return out


def lasting(bins: Floats, who: Ints, covered: Ints, functions: int) -> Floats:
    """Share of the calls at an hour of the day that is no single day's, float64[functions, 24]; 1 if none stands out.

    A backfill of one night makes the mean of its hour a multiple of what comes on all other days: nobody is to miss it.

    Args:
        bins: float64[n, >= 3], of five minutes: their number since 1970 in column 1, calls in column 2.
        who: int64[n], row of each one's function.
        covered: int64[m], numbers of the bins that the logs cover, sorted.
        functions: rows there are.
    """
    out = np.ones((functions, HOURS))
    days = days_of(covered)
    whole = _whole(covered, days, DAY_BINS // HOURS)
    many = np.maximum(whole.sum(axis=0), 1)
    for rows, counts in counted(bins, who, days, functions):
        hourly = counts.reshape(len(counts), len(days), HOURS, -1).sum(axis=3)
        # as a rate is smoothed, so is what stands out of it
        hourly = np.where(whole, smoothed(hourly.reshape(len(counts), -1)).reshape(hourly.shape), 0.0)
        total, most = hourly.sum(axis=1), hourly.max(axis=1)
        others = (total - most) / np.maximum(many - 1, 1)
        beyond = np.maximum(most - (TIMES_OTHERS * others + ONE_DAYS), 0.0)
        out[rows] = np.where((many >= DAYS_BESIDE) & (total > 0.0), 1.0 - beyond / np.maximum(total, 1e-12), 1.0)
    return out


def between_days(bins: Floats, who: Ints, covered: Ints, dispersion: Floats) -> Floats:
    """Variance over mean of the calls of hours at the same time of day, float64[F], at least 1.

    Work may be even from minute to minute, and differ from day to day; what a clock sends in bursts is the other way
    round. The larger of what hours and what six of them together show. Where too few days of a kind were seen,
    ``dispersion``.

    Args:
        bins: float64[n, >= 3], of five minutes: their number since 1970 in column 1, calls in column 2.
        who: int64[n], row of each one's function.
        covered: int64[m], numbers of the bins that the logs cover, sorted.
        dispersion: float64[F], variance over mean of the counts of five minutes.

    Example:
        >>> every = np.arange(4 * DAY_BINS, 9 * DAY_BINS)
        >>> number = every[::3]  # a burst each quarter of an hour
        >>> bins = np.stack([0 * number, number, 0 * number + 150], axis=1).astype(float)
        >>> between_days(bins, np.zeros(len(bins), int), every, np.array([97.0])).round(1).tolist()
        [1.0]
    """
    out: Floats = np.array(dispersion, np.float64)
    days = days_of(covered)
    kind = _kinds(bins, who, days)
    whole = _whole(covered, days, DAY_BINS // HOURS)
    for rows, counts in counted(bins, who, days, len(dispersion)):
        found, known = np.ones(len(counts)), np.zeros(len(counts), np.bool_)
        for span in SPANS_OF_DAYS:
            calls = counts.reshape(len(counts), len(days), HOURS // span, -1).sum(axis=3)
            inside = whole.reshape(len(days), HOURS // span, span).all(axis=2)
            total, free = np.zeros(len(counts)), np.zeros(len(counts))
            for which in range(KINDS_OF_DAY):
                mine = inside & (kind == which)[:, None]
                many = mine.sum(axis=0)
                # one busy day is no licence
                most = TIMES_OTHERS * _middle(calls, mine) + ONE_DAYS
                came = np.minimum(calls, most[:, None])
                mean = (came * mine).sum(axis=1) / np.maximum(many, 1)
                apart = (((came - mean[:, None]) * mine) ** 2).sum(axis=1)
                tells = (many > 1) & (mean >= SOME_CALLS)
                total += np.where(tells, apart / np.maximum(mean, SOME_CALLS), 0.0).sum(axis=1)
                free += np.where(tells, many - 1, 0).sum(axis=1)
            found = np.maximum(found, (total + BELIEVED * BELIEVED_FREE) / (free + BELIEVED_FREE))
            known |= free >= FEWEST_FREE
        out[rows] = np.where(known, found, dispersion[rows])
    return out


def day_spread(bins: Floats, who: Ints, covered: Ints, functions: int) -> Floats:
    """How far the calls of a day lie from those of the other days of its kind, float64[functions, 2].

    Args:
        bins: float64[n, >= 3], of five minutes: their number since 1970 in column 1, calls in column 2.
        who: int64[n], row of each one's function.
        covered: int64[m], numbers of the bins that the logs cover, sorted.
        functions: rows there are.

    Returns:
        A standard deviation of ln(calls), and the degrees of freedom with which it is known (Student's t). One busy day
        is no licence; what few days show is pooled with what is usual among the functions.

    Example:
        >>> every = np.arange(4 * DAY_BINS, 9 * DAY_BINS)
        >>> bins = np.stack([0 * every, every, 0 * every + 3], axis=1).astype(float)
        >>> day_spread(bins, np.zeros(len(bins), int), every, 1).round(2).tolist()
        [[0.17, 11.0]]
    """
    squares, many = np.zeros(functions), np.zeros(functions)
    days = days_of(covered)
    kind = _kinds(bins, who, days)
    whole = _whole(covered, days, DAY_BINS // HOURS).all(axis=1)
    alike = [found for which in range(KINDS_OF_DAY) if len(found := np.flatnonzero(whole & (kind == which))) > 1]
    # the first of these days says what the others differ from, and the oddest says nothing
    free = float(max(sum(map(len, alike)) - 2, 0))
    for rows, counts in counted(bins, who, days, functions) if free else ():
        calls = counts.sum(axis=2)
        told = np.concatenate([_apart(calls[:, mine]) for mine in alike], axis=1)
        # one busy day is no licence
        told = np.sort(told, axis=1)[:, :-1]
        squares[rows], many[rows] = (told**2).sum(axis=1), calls.mean(axis=1)
    tell = many >= A_DAY
    believed = np.median(squares[tell]) / max(free, 1.0) if tell.sum() >= SOME_FUNCTIONS else BELIEVED_SPREAD**2
    believed = max(float(believed), LEAST_SPREAD**2)
    spread = np.sqrt((SPREAD_FREE * believed + squares) / (SPREAD_FREE + free))
    return np.stack([spread, np.full(functions, SPREAD_FREE + free)], axis=1)


def _apart(calls: Floats) -> Floats:
    """How far each day lies from the middle of the others, float64[n, days] of ln(calls)."""
    days = calls.shape[1]
    others = np.stack([np.median(np.delete(calls, day, axis=1), axis=1) for day in range(days)], axis=1)
    found: Floats = np.abs(np.log((calls + DAY_CALLS) / (others + DAY_CALLS)))
    return found


def _middle(calls: Floats, mine: npt.NDArray[np.bool_]) -> Floats:
    """The lower median over the days that are meant, bool[days, spans], float64[n, spans]; 0 where none is."""
    ordered = np.sort(np.where(mine, calls, np.inf), axis=1)
    place = np.maximum((mine.sum(axis=0) - 1) // 2, 0)
    middle = ordered[:, place, np.arange(calls.shape[2])]
    found: Floats = np.where(np.isfinite(middle), middle, 0.0)
    return found


def smoothed(hourly: Floats) -> Floats:
    """Hours, along the last axis, each with a part of the one before and of the one after."""
    found: Floats = 0.15 * np.roll(hourly, 1, axis=-1) + 0.7 * hourly + 0.15 * np.roll(hourly, -1, axis=-1)
    return found


def _kinds(bins: Floats, who: Ints, days: Ints) -> Ints:
    """0 for working days, 1 for those of weekends, int64[len(days)]; a holiday is a working day as quiet as a weekend.

    Only where weekends are far quieter, and of few working days: an office that is closed on one day in three has no
    holidays, but other hours.
    """
    kind: Ints = ((days + THURSDAY) % 7 >= SATURDAY).astype(np.int64)
    if not len(bins) or kind.all() or not kind.any():
        return kind
    place = np.searchsorted(days, bins[:, 1].astype(np.int64) // DAY_BINS)
    calls = np.zeros((int(who.max()) + 1, len(days)))
    np.add.at(calls, (who, place), bins[:, 2])
    steady = calls.mean(axis=1) >= A_DAY
    if not steady.any():
        return kind
    # each function weighs as much as the next, however busy it is
    busy = (calls[steady] / calls[steady].mean(axis=1, keepdims=True)).mean(axis=0)
    working, resting = np.median(busy[kind == 0]), np.median(busy[kind == 1])
    quiet = (kind == 0) & (busy < (working + resting) / 2.0)
    if resting < QUIET_WEEKEND * working and quiet.sum() <= HOLIDAYS * (kind == 0).sum():
        # who never works on Fridays has no holiday on each of them
        kind = np.where(quiet & np.isin(days % 7, days[(kind == 0) & ~quiet] % 7), 1, kind)
    return kind


def days_of(covered: Ints) -> Ints:
    """Numbers of the days of which the logs cover anything, sorted."""
    found: Ints = np.unique(covered // DAY_BINS)
    return found


def _whole(covered: Ints, days: Ints, span: int) -> npt.NDArray[np.bool_]:
    """Which spans of so many bins the logs cover whole, bool[len(days), spans of a day]."""
    seen = _by_day(np.zeros(len(covered), np.int64), covered, np.ones(len(covered)), days, 1)[0]
    found: npt.NDArray[np.bool_] = seen.reshape(len(days), DAY_BINS // span, span).sum(axis=2) == span
    return found


def counted(bins: Floats, who: Ints, days: Ints, functions: int) -> Iterator[tuple[slice, Floats]]:
    """Calls by day and bin of the day, float64[rows, len(days), DAY_BINS], of some functions at a time."""
    if not len(days) or not len(bins):
        return
    order = np.argsort(who, kind="stable")
    number: Ints = bins[order, 1].astype(np.int64)
    who, calls = who[order], bins[order, 2]
    at_a_time = max(1, _CELLS // (len(days) * DAY_BINS))
    for begin in range(0, functions, at_a_time):
        end = min(begin + at_a_time, functions)
        rows = slice(*np.searchsorted(who, [begin, end]).tolist())
        yield slice(begin, end), _by_day(who[rows] - begin, number[rows], calls[rows], days, end - begin)


def fewest_missed(clump: Any) -> Any:
    """Calls that must be missing at least, of a function whose calls come so many together."""
    return MIN_SILENCE * np.clip(clump, 1.0, MOST_CLUMP)


def _by_day(row: Ints, number: Ints, calls: Floats, days: Ints, rows: int) -> Floats:
    """Calls of each row, day and bin of the day, float64[rows, len(days), DAY_BINS]."""
    place = (row * len(days) + np.searchsorted(days, number // DAY_BINS)) * DAY_BINS + number % DAY_BINS
    found: Floats = np.asarray(np.bincount(place, calls, rows * len(days) * DAY_BINS), np.float64)
    return found.reshape(rows, len(days), DAY_BINS)


def _alarms(counts: Floats, whole: npt.NDArray[np.bool_], kind: Ints, dispersion: Floats) -> Floats:
    n, days = counts.shape[:2]
    fewest = fewest_missed(dispersion / 2.0)
    found = np.zeros((n, KINDS_OF_DAY, QUARTERS))
    for span in SPANS:
        promised, others = np.zeros((n, KINDS_OF_DAY, QUARTERS)), np.zeros((n, days, QUARTERS))
        for which in range(KINDS_OF_DAY):
            mine = kind == which
            if int(mine.sum()) >= FEWEST_DAYS:
                came = counts[:, mine].reshape(n, -1, QUARTERS // span, span * _BINS).sum(axis=3)
                inside = whole[mine].reshape(-1, QUARTERS // span, span).all(axis=2)
                least, without = (np.repeat(calls / span, span, axis=-1) for calls in _least(came, inside))
                promised[:, which], others[:, mine] = least, without
        promised, others = _whenever_shifted(promised, span), _whenever_shifted(others, span)
        missing = np.maximum(fewest, MARGIN * _worst_gap(counts, others))
        found = np.maximum(found, promised / (QUARTER_S * missing[:, None, None]))
    return found.reshape(n, -1)


def _least(came: Floats, inside: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Calls that come in each span of the day as the days promise, float64[n, spans]; for each day, as the others do.

    Args:
        came: float64[n, days, spans].
        inside: bool[days, spans], the logs cover it.
    """
    many = inside.sum(axis=0)
    enough, fewer = many >= FEWEST_DAYS, np.maximum(many - 1, 1)
    counted = np.where(inside, came, np.inf)
    least, second = np.moveaxis(np.partition(counted, 1, axis=1)[:, :2], 1, 0)
    others = np.where(counted <= least[:, None], second[:, None], least[:, None])
    promised: Floats = np.where(enough, least, 0.0) * (many / (many + MORE_DAYS))
    without: Floats = np.where(inside & enough, others, 0.0) * (fewer / (fewer + MORE_DAYS))
    return promised, without


def _whenever_shifted(calls: Floats, span: int) -> Floats:
    """What is promised by a day that may begin an hour sooner or later, or a span."""
    by = max(SHIFT, span)
    found: Floats = np.minimum(calls, np.minimum(np.roll(calls, by, axis=-1), np.roll(calls, -by, axis=-1)))
    return found


def _worst_gap(counts: Floats, promised: Floats) -> Any:
    """Promised calls in the longest stretch of bins without any, float64[n]."""
    n = len(counts)
    added = np.cumsum(np.repeat(promised.reshape(n, -1), _BINS, axis=1) / _BINS, axis=1)
    heard = np.maximum.accumulate(np.where(counts.reshape(n, -1) > 0, added, 0.0), axis=1)
    return (added - heard).max(axis=1)
