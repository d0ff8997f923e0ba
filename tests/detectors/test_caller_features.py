"""Each feature of a caller's timeline rises for what callers don't do, across functions, apps and countries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from detectors import caller_kernel as kernel
from detectors.caller_features import CallerFeatures, Reach, by_day
from detectors.features import CALLER_FEATURES
from detectors.function_features import FunctionFeatures
from detectors.function_kernel import remembered, remembered_days
from detectors.order import in_order
from detectors.timeline import END
from models.baselines import Baselines
from tests.detectors.life import DAY, HOUR, MINUTE, SECOND, baselines_of, calls, live, ordinary
from tests.detectors.rows import rows

NAMES = [feature.name for feature in CALLER_FEATURES]
ANNA = "user:anna"
NOW = 5 * DAY + 10 * HOUR
PLAIN: dict[str, Any] = {"caller_source": "user", "duration_ms": 100.0, "succeeded": True, "status": 200}


def working_days(days: int = 5, **fields: Any) -> list[dict[str, Any]]:
    """Anna calls Pay six times an hour from nine to seventeen, from Germany."""
    return [record for day in range(days) for record in hers(day * DAY + 9 * HOUR, 8, every=10 * MINUTE, **fields)]


def hers(begin: int, hours: float, every: int = 10 * MINUTE, **fields: Any) -> list[dict[str, Any]]:
    return [
        {**record, "invocation_id": f"anna-{record['invocation_id']}"}
        for record in calls(begin, hours, every, **{**PLAIN, "caller": ANNA, **fields})
    ]


def odd(count: int, begin: int = NOW, every: int = MINUTE, **fields: Any) -> list[dict[str, Any]]:
    """What Anna never did before."""
    return [
        {**record, "invocation_id": f"odd-{number:03d}"}
        for number, record in enumerate(hers(begin, count * every / HOUR, every, **fields))
    ]


@pytest.fixture(scope="module")
def usual() -> Baselines:
    return baselines_of([*working_days(), *ordinary(0, 120)])


FEATURES = (
    *("caller_new_to_app", "caller_new_country", "travel", "caller_client_errors", "caller_failures", "caller_spread"),
    *("caller_pace", "caller_hours", "caller_new_here", "caller_day", "known_refused", "known_failures"),
)


def test_ordinary_days_of_a_known_caller_say_nothing(usual: Baselines) -> None:
    found = live(usual, working_days(6))
    last_day = slice(-40, None)
    for feature in FEATURES:
        assert found.raw(feature, "anna")[last_day].max() < 0.1, feature
    # on the sixth day the news of her coming has nearly faded
    assert found.raw("caller_new", "anna")[-1] < 0.2 * found.raw("caller_new", "anna")[0]


def test_a_caller_never_seen_anywhere_is_news(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(1, caller="user:eve"))
    assert found.raw("caller_new", "odd")[0] == pytest.approx(np.log(30 * 24 * 60), rel=0.01)


def test_reaching_into_another_app_counts_by_all_that_was_seen_without_it(usual: Baselines) -> None:
    after_days = live(usual, working_days(), odd(1, app="payroll"))
    after_a_day = live(usual, working_days(1), odd(1, begin=DAY + 10 * HOUR, app="payroll"))
    assert after_days.raw("caller_new_to_app", "odd")[0] > after_a_day.raw("caller_new_to_app", "odd")[0] > 2.0


def test_an_app_that_another_pushed_out_of_memory_is_no_news_where_its_caller_is_known(usual: Baselines) -> None:
    # as many apps as are remembered, each found on a day of its own
    apps = [f"app-{number}" for number in range(kernel.PLACES)]
    life = [
        record
        for number, app in enumerate(apps)
        for record in hers(number * DAY + 9 * HOUR, 4, app=app, function=f"F{number}")
    ]
    begin = len(apps) * DAY + 9 * HOUR
    one_more = odd(1, begin=begin, app="payroll", function="Salaries")
    back = hers(begin + HOUR, 2, app=apps[-1], function=f"F{len(apps) - 1}")
    found = live(usual, life, one_more, [{**record, "invocation_id": f"back-{n}"} for n, record in enumerate(back)])
    assert found.raw("caller_new_to_app", "odd")[0] > 2.0
    assert (found.raw("caller_new_to_app", "back") == 0.0).all()


def test_reaching_into_another_app_says_more_with_each_call_and_the_habit_of_a_day_nothing(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(30, every=MINUTE, app="payroll")).raw("caller_new_to_app", "odd")
    assert (np.diff(found) > 0.0).all()
    assert found[29] == pytest.approx(found[0] * (1.0 + 0.5 * np.log(30)), rel=0.05)
    by_day = live(usual, working_days(), odd(30, every=HOUR, app="payroll")).raw("caller_new_to_app", "odd")
    assert by_day[25:].max() == 0.0


def test_reaching_into_an_app_to_which_nobody_comes_from_elsewhere_counts_by_all_calls_there(usual: Baselines) -> None:
    clerks = calls(0, 120, every=4 * MINUTE, app="payroll", caller=lambda n: f"user:clerk{n % 3}", **PLAIN)

    def claims(*learned: list[dict[str, Any]]) -> list[float]:
        state = live(usual, working_days(), clerks, *learned).callers.snapshot()
        reach = Reach.of(state)
        found = live(usual, working_days(1), odd(1, begin=DAY + 10 * HOUR, app="payroll"), reach=reach)
        elsewhere = live(usual, working_days(1), odd(1, begin=DAY + 10 * HOUR, app="unknown"), reach=reach)
        return [part.raw("caller_new_to_app", "odd")[0] for part in (found, elsewhere)]

    nobody, by_her_own = claims()
    # by the calls of all apps where no caller of one ever came to another
    assert nobody == pytest.approx(np.log(len(clerks) + len(working_days()) + 1), rel=0.01)
    assert by_her_own < nobody - 2.0
    # once four people did, by those that came for each call there; and no more than one's own calls say
    strangers = [
        calls(at, 0.1, app=app, caller=f"user:{n}", **PLAIN)
        for n in range(4)
        for app, at in (("shop", 100 * HOUR + n), ("payroll", 104 * HOUR + n))
    ]
    some, _ = claims(*strangers)
    assert some == pytest.approx(np.log((len(clerks) + 2) / 5), rel=0.02)


def test_all_that_a_caller_touches_in_its_first_hour_is_part_of_its_arrival(usual: Baselines) -> None:
    arrival = odd(10, caller="user:new", app=lambda n: f"app-{n % 3}", country=lambda n: ("Germany", "France")[n % 2])
    found = live(usual, arrival)
    for feature in ("caller_new_to_app", "caller_new_country", "travel", "caller_new_here"):
        assert (found.raw(feature, "odd") == 0.0).all(), feature


def test_a_country_that_the_caller_never_came_from_stands_out(usual: Baselines) -> None:
    found = live(usual, working_days(), hers(NOW - HOUR, 1), odd(1, begin=NOW + 2 * HOUR, country="Chile"))
    assert found.raw("caller_new_country", "odd")[0] > 4.0


def test_a_country_from_which_others_call_is_a_likelier_first_trip(usual: Baselines) -> None:
    colleagues, home = ordinary(0, 130, country="France"), hers(NOW - HOUR, 1)
    france = live(usual, working_days(), colleagues, home, odd(1, begin=NOW + 2 * HOUR, country="France"))
    chile = live(usual, working_days(), colleagues, home, odd(1, begin=NOW + 2 * HOUR, country="Chile"))
    assert chile.raw("caller_new_country", "odd")[0] > france.raw("caller_new_country", "odd")[0] + 3.0


PLACES = ("caller_new_country", "country_rare_here", "country_new")


def test_a_country_claims_little_of_who_had_the_time_to_travel_there(usual: Baselines) -> None:
    colleagues, away = ordinary(0, 180), odd(9, begin=NOW + 2 * DAY, every=5 * MINUTE, country="Chile")
    found = live(usual, working_days(), colleagues, away)
    for place in PLACES:
        assert 0.0 < found.raw(place, "odd").max() <= kernel.TRAVELLED, place
    assert (found.raw("travel", "odd") == 0.0).all()


def test_a_country_claims_all_it_can_once_somebody_calls_from_home_meanwhile(usual: Baselines) -> None:
    colleagues, away = ordinary(0, 180), odd(9, begin=NOW + 2 * DAY, every=5 * MINUTE, country="Chile")
    home = hers(NOW + 2 * DAY + 22 * MINUTE, 0.2)
    found = live(usual, working_days(), colleagues, away, home)
    for place in PLACES:
        away_alone, in_both = found.raw(place, "odd")[:5], found.raw(place, "odd")[5:]
        assert away_alone.max() <= kernel.TRAVELLED < in_both.min(), place
    assert found.raw("travel", "odd")[5:].min() > 4.0


def test_a_country_claims_all_it_can_by_night(usual: Baselines) -> None:
    colleagues, night = ordinary(0, 180), odd(9, begin=NOW + 2 * DAY + 14 * HOUR, every=5 * MINUTE, country="Chile")
    found = live(usual, working_days(), colleagues, night)
    for place in PLACES:
        assert found.raw(place, "odd").min() > kernel.TRAVELLED, place


def test_a_country_says_more_of_who_hardly_called_before_where_nobody_travels(usual: Baselines) -> None:
    def people(*days: int, where: str = "Germany", known_by: str = "user") -> list[list[dict[str, Any]]]:
        who: dict[str, Any] = {"caller": lambda n: f"{known_by}:{n % 20}", "caller_source": known_by, "country": where}
        return [ordinary(day * DAY, 1, **who) for day in days]

    first = calls(2 * DAY - HOUR, 0.1, every=90 * SECOND, caller="user:anna", country="Germany", **PLAIN)
    away = odd(1, begin=2 * DAY + HOUR, country="Chile")

    def claims(*learned: list[dict[str, Any]]) -> float:
        reach = Reach.of(live(usual, *learned).callers.snapshot())
        return float(live(usual, *people(1), first, away, reach=reach).raw("caller_new_country", "odd")[0])

    known = claims(*people(0))
    nobody = claims(*people(0, 1, 2, 3, 4, 5))
    assert nobody > known + 2.0
    # and in a tenant where some do, it says what it said
    assert claims(*people(0, 1, 2, 3, 4), *people(5, where="France")) == known
    # an address never goes anywhere, so that it says nothing of those who may
    assert claims(*people(0, 1, 2, 3, 4, 5, known_by="address")) == known


def test_who_is_new_from_a_new_country_is_not_excused_by_travel(usual: Baselines) -> None:
    colleagues, eve = ordinary(0, 180), odd(9, begin=NOW + 2 * DAY, caller="user:eve", country="Chile")
    assert live(usual, colleagues, eve).raw("country_rare_here", "odd").min() > kernel.TRAVELLED


def test_travel_is_told_by_many_calls_rather_than_one(usual: Baselines) -> None:
    home = hers(NOW - HOUR, 1)
    found = live(usual, working_days(), home, odd(20, begin=NOW + 2 * MINUTE, every=10 * SECOND, country="Chile"))
    travel = found.raw("travel", "odd")
    assert travel.max() > 3.0 * travel[0] > 0.0


def test_two_far_countries_within_minutes_are_travel_that_nobody_makes(usual: Baselines) -> None:
    home = hers(NOW - HOUR, 1)
    soon = live(usual, working_days(), home, odd(1, begin=NOW + 2 * MINUTE, country="Chile"))
    later = live(usual, working_days(), home, odd(1, begin=NOW + 3 * HOUR, country="Chile"))
    next_day = live(usual, working_days(), home, odd(1, begin=NOW + 20 * HOUR, country="Chile"))
    assert soon.raw("travel", "odd")[0] > later.raw("travel", "odd")[0] > 0.0
    assert next_day.raw("travel", "odd")[0] == 0.0
    assert soon.value("travel", "odd")[0] == pytest.approx(12 * 60, abs=1.0)


def test_the_way_to_another_country_takes_no_longer_for_who_stays_there(usual: Baselines) -> None:
    home = hers(NOW - HOUR, 1)
    found = live(usual, working_days(), home, odd(20, begin=NOW + 2 * MINUTE, every=2 * MINUTE, country="Chile"))
    assert found.value("travel", "odd") == pytest.approx(np.full(20, 12 * 60.0), abs=1.0)
    assert (np.diff(found.raw("travel", "odd")) > -0.2).all()


def test_to_a_country_nearby_two_hours_are_time_enough(usual: Baselines) -> None:
    home = hers(NOW - HOUR, 1)

    def travel(country: str, hours: float) -> float:
        away = odd(1, begin=NOW + int(hours * HOUR), country=country)
        return float(live(usual, working_days(), home, away).raw("travel", "odd")[0])

    assert travel("France", 2.2) == travel("France", 3.0) == 0.0 < travel("France", 1.0)
    assert travel("Japan", 3.0) > 0.0
    # of what is in no region nothing is near
    assert travel("Atlantis", 3.0) > 0.0


def test_hopping_between_two_countries_is_a_habit_for_who_always_did(usual: Baselines) -> None:
    both = working_days(country=lambda n: ("Germany", "France")[n % 2])
    found = live(usual, both, odd(10, country=lambda n: ("Germany", "France")[n % 2]))
    assert (found.raw("travel", "odd") == 0.0).all()


def test_refusals_across_functions_add_up_for_one_caller(usual: Baselines) -> None:
    guessing = odd(20, every=20 * SECOND, status=401, function=lambda n: f"Get{n % 5}")
    found = live(usual, working_days(), guessing)
    refusals = found.raw("caller_client_errors", "odd")
    assert (np.diff(refusals) > 0.0).all()
    assert refusals[-1] > 20.0
    assert found.value("caller_client_errors", "odd")[-1] > 15.0


def test_who_mistypes_a_few_times_where_it_always_calls_guesses_nothing(usual: Baselines) -> None:
    def refusals(calls: int, every: int = 4 * SECOND, **where: Any) -> Any:
        found = live(usual, working_days(), odd(calls, every=every, status=401, **where))
        return found.raw("caller_client_errors", "odd")

    assert refusals(4).max() < 2.0
    # who goes on, is refused where it never was, at one function after the other, or for hours is no such person
    assert refusals(12)[-1] > 10.0
    assert refusals(4, function="Login")[-1] > 2.0 * refusals(4)[-1]
    assert refusals(4, function=lambda n: f"Get{n % 4}")[-1] > 2.0 * refusals(4)[-1]
    assert refusals(12, 10 * MINUTE).max() > 1.5


def test_a_caller_that_was_always_refused_is_used_to_it(usual: Baselines) -> None:
    crawler = working_days(status=404)
    found = live(usual, crawler, odd(10, every=5 * MINUTE, status=404))
    clean = live(usual, working_days(), odd(10, every=5 * MINUTE, status=404))
    assert found.raw("caller_client_errors", "odd").max() < 0.3 * clean.raw("caller_client_errors", "odd").max()


def test_failures_follow_a_caller_from_function_to_function(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(10, succeeded=False, status=500, function=lambda n: f"Get{n % 5}"))
    assert found.raw("caller_failures", "odd")[-1] > 10.0
    assert (found.raw("caller_client_errors", "odd") == 0.0).all()


@pytest.mark.parametrize(
    ("feature", "trouble"),
    [("known_refused", {"status": 401}), ("known_failures", {"succeeded": False, "status": 500})],
    ids=["refused", "failing"],
)
def test_what_befalls_a_caller_known_for_days_is_told_apart_from_what_newcomers_meet(
    usual: Baselines, feature: str, trouble: dict[str, Any]
) -> None:
    known = live(usual, ordinary(4 * DAY, 34), working_days(), odd(20, **trouble))
    assert known.raw(feature, "odd").max() > 10.0
    assert (known.raw(feature, "anna") == 0.0).all()
    new = live(usual, ordinary(4 * DAY, 34), odd(20, caller="user:mallory", **trouble))
    assert (new.raw(feature) == 0.0).all()
    # nor is who called on one day known
    assert (live(usual, ordinary(4 * DAY, 34), working_days(1), odd(20, **trouble)).raw(feature) == 0.0).all()


def test_what_fails_at_one_function_is_not_held_against_its_callers_elsewhere(usual: Baselines) -> None:
    broken = odd(20, every=20 * SECOND, succeeded=False, status=500, function="Get0")
    elsewhere = odd(1, begin=NOW + 8 * MINUTE, succeeded=False, status=500, function="Get1")
    found = live(usual, working_days(), broken, elsewhere)
    failures = found.raw("caller_failures", "odd")
    assert failures[19] > 20.0
    assert failures[20] < 0.1 * failures[19]
    assert found.value("caller_failures", "odd")[20] < 3.0


def test_a_caller_that_tries_many_functions_spreads(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(12, function=lambda n: f"Get{n}"))
    spread = found.raw("caller_spread", "odd")
    assert spread[0] == 0.0
    assert spread[-1] > 5.0


def test_a_function_that_is_new_is_new_to_whoever_calls_it(usual: Baselines) -> None:
    days = [*working_days(), *ordinary(0, 120, function="Refund")]
    for baselines, least, most in ((baselines_of(days), 3.0, 20.0), (usual, 0.0, 0.0)):
        found = live(baselines, working_days(), ordinary(DAY, 110, function="Refund"), odd(1, function="Refund"))
        assert least <= found.raw("caller_new_here", "odd")[0] <= most


def test_callers_of_a_function_that_is_new_may_be_as_busy_as_they_are_elsewhere_and_more(usual: Baselines) -> None:
    partner = {"caller": "user:partner", "every": 10 * SECOND}
    for function, least, most in (("Pay", 50.0, 999.0), ("Refund", 0.0, 0.0)):
        found = live(usual, working_days(), odd(360, function=function, **partner))
        assert least <= found.raw("caller_pace", "odd").max() <= most, function
    flood = live(usual, working_days(), odd(2_000, function="Refund", caller="user:partner", every=SECOND // 5))
    assert flood.raw("caller_pace", "odd").max() > 50.0


def test_who_comes_for_the_first_time_may_look_around(usual: Baselines) -> None:
    tried = {"function": lambda n: f"Get{n}"}
    known = live(usual, working_days(), odd(12, **tried)).raw("caller_spread", "odd")
    newcomer = live(usual, working_days(), odd(12, caller="user:eve", **tried)).raw("caller_spread", "odd")
    assert newcomer.max() < 0.2 * known.max()


def test_travel_to_where_nobody_calls_from_weighs_more_than_to_a_colleagues_country(usual: Baselines) -> None:
    abroad = {"begin": NOW + 2 * MINUTE, "every": 10 * SECOND}
    colleagues = ordinary(0, 140, country="France")
    travel = [
        live(usual, working_days(), colleagues, hers(NOW - HOUR, 1), odd(20, country=country, **abroad)).raw(
            "travel", "odd"
        )
        for country in ("Chile", "France")
    ]
    assert travel[0].max() > 1.5 * travel[1].max() > 0.0


def test_a_pace_that_is_not_the_callers_stands_out(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(100, every=10 * SECOND))
    pace = found.raw("caller_pace", "odd")
    assert pace[-1] > 30.0
    assert found.raw("caller_pace", "anna").max() < 2.0


def test_a_burst_that_is_over_is_no_pace_of_whoever_calls_then(usual: Baselines) -> None:
    burst = odd(600, every=SECOND)
    after = [hers(NOW + minutes * MINUTE, 1)[0] for minutes in (11, 25)]
    found = live(usual, working_days(), burst, [{**one, "invocation_id": f"past-{n}"} for n, one in enumerate(after)])
    assert found.raw("caller_pace", "odd").max() > 400.0
    soon, later = found.raw("caller_pace", "past")
    assert soon > 300.0
    assert later < 5.0


def test_far_more_calls_in_a_day_than_on_any_other_add_up_where_each_half_hour_is_as_always(usual: Baselines) -> None:
    # as fast as ever, but on and on
    found = live(usual, working_days(), odd(140, begin=5 * DAY + 9 * HOUR, every=6 * MINUTE))
    assert found.raw("caller_pace", "odd").max() < 1.0
    day = found.raw("caller_day", "odd")
    assert day.max() > 3.0
    assert (day[:40] == 0.0).all()
    assert found.value("caller_day", "odd")[40] == 41.0


def test_a_day_counts_as_far_as_its_pace_goes_on(usual: Baselines) -> None:
    flood = odd(2_000, begin=5 * DAY + 9 * HOUR, every=2 * SECOND)
    after = [{**row, "invocation_id": f"after-{n}"} for n, row in enumerate(hers(5 * DAY + 14 * HOUR, 3))]
    found = live(usual, working_days(), flood, after)
    assert found.raw("caller_day", "odd").max() > 10.0
    assert found.value("caller_day", "after").min() > 2_000.0
    assert found.raw("caller_day", "after").max() < 3.0


def test_a_flood_that_is_over_is_not_told_by_each_later_call_of_who_calls_once_an_hour(usual: Baselines) -> None:
    polls = hers(0, 5 * 24, every=HOUR)
    flood = odd(480, begin=5 * DAY + HOUR + MINUTE, every=5 * SECOND)
    after = [{**row, "invocation_id": f"after-{n}"} for n, row in enumerate(hers(5 * DAY + 3 * HOUR, 8, every=HOUR))]
    found = live(usual, polls, flood, after)
    assert found.raw("caller_day", "odd").max() > 10.0
    assert found.value("caller_day", "after").min() > 480.0
    # half an hour's calls are forgotten in three
    assert (found.raw("caller_day", "after")[3:] == 0.0).all()


def test_who_is_refused_all_day_takes_nothing(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(140, begin=5 * DAY + 9 * HOUR, every=6 * MINUTE, status=404))
    assert found.raw("caller_day", "odd").max() == 0.0
    assert found.value("caller_day", "odd").max() == 0.0
    assert found.raw("caller_client_errors", "odd").max() > 3.0


def test_the_busiest_of_two_days_is_not_yet_the_busiest_of_many(usual: Baselines) -> None:
    def most(days: int) -> float:
        found = live(usual, working_days(days), odd(140, begin=days * DAY + 9 * HOUR, every=6 * MINUTE))
        return float(found.raw("caller_day", "odd").max())

    assert most(2) == 0.0
    assert most(3) < 0.9 * most(5)


def test_a_call_in_the_night_is_not_the_habit_of_who_works_by_day(usual: Baselines) -> None:
    night = live(usual, working_days(), odd(1, begin=5 * DAY + 2 * HOUR))
    day = live(usual, working_days(), odd(1, begin=5 * DAY + 12 * HOUR))
    often = live(usual, working_days(), odd(50, begin=5 * DAY + 2 * HOUR))
    assert night.raw("caller_hours", "odd")[0] > 1.2
    # a late evening is one thing, an hour's work at night another
    assert often.raw("caller_hours", "odd")[-1] > 3.0 * night.raw("caller_hours", "odd")[0]
    assert day.raw("caller_hours", "odd")[0] == 0.0


def test_a_night_of_work_counts_as_a_whole_and_more_than_a_days_work_counts_more(usual: Baselines) -> None:
    # as many calls within the last half hour, at the end
    short = live(usual, working_days(), odd(20, begin=5 * DAY + 2 * HOUR, every=90 * SECOND))
    night = live(usual, working_days(), odd(80, begin=5 * DAY + HOUR, every=90 * SECOND))
    assert night.raw("caller_hours", "odd")[-1] > 1.3 * short.raw("caller_hours", "odd")[-1]


def test_calls_of_one_visit_in_the_night_count_by_how_long_it_lasts(usual: Baselines) -> None:
    at_once = live(usual, working_days(), odd(20, begin=5 * DAY + 2 * HOUR, every=SECOND))
    an_hour = live(usual, working_days(), odd(20, begin=5 * DAY + 2 * HOUR, every=3 * MINUTE))
    assert at_once.raw("caller_hours", "odd")[-1] < 0.6 * an_hour.raw("caller_hours", "odd")[-1]


def test_a_long_day_is_less_strange_than_a_night(usual: Baselines) -> None:
    # she works until five; an hour next to that is hers
    later, night = (
        live(usual, working_days(), odd(20, begin=5 * DAY + begin * HOUR)).raw("caller_hours", "odd")[-1]
        for begin in (19, 23)
    )
    assert 0.0 < later < 0.7 * night


def test_who_comes_at_any_hour_has_none_that_is_strange(usual: Baselines) -> None:
    # a visit of eight calls a day, each day at another hour
    visits = [hers(day * DAY + (day * 7) % 24 * HOUR, 0.2, every=80 * SECOND) for day in range(6)]
    anytime = live(usual, *visits, odd(20, begin=6 * DAY + 10 * HOUR))
    daily = live(usual, *[hers(day * DAY + 2 * HOUR, 0.2, every=80 * SECOND) for day in range(6)],
                 odd(20, begin=6 * DAY + 10 * HOUR))  # fmt: skip
    assert anytime.raw("caller_hours", "odd")[-1] < 0.4 * daily.raw("caller_hours", "odd")[-1]


def test_a_day_that_once_went_on_for_longer_does_not_make_her_one_who_comes_at_any_hour(usual: Baselines) -> None:
    longer = [record for day, extra in enumerate((17, 8, 17)) for record in hers(day * DAY + extra * HOUR, 0.9)]
    even = live(usual, working_days(3), odd(20, begin=3 * DAY + 2 * HOUR))
    uneven = live(usual, working_days(3), longer, odd(20, begin=3 * DAY + 2 * HOUR))
    assert uneven.raw("caller_hours", "odd")[-1] > 0.75 * even.raw("caller_hours", "odd")[-1]


def test_hours_are_no_habit_before_two_days_of_them(usual: Baselines) -> None:
    found = live(usual, working_days(1), odd(1, begin=DAY + 2 * HOUR))
    assert found.raw("caller_hours", "odd")[0] == 0.0


@pytest.mark.parametrize(
    "who",
    [{"caller_source": "queue"}, {"caller_source": "unknown"}, {"item_count": 10}],
    ids=["queue", "nobody", "sampled"],
)
def test_nobody_in_particular_has_no_habits_to_break(usual: Baselines, who: dict[str, Any]) -> None:
    found = live(usual, working_days(), odd(30, every=SECOND, status=401, app="payroll", country="Chile", **who))
    for feature in (*FEATURES, "caller_new"):
        assert (found.raw(feature, "odd") == 0.0).all(), feature


def test_of_what_is_sampled_two_countries_within_minutes_are_told_and_nothing_else(usual: Baselines) -> None:
    def told(item_count: int) -> Any:
        at_home = working_days(6, item_count=item_count)
        return live(usual, at_home, odd(6, begin=5 * DAY + 12 * HOUR, country="Chile", item_count=item_count))

    whole, half, hardly = (told(n) for n in (1, 2, 20))
    assert half.raw("travel", "odd")[-1] > 5.0
    assert half.raw("travel", "odd")[-1] == pytest.approx(whole.raw("travel", "odd")[-1], rel=0.6)
    for feature in {*FEATURES, "caller_new"} - {"travel"}:
        assert (half.raw(feature, "odd") == 0.0).all(), feature
    assert hardly.raw("travel", "odd").max() == 0.0


def test_a_caller_long_gone_comes_back_as_a_new_one(usual: Baselines) -> None:
    found = live(usual, working_days(), odd(1, begin=60 * DAY))
    assert found.raw("caller_new", "odd")[0] > 9.0


def test_whoever_training_knows_is_no_news_when_its_own_logs_are_judged() -> None:
    abroad = odd(3, begin=DAY + 12 * HOUR, app="payroll", country="France")
    usual = baselines_of([*working_days(), *ordinary(0, 120), *abroad])
    learned = in_order(rows([*working_days(2), *abroad]))
    functions, callers = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9)), CallerFeatures()
    until = learned["at"][-1].as_py() + 1
    first, again = (callers.measure(functions.advance(learned, until))[0] for _ in range(2))
    news = [NAMES.index(name) for name in ("caller_new", "caller_new_to_app", "caller_new_country", "caller_new_here")]
    assert (first[:, news].max(axis=0) > 1.0).all()
    assert (again[:, news] == 0.0).all()


def by_night(usual: Baselines, *, unlearn: bool, nights: int = 5, **fields: Any) -> list[npt.NDArray[Any]]:
    """Raw features of the last call of each night after her working days; what is odd may be unlearned."""
    wrong = [
        {**record, "invocation_id": f"odd-{night}-{number:03d}"}
        for night in range(nights)
        for number, record in enumerate(hers((5 + night) * DAY + 2 * HOUR, 1, every=MINUTE, **fields))
    ]
    # she goes on to work by day
    batch = in_order(rows([*working_days(5 + nights), *wrong]))
    featured = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9)).advance(batch, batch["at"][-1].as_py() + 1)
    callers, last = CallerFeatures(), []
    for part in by_day(featured):
        raw, _, _, _ = callers.measure(part)
        odd_ones = np.flatnonzero([name.startswith("odd") for name in part["invocation_id"].to_pylist()])
        if unlearn:
            callers.unlearn(part, odd_ones)
        last += [raw[odd_ones[-1]]] if len(odd_ones) else []
    return last


@pytest.mark.parametrize("feature", ["caller_hours", "caller_pace"])
def test_what_was_raised_in_one_night_is_as_strange_in_the_next(usual: Baselines, feature: str) -> None:
    column = NAMES.index(feature)
    learned, kept_out = (by_night(usual, unlearn=choice) for choice in (False, True))
    assert learned[0][column] == kept_out[0][column] > 2.0
    assert learned[1][column] < 0.8 * learned[0][column]
    assert kept_out[1][column] >= kept_out[0][column]
    assert kept_out[2][column] >= kept_out[0][column]


def test_errors_that_were_raised_are_not_what_a_caller_is_used_to(usual: Baselines) -> None:
    column = NAMES.index("caller_client_errors")
    learned, kept_out = (by_night(usual, unlearn=choice, status=404) for choice in (False, True))
    assert learned[1][column] < learned[0][column]
    assert kept_out[1][column] == pytest.approx(kept_out[0][column])


def test_what_is_raised_on_a_third_day_is_a_callers_way_from_then_on(usual: Baselines) -> None:
    column = NAMES.index("caller_pace")
    night = [found[column] for found in by_night(usual, unlearn=True)]
    assert min(night[:3]) > 2.0
    assert night[3] < 0.8 * night[2]


def test_days_without_anything_raised_begin_the_count_anew(usual: Baselines) -> None:
    callers, functions = CallerFeatures(), FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    counted = []
    for day in (5, 6, 20):
        batch = in_order(rows(odd(50, begin=day * DAY + 2 * HOUR)))
        featured = functions.advance(batch, batch["at"][-1].as_py() + 1)
        callers.measure(featured)
        callers.unlearn(featured, np.arange(featured.num_rows))
        times = callers.snapshot()["callers"].column("times").combine_chunks().flatten().to_numpy()
        counted.append(int(times[kernel.D_RAISED_DAYS]))
    assert counted == [1, 2, 1]


@pytest.mark.parametrize("why", ["sampled", "late", "place"])
def test_what_is_no_habit_of_one_caller_is_not_unlearned(usual: Baselines, why: str) -> None:
    who = {"caller": "geography:Chile//Arica", "caller_source": "geography"} if why == "place" else {}
    wrong = odd(3, begin=DAY + 20 * HOUR, item_count=10 if why == "sampled" else 1, **who)
    batch = in_order(rows([*working_days(2), *wrong]))
    featured = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9)).advance(batch, batch["at"][-1].as_py() + 1)
    strange = np.array([name.startswith("odd") for name in featured["invocation_id"].to_pylist()])
    place = featured.schema.get_field_index("late")
    featured = featured.set_column(place, "late", pa.array(strange & (why == "late")))
    callers = CallerFeatures()
    callers.measure(featured)
    before = callers.snapshot()["callers"]
    callers.unlearn(featured, np.flatnonzero(strange))
    assert callers.snapshot()["callers"].equals(before)
    callers.unlearn(featured, np.flatnonzero(~strange))
    assert not callers.snapshot()["callers"].equals(before)


def test_who_worked_here_for_two_days_is_known_after_a_long_weekend(usual: Baselines) -> None:
    found = live(usual, working_days(2), odd(1))
    assert found.value("caller_new", "odd")[0] > 5 * DAY / SECOND
    assert found.raw("caller_new_here", "odd")[0] < 0.5


def test_an_address_that_called_twice_is_another_after_five_days(usual: Baselines) -> None:
    found = live(usual, hers(9 * HOUR, 0.3), odd(1))
    assert found.value("caller_new", "odd")[0] < 1.0


def test_clearing_drops_nobody_who_is_remembered_and_everybody_else() -> None:
    generator = np.random.default_rng(3)
    silent = generator.integers(0, 40, 5_000)
    settled, calls = (
        generator.integers(0, 30, 5_000),
        generator.choice([0.0, 1.0, 3.0, 6.9, 7.0, 300.0, 2.0**40], 5_000),
    )
    kept = remembered(-silent * DAY, settled, calls, 0)
    assert kept.tolist() == [
        days <= remembered_days(held, made) for days, held, made in zip(silent, settled, calls, strict=True)
    ]
    assert 0 < kept.sum() < len(kept)


def test_who_works_here_is_known_after_a_holiday_and_a_passer_by_is_not() -> None:
    assert remembered_days(2, 39) >= 10
    assert remembered_days(0, 2) <= 3
    assert remembered_days(2, 100_000) == 30


def test_who_travels_is_known_by_where_it_came_from(usual: Baselines) -> None:
    batch = in_order(rows([*working_days(), *hers(NOW - HOUR, 1), *odd(2, begin=NOW + 2 * MINUTE, country="Chile")]))
    functions, callers = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9)), CallerFeatures()
    featured = functions.advance(batch, END)
    found = {}
    for day in by_day(featured):
        callers.measure(day)
        found |= dict(zip(day["invocation_id"].to_pylist(), usual.named(callers.came_from).to_pylist(), strict=True))
    assert {name: found.pop(name) for name in ("odd-000", "odd-001")} == {"odd-000": "Germany", "odd-001": "Germany"}
    assert set(found.values()) == {None}
