"""Whom a strange event points at."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.blame import TROUBLES, blame
from detectors.features import FAMILIES, FEATURE_NAMES, INDEX


def pointed(
    identified: bool = True,
    named: bool = False,
    windows: dict[str, float] | None = None,
    surprises: dict[str, float] | None = None,
    **families: float,
) -> tuple[str, bool, int]:
    """Trouble, by_caller and crowd of one event with these families, windows and surprises."""
    parts, surprise, value = (
        np.zeros((1, len(FAMILIES))),
        np.zeros((1, len(FEATURE_NAMES))),
        np.zeros((1, len(FEATURE_NAMES))),
    )
    for family, part in families.items():
        parts[0, FAMILIES.index(family)] = part
    for feature, window in (windows or {}).items():
        value[0, INDEX[feature]] = window
    for feature, by in (surprises or {}).items():
        surprise[0, INDEX[feature]] = by
    trouble, by_caller, crowd = blame(parts, surprise, value, np.array([identified]), np.array([named]))
    return TROUBLES[trouble[0]], bool(by_caller[0]), int(crowd[0])


@pytest.mark.parametrize("family", ["novelty", "reach", "place", "caller_pace", "hours", "signature"])
def test_what_only_callers_do_points_at_the_caller(family: str) -> None:
    assert pointed(**{family: 5.0})[1]
    assert not pointed(identified=False, **{family: 5.0})[1]


def test_who_is_new_or_from_elsewhere_visits() -> None:
    for family, trouble in (("novelty", "visit"), ("place", "visit"), ("travel", "visit"), ("refusal", "other")):
        assert pointed(**{family: 5.0})[0] == trouble


def test_whom_the_tenant_knows_by_name_since_today_is_a_new_customer() -> None:
    arrives = {"novelty": 3.0, "place": 5.0}
    assert pointed(named=True, **arrives) == ("debut", True, 0)
    assert pointed(named=True, novelty=3.0, caller_pace=5.0) == ("debut", True, 0)
    # an address, or a place, may be anybody's
    assert pointed(named=False, **arrives)[0] == "visit"
    assert pointed(named=True, windows={"caller_new": 5 * 86400.0}, **arrives)[0] == "visit"


@pytest.mark.parametrize(
    ("strange", "surprises"),
    [
        ({"place": 5.0}, {"caller_new_country": 3.0}),
        ({"place": 5.0, "travel": 1.0}, {"travel": 3.0}),
        ({"place": 5.0, "refusal": 1.0}, {}),
        ({"place": 5.0, "signature": 1.0}, {}),
        ({"place": 5.0, "reach": 1.0}, {"caller_new_to_app": 1.0}),
        ({"place": 5.0, "failure": 1.0}, {}),
        ({"novelty": 5.0}, {"caller_spread": 3.0, "caller_new_to_function": 2.0}),
    ],
)
def test_no_new_customer_comes_from_elsewhere_next_is_refused_or_tries_one_function_after_the_other(
    strange: dict[str, float], surprises: dict[str, float]
) -> None:
    assert pointed(named=True, surprises=surprises, **strange)[0] == "visit"


def test_one_more_function_of_the_app_is_a_new_customers_way() -> None:
    second = {"named": True, "caller_pace": 5.0, "reach": 4.0}
    assert pointed(**second, surprises={"caller_new_here": 5.0})[0] == "debut"
    assert pointed(**second, surprises={"caller_new_to_app": 5.0})[0] == "pace"


def test_what_runs_long_for_a_new_customer_says_nothing_of_the_customer() -> None:
    assert pointed(named=True, place=5.0, run=3.0)[0] == "debut"
    assert pointed(named=True, place=3.0, run=5.0)[0] == "long"


@pytest.mark.parametrize(
    ("family", "trouble"),
    [
        ("run", "long"),
        ("latency", "slow"),
        ("failure", "failing"),
        ("schedule", "schedule"),
        ("structure", "structure"),
    ],
)
def test_what_befalls_a_function_points_at_the_function(family: str, trouble: str) -> None:
    assert pointed(windows={"pace_minutes": 100.0, "failure_burst": 50.0}, **{family: 5.0}) == (trouble, False, 0)


def test_delays_by_round_seconds_are_what_their_caller_asked_for() -> None:
    assert pointed(run=5.0, surprises={"round_seconds": 5.0, "caller_slow_here": 4.0})[1]
    assert not pointed(run=5.0, surprises={"round_seconds": 4.0, "caller_slow_here": 5.0})[1]
    assert not pointed(run=1.5, surprises={"round_seconds": 1.5})[1]


def test_a_pace_that_makes_most_of_a_functions_calls_is_its_callers_also_where_the_load_weighs_a_little_more() -> None:
    families = {"caller_pace": 4.7, "load": 4.4, "latency": 0.6}
    windows = {"pace_hour": 38.0, "pace_minutes": 38.0}
    assert pointed(windows={**windows, "caller_pace_here": 37.0}, **families) == ("pace", True, 0)
    assert pointed(windows={**windows, "caller_pace_here": 15.0}, **families)[1] is False


def test_what_the_days_of_a_function_have_grown_by_is_not_the_doing_of_who_calls_now() -> None:
    windows = {"pace_hour": 12.0, "pace_minutes": 2.0, "caller_pace_here": 2.0}
    assert pointed(load=5.0, windows=windows, surprises={"growth_days": 5.0, "pace_hour": 1.0})[:2] == ("load", False)
    assert pointed(load=5.0, windows=windows, surprises={"growth_days": 1.0, "pace_hour": 5.0})[:2] == ("load", True)


def test_a_long_run_is_one_of_many_or_of_few() -> None:
    assert pointed(run=5.0, windows={"pace_hour": 1.0})[0] == "long"
    assert pointed(run=5.0, windows={"pace_hour": 40.0})[0] == "hanging"
    # two that a time limit ended are no freak, as far as it is that which makes them strange
    for cut_off, of_limit, kind in ((1.0, 5.0, "hanging"), (1.9, 5.0, "long"), (1.9, 2.0, "hanging")):
        windows, surprises = (
            {"pace_hour": 40.0, "time_limit": cut_off},
            {"time_limit": of_limit, "duration_record": 3.0},
        )
        assert pointed(run=3.5, windows=windows, surprises=surprises)[0] == kind
    assert pointed(latency=5.0, windows={"pace_hour": 40.0, "growth_days": 500.0})[0] == "slow"


def test_a_batch_of_slow_runs_that_is_most_of_the_day_will_not_go_on() -> None:
    assert pointed(latency=5.0, windows={"pace_hour": 40.0, "growth_days": 60.0})[0] == "hanging"
    assert pointed(latency=5.0, windows={"pace_hour": 10.0, "growth_days": 12.0})[0] == "slow"
    # a flood may be most of the day, too
    assert pointed(latency=5.0, load=2.0, windows={"pace_hour": 40.0, "growth_days": 60.0})[0] == "slow"


def test_what_one_caller_waits_for_has_to_go_on() -> None:
    assert pointed(run=5.0, surprises={"duration_high": 1.0, "caller_slow_here": 5.0})[0] == "slow"
    assert pointed(run=5.0, surprises={"duration_high": 5.0, "caller_slow_here": 1.0})[0] == "long"


@pytest.mark.parametrize("family", ["novelty", "reach", "place"])
def test_arriving_at_a_function_that_is_itself_new_is_the_functions_news(family: str) -> None:
    assert pointed(**{family: 5.0, "structure": 3.0}) == (pointed(**{family: 5.0})[0], False, 0)
    assert pointed(structure=3.0, signature=5.0)[1]


@pytest.mark.parametrize("family", ["novelty", "reach", "place"])
def test_arriving_where_many_arrive_at_once_is_no_news_of_each(family: str) -> None:
    assert pointed(**{family: 5.0}, surprises={"newcomers": 1.0}, load=1.0)[1]
    assert not pointed(**{family: 5.0}, surprises={"newcomers": 3.0}, load=1.0)[1]
    assert pointed(caller_pace=5.0, surprises={"newcomers": 3.0}, load=1.0)[1]


def test_load_by_one_caller_points_at_it_and_load_by_many_at_the_function() -> None:
    one = {"pace_minutes": 100.0, "caller_pace_here": 90.0}
    many = {"pace_minutes": 100.0, "caller_pace_here": 2.0}
    assert pointed(windows=one, load=5.0) == ("load", True, 0)
    assert pointed(windows=many, load=5.0) == ("load", False, 2)


def test_load_that_only_the_hour_remembers_is_not_the_doing_of_who_calls_next() -> None:
    alone = {"pace_minutes": 2.0, "caller_pace_here": 2.0}
    assert pointed(windows=alone | {"pace_hour": 24.0}, load=5.0) == ("load", True, 0)
    assert pointed(windows=alone | {"pace_hour": 900.0}, load=5.0) == ("load", False, 1)


def test_who_is_among_many_that_arrive_is_not_the_crowd() -> None:
    alone = {"pace_minutes": 3.0, "caller_pace_here": 2.0}
    assert pointed(windows=alone, load=5.0, surprises={"pace_minutes": 5.0, "newcomers": 1.0}) == ("load", True, 0)
    assert not pointed(windows=alone, load=5.0, surprises={"pace_minutes": 1.0, "newcomers": 5.0})[1]


def test_the_first_who_meets_a_fault_is_not_its_cause() -> None:
    first = {"pace_minutes": 100.0, "caller_pace_here": 2.0, "failure_burst": 2.0, "caller_failures": 2.0}
    assert pointed(windows=first, failure=5.0) == ("failing", False, 0)
    assert pointed(windows=first | {"failure_burst": 4.0, "caller_failures": 4.0}, failure=5.0) == ("failing", True, 0)


def test_failing_is_a_callers_own_where_it_fails_far_more_than_its_calls_are() -> None:
    # where all fail, who makes a quarter of the calls has a quarter of the failures; seen over half an hour against the
    # function's quarter that is half of them
    quarter = {"pace_minutes": 100.0, "caller_pace_here": 25.0, "failure_burst": 40.0, "caller_failures": 20.0}
    assert pointed(windows=quarter, failure=5.0) == ("failing", False, 0)
    assert pointed(windows=quarter | {"caller_failures": 39.0}, failure=5.0) == ("failing", True, 0)
    own = {"pace_minutes": 100.0, "caller_pace_here": 10.0, "failure_burst": 40.0, "caller_failures": 36.0}
    assert pointed(windows=own, failure=5.0) == ("failing", True, 0)
