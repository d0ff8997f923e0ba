"""What came on every day, and how soon its absence is an alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models import assured
from models.assured import (
    DAY_BINS,
    FEWEST_DAYS,
    HOURS,
    QUARTER_S,
    QUARTERS,
    SHIFT,
    alarms,
    between_days,
    day_spread,
    lasting,
)

#: the first is a Monday
MONDAY = 4
NINE, FIVE = 9 * 12, 17 * 12
ONE = np.ones(1)


def calls_of(days: list[int], begin: int = NINE, end: int = FIVE, each: float = 5.0, every: int = 1) -> Any:
    """Five-minute bins with calls from one hour to another, on these days after a Monday."""
    number = np.concatenate([np.arange(begin, end, every) + (MONDAY + day) * DAY_BINS for day in days])
    return np.stack([np.zeros(len(number)), number, np.full(len(number), each)], axis=1)


def found(bins: Any, days: list[int] | None = None, dispersion: float = 1.0) -> Any:
    """Shares of an alarm in a quarter of an hour without calls, float64[2, QUARTERS]; logs of two weeks by default."""
    covered = np.concatenate([np.arange(DAY_BINS) + (MONDAY + day) * DAY_BINS for day in days or list(range(14))])
    rates = alarms(bins, np.zeros(len(bins), np.int64), covered, dispersion * ONE)
    return rates.reshape(2, QUARTERS) * QUARTER_S


WEEK = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]


def test_what_came_on_every_working_day_is_missed_within_the_hour() -> None:
    office = found(calls_of(WEEK, each=1.0))
    assert 0.25 < office[0, 12 * 4] <= 1.0
    assert (office[0, : 8 * 4] == 0.0).all()
    assert (office[1] == 0.0).all()


def test_a_day_without_promises_nothing_of_its_kind_of_day() -> None:
    # never on a Friday
    assert (found(calls_of([day for day in WEEK if day % 7 != 4])) == 0.0).all()
    assert found(calls_of(WEEK[:-1]), days=list(range(11)))[0].max() > 0.0


def test_few_days_promise_nothing_and_more_days_promise_more() -> None:
    days = (WEEK[: FEWEST_DAYS - 1], WEEK[:FEWEST_DAYS], WEEK)
    few, some, many = (found(calls_of(those, every=3), days=those).max() for those in days)
    assert few == 0.0
    assert 0.0 < some < many


def test_clocks_that_are_put_back_an_hour_raise_no_alarm() -> None:
    lesson = found(calls_of(WEEK, NINE, NINE + 12, 60.0))
    assert (lesson == 0.0).all()
    day = found(calls_of(WEEK))
    shifted = np.roll(day, SHIFT, axis=1)
    heard = np.zeros(QUARTERS, bool)
    heard[9 * 4 : 17 * 4] = True
    # of the hours in which there are no calls on that day nothing is missed, whichever way the clocks went
    assert shifted[0, ~heard].sum() < 1.0
    assert day[0, ~np.roll(heard, SHIFT)].sum() < 1.0
    assert day[0, ~np.roll(heard, -SHIFT)].sum() < 1.0


def test_what_comes_in_clumps_is_missed_later() -> None:
    bins = calls_of(WEEK)
    assert found(bins, dispersion=20.0).max() == pytest.approx(found(bins).max() / 10.0)


def test_a_gap_that_was_lived_through_is_no_alarm_on_another_day() -> None:
    bins = calls_of(WEEK)
    around_noon = (bins[:, 1] // DAY_BINS == MONDAY + 8) & (np.abs(bins[:, 1] % DAY_BINS - 12 * 12) < 18)
    whole, gap = found(bins)[0, 15 * 4], found(bins[~around_noon])[0, 15 * 4]
    # three hours are lived through, so that as long again is no alarm
    assert 0.0 < 3 * 4 * gap < 1.0 < 3 * 4 * whole


def test_what_seldom_comes_is_promised_for_hours_together() -> None:
    # six calls an hour, each in another five minutes of each day
    days = [calls_of([day], NINE + day % 2, FIVE, 1.0, every=2) for day in WEEK]
    assert found(np.concatenate(days))[0].sum() > 1.0


@pytest.mark.parametrize("cut", [lambda n: n, lambda n: DAY_BINS * 14], ids=["at once", "one after the other"])
def test_functions_are_told_apart_whatever_their_order_and_number(
    cut: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assured, "_CELLS", cut(10**6))
    parts = [calls_of(WEEK, each=each) for each in (2.0, 5.0, 9.0)]
    bins, who = np.concatenate(parts), np.repeat([2, 0, 1], [len(part) for part in parts])
    order = np.random.default_rng(0).permutation(len(who))
    covered = np.arange(14 * DAY_BINS) + MONDAY * DAY_BINS
    together = alarms(bins[order], who[order], covered, np.ones(3))
    alone = [alarms(part, np.zeros(len(part), np.int64), covered, ONE)[0] for part in parts]
    assert (together[[2, 0, 1]] == np.stack(alone)).all()


def test_days_that_the_logs_do_not_cover_count_neither_way() -> None:
    assert (found(calls_of(WEEK[:5]), days=list(range(5))) == found(calls_of(WEEK[:5]), days=[0, 1, 2, 3, 4])).all()
    assert found(calls_of(WEEK[:5]), days=list(range(7)))[0].max() > 0.0
    assert not alarms(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64), ONE).any()


def test_a_holiday_is_a_day_of_the_weekend_and_takes_nothing_from_the_working_days() -> None:
    weekend = calls_of([5, 6, 12, 13], begin=0, end=DAY_BINS, each=1.0, every=12)
    closed = calls_of([2], begin=0, end=DAY_BINS, each=1.0, every=12)
    rest = [day for day in WEEK if day != 2]
    working, holiday = calls_of(WEEK), np.concatenate([calls_of(rest), closed])
    usual, told = (found(np.concatenate([bins, weekend]))[0, 12 * 4] for bins in (working, holiday))
    assert told > 0.6 * usual > 0.0
    # closed on three days of ten is another way of life
    often = np.concatenate([calls_of(WEEK[3:]), *(calls_of([day], 0, DAY_BINS, 1.0, 12) for day in WEEK[:3]), weekend])
    assert found(often)[0, 12 * 4] < 0.3 * usual


def left(bins: Any, days: int) -> Any:
    """Share of the calls at each hour of the day that is no single day's, float64[HOURS]."""
    covered = np.arange(MONDAY * DAY_BINS, (MONDAY + days) * DAY_BINS)
    return lasting(bins, np.zeros(len(bins), np.int64), covered, 1)[0]


def test_a_backfill_of_one_night_is_not_missed_in_the_next() -> None:
    usual = calls_of(list(range(5)), 0, DAY_BINS, 1.0)
    backfill = calls_of([2], 3 * 12, 4 * 12, 30.0)
    assert (left(usual, 5) == 1.0).all()
    night = left(np.concatenate([usual, backfill]), 5)
    # 12 an hour on each day, 372 on one of them
    assert 60.0 / 420.0 < night[3] < 0.4
    assert (night[8:22] == 1.0).all()


def test_what_comes_on_two_days_or_seldom_is_missed_as_before() -> None:
    twice = calls_of([1, 4], 3 * 12, 4 * 12, 30.0)
    assert (left(twice, 5) > 0.85).all()
    assert (left(calls_of([2], 3 * 12, 3 * 12 + 5, 1.0), 5) == 1.0).all()


def test_of_two_days_neither_stands_out() -> None:
    assert (left(calls_of([1], 3 * 12, 4 * 12, 30.0), 2) == np.ones(HOURS)).all()


def differ(bins: Any, days: list[int], by_minutes: float = 97.0) -> float:
    """Variance over mean of hours at the same time of day; what five minutes show is given."""
    covered = np.concatenate([np.arange(DAY_BINS) + (MONDAY + day) * DAY_BINS for day in days])
    return float(between_days(bins, np.zeros(len(bins), np.int64), covered, by_minutes * ONE)[0])


def test_what_a_clock_sends_in_bursts_differs_by_nothing_from_day_to_day() -> None:
    assert differ(calls_of(WEEK, 0, DAY_BINS, 150.0, every=3), WEEK) == pytest.approx(1.0)


def test_what_comes_at_random_has_the_variance_of_chance() -> None:
    bins = calls_of(WEEK, 0, DAY_BINS)
    bins[:, 2] = np.random.default_rng(3).poisson(5.0, len(bins))
    assert differ(bins, WEEK) == pytest.approx(1.0, abs=0.4)


def test_days_that_are_busier_than_others_let_a_day_be_less_busy() -> None:
    bins = calls_of(WEEK, 0, DAY_BINS, 50.0)
    bins[:, 2] *= 1.0 + 0.1 * (bins[:, 1] // DAY_BINS % 2)
    assert differ(bins, WEEK) > 5.0


def test_a_single_busy_day_is_no_licence() -> None:
    bins = calls_of(WEEK, 0, DAY_BINS, 50.0)
    bins[:DAY_BINS, 2] *= 20.0
    flat = bins.copy()
    flat[:DAY_BINS, 2] = 3.0 * 50.0 + 1.0
    assert differ(bins, WEEK) <= 1.05 * differ(flat, WEEK)


def test_too_few_days_say_nothing_of_how_days_differ() -> None:
    assert differ(calls_of(WEEK[:1], 0, DAY_BINS), WEEK[:1]) == 97.0
    # a Monday is no Saturday
    assert differ(calls_of([4, 5], 0, DAY_BINS), [4, 5]) == 97.0


def spread(days: list[float], others: int = 0) -> Any:
    """Of a function with so many calls each day of a week from Monday on, beside so many that have 100 on each."""
    covered = np.arange(len(days) * DAY_BINS) + MONDAY * DAY_BINS
    number = np.arange(len(days)) * DAY_BINS + MONDAY * DAY_BINS
    bins = np.concatenate(
        [
            np.stack([np.full(len(days), row), number, calls], axis=1)
            for row, calls in enumerate([days, *[[100.0] * len(days)] * others])
        ]
    )
    return day_spread(bins, bins[:, 0].astype(np.int64), covered, others + 1)


def test_what_has_as_many_calls_on_each_day_is_known_to_keep_to_them() -> None:
    even, uneven = spread([100.0] * 5)[0], spread([40.0, 160.0, 90.0, 300.0, 50.0])[0]
    assert even[0] < assured.BELIEVED_SPREAD < uneven[0]
    assert even[1] == uneven[1] == assured.SPREAD_FREE + 3.0


def test_how_days_differ_is_believed_as_the_tenants_functions_say() -> None:
    assert spread([100.0] * 5, others=9)[0, 0] < spread([100.0] * 5)[0, 0]


def test_one_day_that_is_far_busier_is_no_licence_for_another() -> None:
    assert spread([100.0, 100.0, 5_000.0, 100.0, 100.0])[0, 0] == pytest.approx(spread([100.0] * 5)[0, 0])
    assert spread([100.0, 5_000.0, 5_000.0, 100.0, 100.0])[0, 0] > 1.0


def test_a_saturday_is_held_against_no_working_day() -> None:
    assert spread([100.0] * 5 + [10.0, 10.0])[0, 0] < assured.BELIEVED_SPREAD
    # of one day of a kind nothing is known
    np.testing.assert_array_equal(spread([100.0])[0], [assured.BELIEVED_SPREAD, assured.SPREAD_FREE])
