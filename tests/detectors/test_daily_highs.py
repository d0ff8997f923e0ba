"""What somebody does on most days is no news, whoever does it: the second of the last three days' highs is usual.

Nor is a campaign that came on two days before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.function_kernel import FUNCTION_STATE, H_CALLS5, H_NEWCOMER, high_again, remember_highs, usual_high
from models.baselines import Baselines
from tests.detectors.life import DAY, HOUR, MINUTE, SECOND, Measured, baselines_of, live, ordinary

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


@pytest.mark.parametrize("feature", ["caller_pace_here", "caller_pace"])
def test_a_scanner_at_a_place_that_is_known_is_as_usual_as_one_from_anywhere(usual: Baselines, feature: str) -> None:
    # by place: somebody calls from there every two hours, every day, and is never refused
    place = "geography:Singapore"
    known = {"caller": place, "caller_source": "geography"}
    life = [*ordinary(FIRST, 5 * 24.0), *ordinary(FIRST + MINUTE, 5 * 24.0, every=2 * HOUR, **known)]
    crawls = visits([1, 2, 4], calls=60)
    crawls = [{**one, **known} if one["invocation_id"].startswith("day4") else one for one in crawls]
    alone = [one for one in crawls if one["invocation_id"].startswith("day4")]
    first, third = (live(usual, life, found).raw(feature, "day4").max() for found in (alone, crawls))
    assert first > 5.0
    assert third <= 0.2 * first


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


def campaigns(
    days: list[int], people: int = 150, functions: tuple[str, ...] = ("Pay", "Browse")
) -> list[dict[str, Any]]:
    """On some of the days, within ten minutes: three calls of each function by so many people, never seen before."""
    out = []
    for day in days:
        plain = {"caller": lambda number, day=day: f"user:{day}-{number // 3}"}
        for function in functions:
            at = FIRST + day * DAY + 10 * HOUR
            found = ordinary(at, 1 / 6, every=HOUR // 6 // (3 * people), function=function, **plain)
            out += [{**record, "invocation_id": f"day{day}-{function}-{n}"} for n, record in enumerate(found)]
    return out


def shop(begin: int, hours: float) -> list[dict[str, Any]]:
    """Ordinary life at two functions of the app."""
    return [*ordinary(begin, hours), *ordinary(begin, hours, function="Browse")]


@pytest.fixture(scope="module")
def of_shop() -> Baselines:
    return baselines_of(shop(0, 96))


CAMPAIGN = ["pace_minutes", "pace_hour", "cost_hour"]


def strangest(of_shop: Baselines, feature: str, *visited: list[dict[str, Any]]) -> float:
    """Of Pay on the last of six days."""
    found = live(of_shop, shop(FIRST, 6 * 24.0), *visited)
    return float(found.raw(feature, "day5-Pay").max())


@pytest.mark.parametrize("feature", CAMPAIGN)
def test_a_campaign_that_came_on_two_days_is_no_news_on_the_third(of_shop: Baselines, feature: str) -> None:
    first, third = (strangest(of_shop, feature, campaigns(days)) for days in ([5], [0, 3, 5]))
    assert first > 2.0
    assert third < 0.25 * first


@pytest.mark.parametrize("feature", CAMPAIGN)
def test_what_came_once_is_news_when_it_comes_again(of_shop: Baselines, feature: str) -> None:
    first, second = (strangest(of_shop, feature, campaigns(days)) for days in ([5], [3, 5]))
    assert second == pytest.approx(first, rel=0.05)


@pytest.mark.parametrize("feature", CAMPAIGN)
def test_a_flood_of_one_function_is_no_campaign(of_shop: Baselines, feature: str) -> None:
    flood = campaigns([5], functions=("Pay",))
    first, third = (strangest(of_shop, feature, campaigns(days), flood) for days in ([], [0, 3]))
    assert third == pytest.approx(first, rel=0.05)


@pytest.mark.parametrize("feature", CAMPAIGN)
def test_one_caller_at_all_functions_of_the_app_is_no_campaign(of_shop: Baselines, feature: str) -> None:
    alone = [{**record, "caller": "user:alone"} for record in campaigns([5])]
    first, third = (strangest(of_shop, feature, campaigns(days), alone) for days in ([], [0, 3]))
    assert third == pytest.approx(first, rel=0.05)


def test_three_times_as_many_as_any_campaign_brought_are_a_flood(of_shop: Baselines) -> None:
    alike, more = (strangest(of_shop, "pace_minutes", campaigns([0, 3]), campaigns([5], n)) for n in (150, 450))
    assert alike < 2.0
    assert more > 5.0


def test_what_campaigns_bring_by_day_says_less_of_the_night() -> None:
    state = np.zeros(FUNCTION_STATE)
    for _ in range(2):
        high_again(state, H_CALLS5, 100.0, 30.0, 1.0)
        remember_highs(state, 0)
    assert high_again(state, H_CALLS5, 0.0, 30.0, 1.0) == pytest.approx(100.0)
    assert high_again(state, H_CALLS5, 0.0, 3.0, 1.0) == pytest.approx(10.0)


def test_highs_fade_by_half_within_two_weeks() -> None:
    state = np.zeros(FUNCTION_STATE)
    for _ in range(2):
        high_again(state, H_CALLS5, 100.0, 30.0, 1.0)
        remember_highs(state, 0)
    remember_highs(state, 14)
    assert high_again(state, H_CALLS5, 0.0, 30.0, 1.0) == pytest.approx(50.0, rel=0.03)
