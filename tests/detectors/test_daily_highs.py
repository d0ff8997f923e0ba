"""What somebody does on most days is no news, whoever does it: the second of the last three days' highs is usual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.function_kernel import FUNCTION_STATE, H_NEWCOMER, usual_high
from models.baselines import Baselines
from tests.detectors.life import DAY, HOUR, SECOND, Measured, baselines_of, live, ordinary

#: baselines are learned from days 0 to 3; the life that is measured begins then
FIRST = 4 * DAY


@pytest.fixture(scope="module")
def usual() -> Baselines:
    return baselines_of(ordinary(0, 96))


def visits(days: list[int], calls: int = 30, **fields: Any) -> list[dict[str, Any]]:
    """On some of the days, each time from an address never seen: many calls within minutes, at an hour of its own."""
    out = []
    for day in days:
        at = FIRST + day * DAY + (7 + 5 * day) % 20 * HOUR
        plain = {"status": 404, "caller": f"address:198.51.100.{day}", **fields}
        found = ordinary(at, calls * 20 * SECOND / HOUR, every=20 * SECOND, **plain)
        out += [{**record, "invocation_id": f"day{day}-{n}"} for n, record in enumerate(found)]
    return out


def after(usual: Baselines, days: list[int], **fields: Any) -> Measured:
    """Five days of ordinary life, with visits on some of them."""
    return live(usual, ordinary(FIRST, 5 * 24.0), visits(days, **fields))


@pytest.mark.parametrize("feature", ["client_error_burst", "caller_client_errors", "caller_pace_here", "caller_pace"])
def test_a_crawler_from_another_address_each_day_is_news_until_it_came_on_two_of_three(
    usual: Baselines, feature: str
) -> None:
    first, third = after(usual, [4]), after(usual, [1, 2, 4])
    assert first.raw(feature, "day4").max() > 5.0
    assert third.raw(feature, "day4").max() < 0.2 * first.raw(feature, "day4").max()


@pytest.mark.parametrize("feature", ["client_error_burst", "caller_client_errors", "caller_pace_here"])
@pytest.mark.parametrize("days", [[3, 4], [0, 4]], ids=["the day before", "long ago"])
def test_what_happened_on_one_day_is_no_habit(usual: Baselines, feature: str, days: list[int]) -> None:
    alone, again = after(usual, [4]), after(usual, days)
    assert again.raw(feature, "day4").max() >= 0.95 * alone.raw(feature, "day4").max()


def test_three_times_what_happens_on_most_days_is_news_all_the_same(usual: Baselines) -> None:
    crawled = visits([1, 2, 3])
    found = live(usual, ordinary(FIRST, 5 * 24.0), crawled, visits([4], calls=90))
    assert found.raw("caller_client_errors", "day4").max() > 10.0


def test_refusals_at_several_functions_are_as_usual_at_each_where_they_are_usual() -> None:
    names = ("Pay", "Catalogue")
    usual = baselines_of([record for name in names for record in ordinary(0, 96, function=name)])
    life = [record for name in names for record in ordinary(FIRST, 5 * 24.0, function=name)]
    both = [one for name in names for one in visits([1, 2, 4], function=name)]
    here = [*visits([1, 2, 4]), *visits([4], function="Catalogue")]
    known, new = (live(usual, life, found).raw("caller_client_errors", "day4").max() for found in (both, here))
    assert known < 1.0
    assert new > 5.0


@pytest.mark.parametrize(
    ("days", "second"),
    [((0.0, 0.0, 0.0), 0.0), ((9.0, 0.0, 0.0), 0.0), ((9.0, 0.0, 7.0), 7.0), ((3.0, 8.0, 5.0), 5.0)],
)
def test_a_usual_high_is_the_second_of_three(days: tuple[float, ...], second: float) -> None:
    state = np.zeros(FUNCTION_STATE)
    state[H_NEWCOMER + 1 : H_NEWCOMER + 4] = days
    assert usual_high(state, H_NEWCOMER) == second
