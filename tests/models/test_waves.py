"""A batch that comes at the same time of most days is usual then, and at no other time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from models.assured import DAY_BINS
from models.waves import waves

HOUR = DAY_BINS // 24


def found(*calls: tuple[int, float, float], days: int = 6, rate: float = 0.0) -> npt.NDArray[np.float64]:
    """Waves of one function by hour of the day; of its calls day, hour and how many."""
    bins = np.array([(0.0, day * DAY_BINS + int(hour * HOUR), many) for day, hour, many in calls])
    who = np.zeros(len(bins), np.int64)
    out: npt.NDArray[np.float64] = waves(bins, who, np.arange(days * DAY_BINS), np.full((1, 168), rate))[0]
    return out


def nights(which: Iterable[int], many: float = 90.0) -> list[tuple[int, float, float]]:
    return [(day, 3.0, many) for day in which]


def test_what_came_on_most_nights_is_usual_at_that_hour_and_those_beside_it() -> None:
    out = found(*nights(range(6)))
    assert out[2:5].tolist() == [90.0] * 3
    assert out.sum() == 270.0


def test_what_came_once_or_twice_in_a_week_is_not_usual() -> None:
    assert found(*nights((0, 4))).max() == 0.0
    # of what came more often the third night counts, so that one attack sets no standard
    assert found(*nights(range(5)), (5, 3.0, 5_000.0))[3] == 90.0


def test_of_few_days_two_are_enough_and_of_two_days_nothing_is_known() -> None:
    assert found(*nights((0, 2)), days=3)[3] == 90.0
    assert found(*nights((0, 1)), days=2).max() == 0.0


@pytest.mark.parametrize(("many", "rate"), [(90.0, 0.1), (8.0, 0.0)], ids=["an even pace", "a few calls"])
def test_what_the_pace_explains_and_what_is_hardly_anything_is_no_wave(many: float, rate: float) -> None:
    assert found(*nights(range(6), many), rate=rate).max() == 0.0


def test_each_function_has_waves_of_its_own() -> None:
    bins = np.array([(0.0, day * DAY_BINS + (3 + 10 * f) * HOUR, 50.0 + f) for day in range(5) for f in (0, 1)])
    out = waves(bins, np.tile([0, 2], 5), np.arange(5 * DAY_BINS), np.zeros((3, 168)))
    assert [row.max() for row in out] == [50.0, 0.0, 51.0]
    assert [int(row.argmax()) for row in out] == [2, 0, 12]
