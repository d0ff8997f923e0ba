"""A hole in the logs is no time that was lived."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.lived import PARTS, Lived

TIMES = st.lists(st.integers(0, 10_000), min_size=1, max_size=60).map(
    lambda times: np.unique(np.array(times, np.int64))
)


def test_what_lies_between_two_stretches_is_left_out() -> None:
    lived = Lived.of(np.array([100, 110, 120, 1_000, 1_020]), hole_us=50)
    assert (lived.begins.tolist(), lived.ends.tolist(), lived.holes_us.tolist()) == ([100, 1_000], [120, 1_020], [880])
    assert lived.total_us == 40
    assert [lived.at(share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [100, 110, 120, 1_010, 1_020]
    assert [lived.after_us(moment) for moment in (0, 110, 500, 1_010, 2_000)] == [40, 30, 20, 10, 0]


def test_logs_without_a_hole_are_one_stretch() -> None:
    lived = Lived.of(np.array([100, 130, 160]), hole_us=50)
    assert (lived.begins.tolist(), lived.ends.tolist(), lived.total_us) == ([100], [160], 60)
    assert lived.at(0.5) == 130


@given(TIMES, st.floats(0.0, 1.0), st.integers(1, 500))
def test_what_comes_before_and_after_any_share_is_all(times: np.ndarray, share: float, hole: int) -> None:
    lived = Lived.of(times, hole_us=hole)
    moment = lived.at(share)
    assert times[0] <= moment <= times[-1]
    assert lived.after_us(moment) == lived.total_us - int(lived.total_us * share)
    assert (lived.holes_us >= max(hole // PARTS, 1)).all()
    assert np.isin(np.flatnonzero(np.diff(times) > hole), np.searchsorted(times, lived.begins[1:]) - 1).all()


HOUR = 3600 * 1_000_000
DAY = 24 * HOUR


def hours_of(days: int, *, rests: Callable[[int, int], bool]) -> np.ndarray:
    """Each five minutes of so many days, but for the hours in which nothing is logged."""
    hours = [day * DAY + hour * HOUR for day in range(days) for hour in range(24) if not rests(day, hour)]
    return (np.array(hours, np.int64)[:, None] + np.arange(12) * HOUR // 12).reshape(-1)


def test_a_day_that_is_missing_where_something_is_logged_day_and_night_is_a_hole() -> None:
    lived = Lived.of(hours_of(13, rests=lambda day, _: day == 6))
    assert lived.begins.tolist() == [0, 7 * DAY]
    assert Lived.of(hours_of(13, rests=lambda day, hour: day == 6 and hour < 5)).begins.tolist() == [0]


def test_nights_and_weekends_are_no_holes() -> None:
    assert Lived.of(hours_of(13, rests=lambda _, hour: hour < 8)).holes_us.tolist() == []
    assert Lived.of(hours_of(13, rests=lambda day, hour: day % 7 > 4 or not 8 <= hour < 18)).holes_us.tolist() == []
    # 1970 began on a Thursday
    assert Lived.of(hours_of(13, rests=lambda day, _: day in (2, 3))).holes_us.tolist() == []
    # more than one in five days
    assert Lived.of(hours_of(13, rests=lambda day, _: day in (5, 7, 11))).holes_us.tolist() == []
