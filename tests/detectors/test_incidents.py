"""Strange invocations become stories, and stories that are strange enough become incidents, each told once."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import story_rows
from detectors.features import FEATURE_NAMES
from detectors.function_features import matrix
from detectors.function_kernel import BY_HOSTS
from detectors.incidents import KEPT_CLOSED, Incidents
from detectors.raised import RAISED
from detectors.stories import CALLER_GAP_US, GAP_US, OPEN_STORIES
from detectors.story_rows import MAX_IDS
from detectors.timeline import END
from models.baselines import COHORTS
from models.feedback import Feedback
from pipelines.engine import telling
from tests.detectors.rows import EPOCH_US
from tests.detectors.strange import HOUR, MINUTE, OPENS, SECOND, incidents_of, raised, silent, speech, strange, tick


def test_one_caller_in_many_functions_is_one_incident() -> None:
    events = [strange(n * MINUTE, f"i{n}", function=f"Get{n}", app=f"app-{n % 2}") for n in range(6)]
    verdicts, (incident,) = incidents_of(events)
    assert incident["invocation_ids"] == [f"i{n}" for n in range(6)]
    assert incident["apps"] == ["app-0", "app-1"]
    assert len(incident["functions"]) == 6
    assert {row["incident_id"] for row in verdicts} == {incident["incident_id"]}
    assert all(row["anomalous"] for row in verdicts)


def test_two_callers_are_two_incidents() -> None:
    events = [strange(n * MINUTE, f"i{n}", caller=f"address:203.0.{n % 2}.7") for n in range(6)]
    _, found = incidents_of(events)
    assert sorted(len(incident["invocation_ids"]) for incident in found) == [3, 3]


def test_addresses_of_one_network_are_one_incident() -> None:
    events = [strange(n * MINUTE, f"i{n}", caller=f"address:203.0.113.{n % 2}") for n in range(6)]
    _, (incident,) = incidents_of(events)
    assert len(incident["invocation_ids"]) == 6
    assert incident["callers"] == ["address:203.0.113.0", "address:203.0.113.1"]


def test_a_gap_closes_a_callers_story() -> None:
    _, together = incidents_of([strange(0, "a"), strange(CALLER_GAP_US - MINUTE, "b")])
    _, apart = incidents_of([strange(0, "a"), strange(CALLER_GAP_US + MINUTE, "b")])
    assert len(together) == 1
    assert [incident["invocation_ids"] for incident in apart] == [["a"], ["b"]]


def test_a_gap_closes_a_functions_story() -> None:
    failing = {"by_caller": False, "trouble": "failing", "feature": "failure_burst"}
    _, together = incidents_of([strange(0, "a", **failing), strange(GAP_US - MINUTE, "b", **failing)])
    _, apart = incidents_of([strange(0, "a", **failing), strange(GAP_US + MINUTE, "b", **failing)])
    assert (len(together), len(apart)) == (1, 2)


def test_a_storm_over_the_functions_of_an_app_is_one_incident() -> None:
    events = [
        strange(
            *(n * 10 * SECOND, f"i{n}"),
            function=f"F{n % 8}",
            caller=f"address:198.51.100.{n}",
            by_caller=False,
            trouble="failing",
            feature="failure_burst",
        )
        for n in range(80)
    ]
    _, (incident,) = incidents_of(events)
    assert len(incident["functions"]) == 8
    assert incident["invocations"] == 80


def in_app(number: int, at: int, invocation_id: str, **more: Any) -> dict[str, Any]:
    """A function's trouble in one of several apps."""
    return strange(
        *(at, invocation_id),
        app=f"app-{number}",
        function=f"F{number}",
        **{"caller": "", "by_caller": False, "trouble": "failing", "feature": "failure_burst", **more},
    )


@pytest.mark.parametrize("trouble", ["failing", "slow", "load", "schedule"])
def test_the_same_trouble_that_opens_in_several_apps_within_minutes_is_one_incident(trouble: str) -> None:
    events = [in_app(n % 7, n * 20 * SECOND, f"i{n}", trouble=trouble) for n in range(70)]
    verdicts, (incident,) = incidents_of(events)
    assert incident["apps"] == [f"app-{n}" for n in range(7)]
    assert incident["invocations"] == 70
    assert {row["incident_id"] for row in verdicts} == {incident["incident_id"]}


def test_two_apps_whose_slowness_opens_at_once_but_began_apart_are_two_incidents_and_three_are_one_more() -> None:
    def slow(number: int, begin: int) -> list[dict[str, Any]]:
        """Weak at first, told after an hour."""
        weak = [in_app(number, begin + n * MINUTE, f"{number}-w{n}", trouble="slow", score=3.0) for n in range(3)]
        return [
            *weak,
            *(in_app(number, HOUR + n * SECOND, f"{number}-{n}", trouble="slow", score=20.0) for n in range(6)),
        ]

    def told(*begins: int) -> list[list[str]]:
        _, found = incidents_of([event for number, begin in enumerate(begins) for event in slow(number, begin)])
        return sorted(one["apps"] for one in found)

    assert told(0, 5 * MINUTE) == [["app-0", "app-1"]]
    assert told(0, 30 * MINUTE) == [["app-0"], ["app-1"]]
    assert len(told(0, 20 * MINUTE, 40 * MINUTE)) == 2


def test_what_slowness_of_apps_is_one_does_not_hang_on_where_batches_are_cut() -> None:
    def slow(number: int, begin: int, opens: int) -> list[dict[str, Any]]:
        weak = [in_app(number, begin, f"{number}-w", trouble="slow", score=3.0)]
        return [
            *weak,
            *(in_app(number, opens + n * SECOND, f"{number}-{n}", trouble="slow", score=30.0) for n in range(3)),
        ]

    # the second began before the first, which it joins; the third as long after that as it may, and opens when the
    # first is no more within minutes
    rows = [*slow(0, 8 * MINUTE, 60 * MINUTE), *slow(1, 0, 68 * MINUTE), *slow(2, 12 * MINUTE, 76 * MINUTE)]
    _, whole = incidents_of(rows)
    assert [one["apps"] for one in whole] == [["app-0", "app-1", "app-2"]]
    cut = Watched()
    for row in sorted(rows, key=lambda row: row["at"]):
        cut.advance([row], row["at"])
        cut.restart()
    cut.advance([], END)
    assert [one["apps"] for one in cut.told if one["closed"]] == [["app-0", "app-1", "app-2"]]


def test_what_waited_in_an_app_is_part_of_the_storm_that_it_joins_and_lasts_as_long() -> None:
    first = [in_app(0, n * MINUTE, f"a{n}") for n in range(3)]
    weak = [in_app(1, -HOUR + n * MINUTE, f"b{n}", score=3.0) for n in range(3)]
    opens = [in_app(1, 9 * MINUTE, "b3"), in_app(1, 3 * HOUR, "b4", score=3.0), in_app(1, 6 * HOUR, "b5", score=3.0)]
    _, (incident,) = incidents_of([*weak, *first, *opens])
    assert incident["invocation_ids"] == ["a0", "a1", "a2", "b0", "b1", "b2", "b3", "b4", "b5"]
    assert incident["first_event"].timestamp() * 1e6 == EPOCH_US - HOUR
    assert incident["last_event"].timestamp() * 1e6 == EPOCH_US + 6 * HOUR


def flood() -> list[dict[str, Any]]:
    """One caller's, five calls a second for a minute."""
    busy = {"trouble": "load", "feature": "caller_pace_here", "crowd": 1, "score": 40.0}
    return [strange(n * SECOND // 5, f"a{n}", app="app-0", function="Order", **busy) for n in range(300)]


def worked_off(begin: int, runs: int, app: str = "app-0", **fields: Any) -> list[dict[str, Any]]:
    """What a queue's function does that is busier than ever, three runs a second."""
    plain = {"trigger": "queue", "caller": "queue:orders", "caller_source": "queue", "by_caller": False}
    busy = {"trouble": "load", "feature": "pace_minutes", **plain, **fields}
    return [strange(begin + n * SECOND // 3, f"b{n}", app=app, function="Book", **busy) for n in range(runs)]


@pytest.mark.parametrize(("app", "after"), [("app-0", 29 * MINUTE), ("app-1", 9 * MINUTE)])
def test_a_queue_that_is_busy_with_one_callers_flood_is_part_of_its_incident(app: str, after: int) -> None:
    verdicts, (incident,) = incidents_of([*flood(), *worked_off(after, 40, app=app)])
    assert incident["functions"] == ["Order", "Book"]
    assert incident["callers"] == ["address:203.0.113.7", "queue:orders"]
    assert {row["incident_id"] for row in verdicts} == {incident["incident_id"]}


def test_what_works_a_flood_off_is_told_beside_the_calls_of_who_made_it() -> None:
    _, (incident,) = incidents_of([*flood(), *worked_off(2 * MINUTE, 40)])
    assert incident["title"] == "Flood at Order and 1 more from address 203.0.113.7"
    assert incident["summary"].startswith("300 calls in")
    # ten times the queue's pace is not the caller's
    assert "pace_minutes" not in [reason["feature"] for reason in incident["reasons"]]
    assert incident["summary"].endswith("; 40 runs fed by queue orders stood out, too.")


@pytest.mark.parametrize(
    "other",
    [
        worked_off(31 * MINUTE, 40),
        worked_off(11 * MINUTE, 40, app="app-1"),
        worked_off(5 * MINUTE, 40, trigger="http", caller="", caller_source="unknown"),
        worked_off(5 * MINUTE, 40, app="app-1", trouble="failing"),
    ],
    ids=["long after", "in another app, after a while", "called by many", "failing"],
)
def test_what_need_not_come_of_one_callers_flood_is_an_incident_of_its_own(other: list[dict[str, Any]]) -> None:
    assert len(incidents_of([*flood(), *other])[1]) == 2


def slowed(begin: int, **fields: Any) -> list[dict[str, Any]]:
    """Calls of many that have become slow, two a minute for most of an hour, where nobody is busy."""
    slow = {"trouble": "slow", "feature": "latency_shift", "by_caller": False, "score": 30.0, **fields}
    who = lambda n: {"caller": f"address:198.51.100.{n % 50}"}  # noqa: E731
    return [strange(begin + n * 30 * SECOND, f"s{n}", **{"app": "app-0", "function": "Cart", **who(n), **slow})
            for n in range(100)]  # fmt: skip


def test_what_a_flood_makes_slow_elsewhere_in_its_app_is_part_of_its_incident() -> None:
    _, (incident,) = incidents_of([*flood(), *slowed(MINUTE)])
    assert sorted(incident["functions"]) == ["Cart", "Order"]
    assert incident["kind"] == "flood"
    assert "100 calls of others there stood out, too" in incident["summary"]
    crowd = [{**row, "caller": f"address:192.0.2.{n}", "by_caller": False, "crowd": 2} for n, row in enumerate(flood())]
    assert len(incidents_of([*crowd, *slowed(MINUTE)])[1]) == 1


def cut_anywhere(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The incidents of rows that come at once, and of the same that come by sevens, with restarts between."""
    rows = sorted(rows, key=lambda row: row["at"])
    found = []
    for size in (len(rows), 7):
        watched = Watched()
        for begin in range(0, len(rows), size):
            watched.advance(rows[begin : begin + size], rows[begin]["at"])
            watched.restart()
        watched.advance([], END)
        last = {incident["incident_id"]: incident for incident in watched.told}
        found.append(sorted(last.values(), key=lambda incident: incident["first_event"]))
    return found


@pytest.mark.parametrize(("after", "told"), [(9 * MINUTE, 1), (25 * MINUTE, 2)])
def test_what_is_still_becoming_slow_when_a_flood_has_long_ended_is_not_slow_by_it(after: int, told: int) -> None:
    slow = [{**row, "at": row["at"] + after - MINUTE} for row in slowed(MINUTE)]
    for incidents in cut_anywhere([*flood(), *slow]):
        assert len(incidents) == told


def test_a_visitor_from_where_an_attacker_came_from_before_is_no_part_of_the_attack() -> None:
    visits = [{**event, **VISIT, "function": f"F{event['invocation_id'][1]}"} for event in newcomers(2, 2 * HOUR)]
    probes = [
        {
            **event,
            "invocation_id": f"p{n}",
            "at": event["at"] + HOUR,
            "feature": "attack_signature",
            "pair_age_us": HOUR,
        }
        for n, event in enumerate(visits[:4])
    ]
    assert [len(incidents) for incidents in cut_anywhere(visits)] == [1, 1]
    for first, second in cut_anywhere([*visits, *probes]):
        assert (len(first["invocation_ids"]), len(second["invocation_ids"])) == (8, 4)


def test_what_is_slow_in_another_app_since_is_not_slow_by_that_flood() -> None:
    elsewhere = [{**row, "invocation_id": f"e{n}"} for n, row in enumerate(slowed(3 * MINUTE, app="app-1"))]
    for incidents in cut_anywhere([*flood(), *slowed(MINUTE), *elsewhere]):
        assert sorted(incident["apps"] for incident in incidents) == [["app-0"], ["app-1"]]


@pytest.mark.parametrize(
    "other",
    [slowed(MINUTE, app="app-1"), slowed(2 * HOUR), slowed(MINUTE, trouble="failing", feature="failure_burst")],
    ids=["in another app", "hours after", "failing"],
)
def test_what_need_not_be_slow_by_a_flood_is_an_incident_of_its_own(other: list[dict[str, Any]]) -> None:
    assert len(incidents_of([*flood(), *other])[1]) == 2


def test_floods_of_an_app_that_come_from_one_place_after_the_other_are_one_incident() -> None:
    def place(name: str, begin: int, function: str) -> list[dict[str, Any]]:
        busy = {"trouble": "load", "feature": "pace_minutes", "score": 40.0, "crowd": 1, "function": function}
        known = {"caller": f"geography:{name}", "caller_source": "geography"}
        return [strange(begin + n * SECOND, f"{name}{n}", **busy, **known) for n in range(60)]

    one, soon, late = place("Rome", 0, "Cart"), place("Turin", 20 * MINUTE, "Pay"), place("Pisa", 50 * MINUTE, "Pay")
    _, (together,) = incidents_of([*one, *soon])
    assert together["functions"] == ["Cart", "Pay"]
    assert len(incidents_of([*one, *late])[1]) == 2


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, 1),
        ({"status": 200}, 3),
        ({"pair_age_us": 5 * HOUR}, 3),
        ({"pair_age_us": 5 * HOUR, "feature": "client_error_burst"}, 1),
        ({"pair_age_us": 5 * HOUR, "feature": "client_error_burst", "caller_source": "geography"}, 3),
        ({"function": "Refund"}, 2),
    ],
    ids=["newcomers refused", "let in", "known there", "too often", "at a place", "elsewhere"],
)
def test_who_is_refused_at_one_function_hours_apart_is_part_of_one_spray(more: dict[str, Any], told: int) -> None:
    plain = {"status": 401, "pair_age_us": 0, "caller_source": "address", "function": "Token", "country": "France"}
    first = strange(0, "a", **plain, caller="address:198.51.100.7", trouble="other")
    others = [
        strange(2 * n * HOUR, f"b{n}", **{**plain, **more}, caller=f"address:203.0.{n}.9", trouble="other")
        for n in (1, 2)
    ]
    assert len(incidents_of([first, *others])[1]) == told


def test_what_a_flood_fills_and_what_that_fills_are_one_incident_in_any_cut() -> None:
    first, second = worked_off(8 * MINUTE, 40, app="app-1"), worked_off(15 * MINUTE, 40, app="app-2")
    rows = [*flood(), *first, *({**row, "invocation_id": f"c{n}"} for n, row in enumerate(second))]
    whole, cut = Watched(), Watched()
    whole.advance(rows, END)
    for begin in range(0, len(rows), 7):
        cut.advance(rows[begin : begin + 7], rows[begin]["at"])
        cut.restart()
    cut.advance([], END)
    assert sorted(whole.told[-1]["apps"]) == ["app-0", "app-1", "app-2"]
    assert whole.told[-1] == {**cut.told[-1], "revision": whole.told[-1]["revision"]}


@pytest.mark.parametrize(
    "knew",
    [[0, 1, 2, 3, 5], [0, 1, 2, 3, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8]],
    ids=["who joined", "and as what", "and from where"],
)
def test_a_storm_that_an_earlier_version_saved_goes_on(knew: list[int]) -> None:
    watched = Watched()
    watched.advance([in_app(n % 2, n * MINUTE, f"i{n}") for n in range(4)], 4 * MINUTE)
    tables = watched.fold.snapshot()
    saved = [json.loads(text) for text in tables["stories"].column("story").to_pylist()]
    assert [len(one) for story in saved for one in story.get("joined", [])] == [10]
    for story in saved:
        story["joined"] = [[one[k] for k in knew] for one in story.get("joined", [])]
    place = tables["stories"].schema.get_field_index("story")
    tables["stories"] = tables["stories"].set_column(place, "story", [[json.dumps(story) for story in saved]])
    watched.fold = Incidents(OPENS, "v1")
    watched.fold.restore(tables)
    watched.advance([in_app(2, 6 * MINUTE, "i4"), in_app(1, 7 * MINUTE, "late", late=True)], END)
    assert len({row["incident_id"] for row in watched.told}) == 1
    assert sorted(watched.told[-1]["apps"]) == ["app-0", "app-1", "app-2"]


def test_a_late_run_amends_the_flood_that_its_queue_is_busy_with() -> None:
    watched = Watched()
    watched.advance([*flood(), *worked_off(8 * MINUTE, 40, app="app-1")], HOUR)
    (late,) = worked_off(9 * MINUTE, 1, app="app-1", late=True)
    watched.advance([{**late, "invocation_id": "late"}], 2 * HOUR)
    watched.advance([], END)
    assert len({row["incident_id"] for row in watched.told}) == 1
    assert watched.told[-1]["invocation_ids"][-1] == "late"


def newcomers(count: int, every: int, **fields: Any) -> list[dict[str, Any]]:
    """Callers who are new at a function, four calls each, one caller after the other."""
    return [
        strange(
            number * every + call * SECOND, f"n{number}-{call}", caller=f"address:198.51.{number}.9",
            pair_age_us=call * SECOND, **fields,
        )
        for number in range(count)
        for call in range(4)
    ]  # fmt: skip


def test_callers_who_are_new_at_a_function_one_after_the_other_are_one_incident() -> None:
    verdicts, (incident,) = incidents_of(newcomers(5, 20 * MINUTE))
    assert incident["invocations"] == 20
    assert len(incident["callers"]) == 5
    assert "and 4 others" in incident["title"]
    assert {row["incident_id"] for row in verdicts} == {incident["incident_id"]}


def test_newcomers_are_one_incident_also_where_a_call_opens_it_by_the_load_that_they_make_together() -> None:
    events = newcomers(5, MINUTE)
    # the first call of each is a little strange, and its others meet a function that has become busy
    events = [
        {**event, "score": 3.0} if event["invocation_id"].endswith("-0") else {**event, "by_caller": False}
        for event in events
    ]
    _, (incident,) = incidents_of(events)
    assert incident["invocations"] == 20


@pytest.mark.parametrize(
    ("every", "fields"),
    [(40 * MINUTE, {}), (MINUTE, {"pair_age_us": 30 * HOUR})],
    ids=["long after one another", "known there"],
)
def test_callers_strange_at_a_function_are_incidents_of_their_own(every: int, fields: dict[str, Any]) -> None:
    events = [{**event, **fields} for event in newcomers(3, every)]
    assert len(incidents_of(events)[1]) == 3


@pytest.mark.parametrize("whose", ["function", "caller"])
def test_what_came_in_time_joins_no_incident_of_what_came_late(whose: str) -> None:
    if whose == "function":
        late, punctual = ([in_app(app, n * SECOND, f"{app}-{n}") for n in range(6)] for app in (0, 1))
    else:
        events = newcomers(2, MINUTE)
        late, punctual = events[:4], events[4:]
    watched = Watched()
    watched.advance([{**event, "late": True} for event in late], HOUR)
    watched.advance(punctual, 2 * HOUR)
    watched.advance([], END)
    _, (alone,) = incidents_of(punctual)
    told = {incident["incident_id"]: incident for incident in watched.told}
    assert len(told) == 2
    assert told[alone["incident_id"]]["invocation_ids"] == alone["invocation_ids"]


@pytest.mark.parametrize(
    ("every", "callers", "told"),
    [(20 * MINUTE, ["address:198.51.100.9"], 1), (2 * HOUR, ["address:198.51.100.9"], 3),
     (20 * MINUTE, ["address:198.51.100.9", "address:203.0.113.9", "address:192.0.2.9"], 3), (20 * MINUTE, [""], 3)],
    ids=["one after the other", "hours after one another", "found by several", "found by nobody in particular"],
)  # fmt: skip
def test_functions_never_seen_before_that_one_caller_finds_are_one_incident(
    every: int, callers: list[str], told: int
) -> None:
    found = {"by_caller": False, "trouble": "structure", "feature": "new_function"}
    events = [
        in_app(app, app * every + n * SECOND, f"{app}-{n}", caller=callers[app % len(callers)], **found)
        for app in range(3)
        for n in range(5)
    ]
    assert len(incidents_of(events)[1]) == told


@pytest.mark.parametrize(("age", "told"), [(0, 1), (30 * HOUR, 2)], ids=["new there, too", "known there"])
def test_who_finds_a_function_never_seen_before_and_is_new_at_another_within_the_hour_is_one_incident(
    age: int, told: int
) -> None:
    found = {"by_caller": False, "trouble": "structure", "feature": "new_function"}
    caller = {"caller": "address:198.51.100.9"}
    first = [in_app(0, n * SECOND, f"a{n}", **found, **caller) for n in range(5)]
    then = [strange(20 * MINUTE + n * SECOND, f"b{n}", app="app-1", pair_age_us=age, **caller) for n in range(5)]
    assert len(incidents_of([*first, *then])[1]) == told


VISIT = {"feature": "country_rare_here", "country": "France"}


@pytest.mark.parametrize(
    ("every", "fields", "told"),
    [
        (20 * HOUR, VISIT, 1),
        (29 * HOUR, VISIT, 3),
        (HOUR, {**VISIT, "pair_age_us": 30 * HOUR}, 3),
        (HOUR, {**VISIT, "feature": "caller_pace"}, 3),
        (HOUR, {**VISIT, "feature": "caller_new"}, 3),
    ],
    ids=["within a day of one another", "days apart", "known there", "who do more", "whose country is no news"],
)
def test_visitors_from_a_country_that_is_news_are_one_incident(every: int, fields: dict[str, Any], told: int) -> None:
    events = [{**event, "function": f"F{event['invocation_id'][1]}", **fields} for event in newcomers(3, every)]
    assert len(incidents_of(events)[1]) == told


def test_visitors_from_two_countries_are_two_incidents_also_after_a_restart() -> None:
    events = [
        {**event, **VISIT, "function": f"F{n // 4}", "country": ("France", "Peru")[n // 4 % 2]}
        for n, event in enumerate(newcomers(6, HOUR))
    ]
    watched = Watched()
    for event in events:
        watched.advance([event], event["at"])
        watched.restart()
    watched.advance([], END)
    told = {row["incident_id"]: row for row in watched.told}.values()
    assert sorted((row["invocations"], len(row["callers"])) for row in told) == [(12, 3), (12, 3)]


def test_newcomers_at_different_functions_are_incidents_of_their_own() -> None:
    events = [{**event, "function": f"F{event['invocation_id'][1]}"} for event in newcomers(3, MINUTE)]
    assert len(incidents_of(events)[1]) == 3


def test_what_is_a_little_strange_elsewhere_is_not_drawn_into_an_incident() -> None:
    verdicts, (incident,) = incidents_of([in_app(n % 2, n * MINUTE, f"i{n}", score=12.0 - n % 2 * 9) for n in range(8)])
    assert incident["apps"] == ["app-0"]
    assert [row["anomalous"] for row in verdicts] == [True, False] * 4


def test_what_opens_elsewhere_long_after_is_an_incident_of_its_own() -> None:
    one = [in_app(0, n * 10 * MINUTE, f"a{n}") for n in range(12)]
    _, together = incidents_of([*one, in_app(1, 9 * MINUTE, "b"), in_app(2, 18 * MINUTE, "c")])
    _, apart = incidents_of([*one, in_app(1, 11 * MINUTE, "b")])
    assert [incident["apps"] for incident in together] == [["app-0", "app-1", "app-2"]]
    assert [incident["apps"] for incident in apart] == [["app-0"], ["app-1"]]


@pytest.mark.parametrize("other", [{"trouble": "long"}, {"by_caller": True, "caller": "user:a"}])
def test_other_trouble_at_the_same_time_is_an_incident_of_its_own(other: dict[str, Any]) -> None:
    _, found = incidents_of([in_app(0, 0, "a"), in_app(1, MINUTE, "b", **other)])
    assert [incident["apps"] for incident in found] == [["app-0"], ["app-1"]]


def test_functions_that_are_new_in_two_apps_are_two_incidents() -> None:
    _, found = incidents_of([in_app(n, n * MINUTE, f"i{n}", trouble="structure") for n in range(2)])
    assert [incident["apps"] for incident in found] == [["app-0"], ["app-1"]]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_row_amends_the_storm_that_its_app_is_part_of(restarts: bool) -> None:
    watched = Watched()
    watched.advance([in_app(n % 2, n * MINUTE, f"i{n}") for n in range(4)], HOUR)
    for hour in (1, 8):
        if restarts:
            watched.restart()
        watched.advance([in_app(1, 90 * SECOND, f"late-{hour}", late=True)], hour * HOUR)
    watched.advance([], END)
    assert len({row["incident_id"] for row in watched.told}) == 1
    assert watched.told[-1]["invocation_ids"] == ["i0", "i1", "i2", "i3", "late-1", "late-8"]
    revisions(watched.told)


def test_a_crowd_in_one_function_is_one_incident() -> None:
    events = [
        strange(
            *(n * SECOND, f"i{n}"),
            caller=f"address:198.51.100.{n}",
            by_caller=False,
            crowd=2,
            trouble="load",
            feature="pace_minutes",
        )
        for n in range(100)
    ]
    _, (incident,) = incidents_of(events)
    assert incident["invocations"] == 100
    assert len(incident["callers"]) == 50


def test_who_carries_the_surprise_comes_before_those_who_were_there() -> None:
    newcomer = [strange(n * SECOND, f"n{n}", pair_age_us=n * SECOND) for n in range(5)]
    bystanders = [
        strange(
            *(10 * SECOND + n * SECOND, f"b{n}"), caller="user:u-1", caller_source="user", by_caller=False,
            trouble="slow", feature="latency_shift", pair_age_us=90 * 24 * HOUR,
        )
        for n in range(30)
    ]  # fmt: skip
    _, (incident,) = incidents_of([*newcomer, *bystanders])
    assert incident["callers"] == ["address:203.0.113.7", "user:u-1"]
    # but a few calls that point at their caller don't outweigh hundreds
    many = [{**row, "at": 10 * SECOND + n * SECOND, "invocation_id": f"m{n}"} for n, row in enumerate(bystanders * 3)]
    _, (incident,) = incidents_of([*newcomer, *many])
    assert incident["callers"] == ["user:u-1", "address:203.0.113.7"]


def test_how_long_the_first_caller_was_known_is_told_in_any_cut() -> None:
    rows = [strange(n * MINUTE, f"i{n}", pair_age_us=n * MINUTE) for n in range(20)]
    whole, cut = Incidents(OPENS, "v1"), Incidents(OPENS, "v1")
    whole.advance(raised(rows), END)
    for row in rows:
        cut.advance(raised([row]), row["at"] + EPOCH_US)
    cut.advance(raised([]), END)
    (told,), (again,) = ([row for row in fold.raised().to_pylist() if row["closed"]] for fold in (whole, cut))  # type: ignore[union-attr]
    assert told == again
    assert "never seen there before" in told["summary"]


@pytest.mark.parametrize(
    ("feature", "values", "usual", "surprises", "told"),
    [
        # all of them as surprising as can be
        ("newcomers", [3, 20, 180, 280, 40, 2, 1, 1, 1], [0] * 9, [6] * 9, (280.0, 0.0)),
        # surprise hangs on more than the length of a run: the longest of those that are strange enough is told
        ("duration_record", [900, 11e3, 66e3, 8e3] + [900] * 5, [300] * 9, [2, 6, 4, 5] + [2] * 5, (66e3, 300.0)),
        # what is far beyond the usual by night is more than what is hardly beyond it by day
        ("pace_hour", [17, 60, 20, 3, 3, 3, 3, 3, 3], [1, 50, 1] + [3] * 6, [4, 6, 5] + [1] * 6, (20.0, 1.0)),
        # nothing was strange enough: the strangest
        ("pace_hour", [17, 60, 20, 3, 3, 3, 3, 3, 3], [1, 50, 1] + [3] * 6, [2, 1, 1] + [1] * 6, (17.0, 1.0)),
        # of these the smaller is the stranger one
        ("caller_hours", [0.04, 0.0, 0.02] + [0.05] * 6, [0.1] * 9, [3, 6, 4] + [3] * 6, (0.0, 0.1)),
    ],
)  # fmt: skip
def test_of_what_is_strange_enough_the_most_is_told_in_any_cut(
    feature: str, values: list[float], usual: list[float], surprises: list[float], told: tuple[float, float]
) -> None:
    rows = [strange(n * MINUTE, f"i{n}", feature=feature, trouble="load") for n in range(9)]
    batch = raised(rows)
    for name, column in (("value", values), ("typical", usual), ("surprise", surprises)):
        numbers = np.zeros((9, len(FEATURE_NAMES)))
        numbers[:, FEATURE_NAMES.index(feature)] = column
        batch = batch.set_column(RAISED.names.index(name), RAISED.field(name), matrix(numbers))
    whole, cut = Incidents(OPENS, "v1"), Incidents(OPENS, "v1")
    whole.advance(batch, END)
    for n in range(9):
        cut.advance(batch.slice(n, 1), EPOCH_US + n * MINUTE)
    cut.advance(batch.slice(0, 0), END)
    for fold in (whole, cut):
        (incident,) = (row for row in fold.raised().to_pylist() if row["closed"])  # type: ignore[union-attr]
        reason = incident["reasons"][0]
        assert (reason["feature"], reason["value"], reason["typical"]) == (feature, *told)


def test_nothing_is_told_of_a_story_that_never_became_strange_enough() -> None:
    verdicts, found = incidents_of([strange(n * MINUTE, f"i{n}", score=OPENS - 0.1) for n in range(9)])
    assert found == []
    assert len(verdicts) == 9
    assert not any(row["anomalous"] or row["incident_id"] for row in verdicts)


RARE = (1e-3,) * len(COHORTS)


def test_what_ordinary_invocations_do_as_often_opens_no_incident_but_may_be_part_of_one() -> None:
    pace: dict[str, Any] = {"feature": "caller_pace"}
    common = [strange(n * MINUTE, f"common{n}", p_value=2e-3, **pace) for n in range(9)]
    assert incidents_of(common, rarer_than=RARE)[1] == []
    _, (incident,) = incidents_of([*common, strange(10 * MINUTE, "rare", p_value=5e-4, **pace)], rarer_than=RARE)
    assert incident["invocation_ids"] == [*(f"common{n}" for n in range(9)), "rare"]
    assert incident["opened"].timestamp() * 1e6 == EPOCH_US + 10 * MINUTE


def test_how_common_something_may_be_depends_on_its_trigger() -> None:
    common = [strange(n * MINUTE, f"common{n}", p_value=5e-3, feature="caller_pace") for n in range(9)]
    for trigger, told in (("http", 1), ("queue", 0)):
        bounds = tuple(1e-2 if cohort == "http" else 1e-3 for cohort in COHORTS)
        assert len(incidents_of([{**one, "trigger": trigger} for one in common], rarer_than=bounds)[1]) == told


def test_that_somebody_is_new_opens_an_incident_only_where_it_is_far_rarer() -> None:
    def told(p_value: float, feature: str = "caller_new_to_function") -> int:
        new = [strange(n * MINUTE, f"new{n}", feature=feature, p_value=p_value) for n in range(6)]
        return len(incidents_of(new, rarer_than=RARE)[1])

    assert told(5e-4) == 0
    assert told(5e-6) == 1
    assert told(5e-4, "caller_pace_here") == 1


def test_merely_new_is_who_was_known_nowhere_and_does_nothing_strange_besides() -> None:
    rows = raised([strange(n * MINUTE, f"new{n}") for n in range(4)])
    value = np.zeros((4, len(FEATURE_NAMES)))
    share = np.zeros_like(value)
    share[:, FEATURE_NAMES.index("caller_new_to_function")] = (1.0, 1.0, 0.5, 0.8)
    share[:, FEATURE_NAMES.index("caller_new")] = (0.0, 0.0, 0.45, 0.0)
    value[:, FEATURE_NAMES.index("caller_new")] = (60.0, 10 * 86_400.0, 60.0, 60.0)
    for name, column in (("share", share), ("value", value)):
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), matrix(column))
    assert story_rows.newcomers(rows).tolist() == [True, False, True, False]


def test_what_led_up_to_an_incident_belongs_to_it() -> None:
    weak = [strange(n * MINUTE, f"weak{n}", score=3.0) for n in range(4)]
    verdicts, (incident,) = incidents_of([*weak, strange(5 * MINUTE, "strong", score=9.0)])
    assert all(row["incident_id"] == incident["incident_id"] for row in verdicts)
    assert incident["score"] == 9.0
    assert incident["opened"].timestamp() * 1e6 == EPOCH_US + 5 * MINUTE
    assert incident["first_event"].timestamp() * 1e6 == EPOCH_US


def test_an_incident_begins_when_its_first_run_began_and_not_when_that_ended() -> None:
    long = [strange(n * MINUTE, f"i{n}", event_time=n * MINUTE - 5 * MINUTE, score=9.0) for n in range(5)]
    _, (incident,) = incidents_of(long)
    assert incident["first_event"].timestamp() * 1e6 == EPOCH_US - 5 * MINUTE
    assert incident["last_event"].timestamp() * 1e6 == EPOCH_US + 4 * MINUTE
    # as what it is known by, its first row's end stays what it was
    _, (short,) = incidents_of([{**row, "event_time": row["at"]} for row in long])
    assert short["incident_id"] == incident["incident_id"]


def test_a_silence_begins_no_earlier_than_it_was_noticed() -> None:
    _, (incident,) = incidents_of([silent(HOUR, "Tick", event_time=0)])
    assert incident["first_event"].timestamp() * 1e6 == EPOCH_US + HOUR


def test_an_incident_counts_by_weight_and_names_at_most_a_thousand() -> None:
    events = [strange(n * SECOND, f"i{n:05d}", item_count=2) for n in range(MAX_IDS + 200)]
    _, (incident,) = incidents_of(events)
    assert incident["invocations"] == 2 * len(events)
    assert incident["invocation_ids"] == [f"i{n:05d}" for n in range(MAX_IDS)]


def test_an_id_depends_on_the_first_event_alone() -> None:
    events = [strange(n * MINUTE, f"i{n}") for n in range(6)]
    _, (whole,) = incidents_of(events)
    _, (short,) = incidents_of(events[:2])
    _, (other,) = incidents_of(events[1:])
    assert whole["incident_id"] == short["incident_id"] != other["incident_id"]


def test_it_is_told_when_it_opens_when_it_has_doubled_and_when_it_closes() -> None:
    fold = Incidents(OPENS, "v1")
    told = []
    for n in range(16):
        fold.advance(raised([strange(n * MINUTE, f"i{n}")]), EPOCH_US + n * MINUTE + 1)
        found = fold.raised()
        told += [] if found is None else found.to_pylist()
    fold.advance(raised([]), END)
    told += fold.raised().to_pylist()  # type: ignore[union-attr]
    assert [(row["revision"], row["closed"]) for row in told] == [(r, False) for r in (1, 2, 3, 4, 5)] + [(5, True)]
    assert len({row["incident_id"] for row in told}) == 1


def test_where_nobody_reads_an_incident_before_it_closes_it_is_told_once_and_in_the_same_words() -> None:
    rows = raised([strange(n * MINUTE, f"i{n}") for n in range(20)])
    whole, once = Incidents(OPENS, "v1"), Incidents(OPENS, "v1", closed_only=True)
    assert whole.advance(rows, END).equals(once.advance(rows, END))
    told, final = whole.raised(), once.raised()
    assert told is not None
    assert final is not None
    assert told.num_rows > 1
    assert final.to_pylist() == told.to_pylist()[-1:]


def test_what_feedback_expects_is_settled_when_an_incident_opens_whoever_reads_it() -> None:
    rows = raised([strange(n * MINUTE, f"i{n}") for n in range(20)])
    kind = incidents_of([strange(0, "i0")])[1][0]["kind"]
    dates = {"first_event": "2026-01-01T00:00:00Z", "last_event": "2026-01-02T00:00:00Z"}
    said = Feedback(
        "expected", "2026-01-01T00:00:00Z", "ann", kind=kind, **dates, callers=("address:203.0.113.1",), id="F-1"
    )
    told = []
    for closed_only in (False, True):
        fold = Incidents(OPENS, "v1", (said,), closed_only=closed_only)
        fold.advance(rows, END)
        told.append(fold.raised())
    assert told[0] is not None
    assert told[0].equals(told[1])


def test_it_closes_when_its_gap_has_passed_and_says_when_that_is() -> None:
    fold = Incidents(OPENS, "v1")
    fold.advance(raised([strange(0, "a")]), EPOCH_US + 1)
    due = fold.due()
    assert due == EPOCH_US + CALLER_GAP_US + 1
    fold.advance(raised([]), due - 1)
    assert fold.raised() is None
    fold.advance(raised([]), due)
    assert fold.raised()["closed"].to_pylist() == [True]  # type: ignore[index]
    assert fold.due() is None


class Watched:
    """An incident timeline that is asked again and again, and all that it told."""

    def __init__(self, opens_at: float = OPENS) -> None:
        self.fold = Incidents(opens_at, "v1")
        self.told: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []

    def advance(self, records: list[dict[str, Any]], watermark: int) -> None:
        self.verdicts += self.fold.advance(raised(records), min(EPOCH_US + watermark, END)).to_pylist()
        found = self.fold.raised()
        self.told += [] if found is None else [telling(row) for row in found.to_pylist()]

    def restart(self) -> None:
        tables, self.fold = self.fold.snapshot(), Incidents(self.fold._opens_at, "v1")
        self.fold.restore(tables)

    def tellings_of(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self.told if row["incident_id"] == name]


def revisions(told: list[dict[str, Any]]) -> list[int]:
    """Of one incident, which must grow from telling to telling."""
    found = [row["revision"] for row in told]
    assert found == sorted(set(found))
    return found


@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_row_amends_an_open_incident_and_is_told_as_late(restarts: bool) -> None:
    watched = Watched()
    watched.advance([strange(n * MINUTE, f"i{n}") for n in range(4)], HOUR)
    if restarts:
        watched.restart()
    watched.advance([strange(90 * SECOND, "late", late=True)], HOUR)
    watched.advance([], END)
    first, amended, last = watched.told
    assert first["incident_id"] == amended["incident_id"] == last["incident_id"]
    assert amended["invocation_ids"] == ["i0", "i1", "i2", "i3", "late"]
    assert [row["closed"] for row in watched.told] == [False, False, True]
    revisions(watched.told)
    (verdict,) = (row for row in watched.verdicts if row["invocation_id"] == "late")
    assert (verdict["late"], verdict["anomalous"], verdict["incident_id"]) == (True, True, first["incident_id"])


@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_row_amends_an_incident_whose_end_was_told_under_its_id(restarts: bool) -> None:
    watched = Watched()
    watched.advance([strange(n * MINUTE, f"i{n}") for n in range(3)], HOUR)
    over = CALLER_GAP_US + HOUR
    watched.advance([strange(over, "other", caller="address:198.51.100.1")], over + MINUTE)
    if restarts:
        watched.restart()
    watched.advance([strange(-MINUTE, "late", late=True)], over + HOUR)
    watched.advance([strange(-MINUTE, "later", late=True)], over + HOUR + MINUTE)
    watched.advance([], over + 2 * HOUR)
    mine = watched.tellings_of(watched.told[0]["incident_id"])
    assert [row["closed"] for row in mine] == [False, True, False, False, True]
    assert mine[-1]["invocation_ids"] == ["i0", "i1", "i2", "late", "later"]
    assert mine[-1]["first_event"].timestamp() * 1e6 == EPOCH_US - MINUTE
    revisions(mine)


def test_late_rows_that_belong_to_no_incident_make_one_of_their_own() -> None:
    watched = Watched()
    over = CALLER_GAP_US + HOUR
    watched.advance([strange(over, "other", caller="address:198.51.100.1")], over + MINUTE)
    for number in range(3):
        late = [strange(n * MINUTE, f"late-{number}-{n}", score=7.0, late=True) for n in range(3)]
        watched.advance(late, over + 2 * MINUTE + number)
    watched.advance([], over + HOUR)
    other, *mine = watched.told
    assert {row["incident_id"] for row in mine} != {other["incident_id"]}
    assert [row["closed"] for row in mine] == [False, False, True]
    assert len(mine[-1]["invocation_ids"]) == 9
    revisions(mine)


def test_late_rows_neither_open_nor_prolong_what_came_in_time() -> None:
    weak = {"score": 7.0}
    watched = Watched()
    watched.advance([strange(0, "a", **weak)], MINUTE)
    watched.advance([strange(-n * SECOND, f"late-{n}", late=True, **weak) for n in range(10)], MINUTE)
    watched.advance([strange(CALLER_GAP_US - MINUTE, "b", **weak)], CALLER_GAP_US)
    watched.advance([], END)
    assert {row["invocation_id"]: row["anomalous"] for row in watched.verdicts} == {
        "a": False,
        "b": False,
        **{f"late-{n}": True for n in range(10)},
    }


def test_of_the_incidents_that_ended_the_last_may_be_amended() -> None:
    watched = Watched()
    for number in range(KEPT_CLOSED + 1):
        watched.advance([strange(number * SECOND, f"i{number}", caller=f"user:{number}")], number * SECOND + 1)
    over = CALLER_GAP_US + HOUR
    watched.advance([], over)
    for number in (0, 1):
        watched.advance([strange(MINUTE, f"late-{number}", caller=f"user:{number}", late=True)], over)
    found = {row["invocation_id"]: row["incident_id"] for row in watched.verdicts}
    assert found["late-0"] != found["i0"]
    assert found["late-1"] == found["i1"]


#: a strange call: minutes, minutes that it comes late, who, where, and how strange
EVENTS = st.tuples(
    st.integers(0, 100) | st.integers(0, 2_000),
    st.sampled_from([0, 0, 0, 5, 300, 3_000]),
    st.sampled_from(["user:a", "user:b", ""]),
    st.sampled_from(["Pay", "Get", "Put"]),
    st.sampled_from([3.0, 7.0, 12.0]),
    st.sampled_from(["failing", "slow", "load", "other"]),
    st.booleans(),
    st.sampled_from([0, 0, 1, 2]),
)


@given(events=st.lists(EVENTS, max_size=40), restarts=st.booleans())
@settings(max_examples=60, deadline=None)
def test_verdicts_and_incidents_of_what_came_in_time_are_those_without_the_late(
    events: list[tuple[int, int, str, str, float, str, bool, int]], restarts: bool
) -> None:
    whole, alone, reached = Watched(), Watched(), 0
    late = set()
    for number, (minute, delay, caller, function, score, trouble, by_caller, crowd) in enumerate(
        sorted(events, key=lambda event: event[0] + event[1])
    ):
        at = minute * MINUTE
        about = {"caller": caller, "function": function, "score": score, "trouble": trouble, "crowd": crowd}
        about |= {"by_caller": by_caller and crowd < 2, "late": at < reached}
        about |= {"app": "bank" if function == "Put" else "shop"}
        row = strange(at, f"i{number}", **about)
        reached = max(reached, at + delay * MINUTE)
        if row["late"]:
            late.add(row["invocation_id"])
        for watched in (whole, alone):
            watched.advance([] if watched is alone and row["late"] else [row], reached)
        if restarts:
            whole.restart()
    for watched in (whole, alone):
        watched.advance([], END)

    def verdicts(watched: Watched) -> list[dict[str, Any]]:
        return sorted((v for v in watched.verdicts if not v["late"]), key=lambda v: v["invocation_id"])

    assert verdicts(whole) == verdicts(alone)
    assert len(whole.verdicts) == len(events)
    names = {row["incident_id"] for row in alone.told}
    assert {row["incident_id"] for row in whole.told} - names == {
        row["incident_id"] for row in whole.told if late.issuperset(row["invocation_ids"])
    }
    for name in names:
        mine, theirs = whole.tellings_of(name), alone.tellings_of(name)
        revisions(mine)
        assert mine[-1]["closed"]
        if late.isdisjoint(mine[-1]["invocation_ids"]):
            assert mine == theirs
        else:
            assert [i for i in mine[-1]["invocation_ids"] if i not in late] == theirs[-1]["invocation_ids"]
            assert mine[-1]["opened"] == theirs[-1]["opened"]


@pytest.mark.parametrize("most_waiting", [6, 10_000])
@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, 40), max_size=4).map(sorted))
@settings(max_examples=15)
def test_every_row_is_one_verdict_however_the_rows_are_cut(most_waiting: int, seed: int, cuts: list[int]) -> None:
    generator = random.Random(seed)
    at, events = 0, []
    for n in range(40):
        at += generator.randrange(1, generator.choice([2 * HOUR, 10 * MINUTE]))
        by_caller = generator.random() < 0.6
        function = generator.randrange(3)
        events.append(
            strange(
                *(at, f"i{n}"),
                caller=f"address:203.0.113.{generator.randrange(4)}",
                app=f"app-{function}",
                function=f"F{function}",
                by_caller=by_caller,
                trouble=generator.choice(["failing", "slow", "other"]),
                score=generator.uniform(2.0, 8.0),
            )
        )
    whole, incidents = incidents_of(events, most_waiting=most_waiting)
    assert sorted(row["invocation_id"] for row in whole) == sorted(event["invocation_id"] for event in events)
    fold, verdicts, told = Incidents(OPENS, "v1", most_waiting=most_waiting), [], []
    start = 0
    for stop in [*cuts, len(events)]:
        mark = END if stop == len(events) else EPOCH_US + events[stop]["at"]
        verdicts += fold.advance(raised(events[start:stop]), mark).to_pylist() if stop > start else []
        found = fold.raised() if stop > start else None
        told += [] if found is None else [row for row in found.to_pylist() if row["closed"]]
        start = max(start, stop)
        if start == len(events):
            break
    assert sorted(verdicts, key=lambda row: row["at"]) == whole
    assert sorted(told, key=lambda row: row["first_event"]) == incidents


def test_a_silent_tenant_is_one_incident() -> None:
    silences = [silent(n * MINUTE, f"F{n}", app=f"app-{n % 4}") for n in range(12)]
    verdicts, (incident,) = incidents_of(silences)
    # silence has no invocations, so there is nothing to give a verdict on
    assert verdicts == []
    assert incident["invocations"] == 0
    assert incident["invocation_ids"] == []
    assert incident["apps"] == [f"app-{n}" for n in range(4)]
    assert "ilen" in incident["title"]


def test_an_app_that_was_heard_of_after_another_was_missed_fell_silent_for_a_reason_of_its_own() -> None:
    first = silent(HOUR, "Tick")
    with_it, later = (
        silent(HOUR + HOUR // 2, "Tock", app="other", since=EPOCH_US + at) for at in (HOUR, HOUR + MINUTE)
    )
    assert [one["apps"] for one in incidents_of([first, with_it])[1]] == [["other", "shop"]]
    _, found = incidents_of([first, later])
    assert sorted(one["apps"] for one in found) == [["other"], ["shop"]]
    # of one app they are one, the last as much as the first
    _, (one,) = incidents_of([first, {**later, "app": "shop"}])
    assert one["functions"] == ["Tick", "Tock"]


@pytest.mark.parametrize(("apart", "told"), [(90 * MINUTE, 1), (3 * HOUR, 4)], ids=["hourly", "unrelated"])
def test_jobs_of_a_night_that_are_missed_one_after_the_other_are_one_incident(apart: int, told: int) -> None:
    silences = [silent(n * apart, f"Night{n}") for n in range(4)]
    _, found = incidents_of([*silences, tick(4 * apart)])
    assert len(found) == told
    assert sum(len(incident["functions"]) for incident in found) == 4


def test_what_falls_silent_again_is_told_since_it_spoke_last() -> None:
    _, (incident,) = incidents_of([silent(HOUR, "Tick"), silent(3 * HOUR, "Tick")])
    _, (once,) = incidents_of([silent(3 * HOUR, "Tick")])
    assert incident["summary"] == once["summary"]


def test_of_an_app_that_is_silent_as_a_whole_its_functions_are_not_counted_once_more() -> None:
    _, (alone,) = incidents_of([silent(HOUR, "")])
    _, (both,) = incidents_of([silent(HOUR, ""), silent(HOUR + MINUTE, "Tick"), silent(HOUR + MINUTE, "Tock")])
    assert both["kind"] == alone["kind"] == "silence-app"
    assert (alone["functions"], both["functions"]) == ([], ["Tick", "Tock"])
    assert alone["summary"].split("where")[1] == both["summary"].split("where")[1]
    # the functions are heard of one by one, the app with the first of them
    back = [speech(3 * HOUR, ""), speech(3 * HOUR, "Tick"), speech(5 * HOUR, "Tock")]
    _, (over,) = incidents_of([silent(HOUR, ""), silent(HOUR, "Tick"), silent(HOUR, "Tock"), *back])
    assert " for 3 hours since " in over["summary"]


def test_a_silence_says_when_it_ended_and_how_long_it_was() -> None:
    # silent since 00:00, told at 01:00
    _, (incident,) = incidents_of([silent(HOUR, "Tick"), speech(3 * HOUR, "Tick")])
    assert incident["title"].endswith(": no run for 3 hours")
    assert "for 3 hours since 00:00 UTC" in incident["summary"]
    assert "about 36 missing" in incident["summary"]
    assert incident["last_event"] - incident["first_event"] == timedelta(hours=2)


def test_calls_missing_are_added_up_of_functions_that_fell_silent_one_after_the_other() -> None:
    # Tick was silent from 00:00 to 02:00, Tock from 01:00 to 05:00, with 12 and 30 calls an hour
    tock = silent(2 * HOUR, "Tock", per_hour=30.0)
    events = [silent(HOUR, "Tick"), speech(2 * HOUR, "Tick"), tock]
    _, (goes_on,) = incidents_of([silent(HOUR, "Tick"), tock])
    assert "No run of Tick and Tock in shop since 00:00 UTC" in goes_on["summary"]
    assert "42 an hour are usual: about 54 missing" in goes_on["summary"]
    _, (one_is_back,) = incidents_of(events)
    assert "No run of Tock in shop since 01:00 UTC" in one_is_back["summary"]
    assert "30 an hour are usual: about 30 missing" in one_is_back["summary"]
    _, (over,) = incidents_of([*events, speech(5 * HOUR, "Tock")])
    assert "No run of Tick and Tock in shop for up to 4 hours, one after the other since 00:00 UTC" in over["summary"]
    assert "about 144 missing" in over["summary"]
    assert over["reasons"][0]["text"] == "about 144 calls missing"


@pytest.mark.parametrize(
    "after",
    [[speech(3 * HOUR, "Other")], [speech(3 * HOUR, "Tick", app="other")], [speech(29 * HOUR, "Tick")],
     [speech(2 * HOUR, "Tick"), silent(4 * HOUR, "Tick")], [silent(2 * HOUR, "Tock"), speech(3 * HOUR, "Tick")]],
    ids=["another function", "another app", "long after", "silent again", "another is still silent"],
)  # fmt: skip
def test_a_silence_goes_on_until_all_that_was_silent_is_heard_of(after: list[dict[str, Any]]) -> None:
    _, found = incidents_of([silent(HOUR, "Tick"), *after])
    assert ["so far" in incident["summary"] for incident in found] == [True]


def test_the_end_of_a_silence_is_told_at_once_and_alike_wherever_batches_are_cut() -> None:
    events = [
        *(silent(HOUR, "Tick"), speech(2 * HOUR, "Tick"), silent(4 * HOUR, "Tick"), silent(5 * HOUR, "Tock")),
        *(speech(6 * HOUR, "Tock"), speech(7 * HOUR, "Tick")),
    ]
    _, whole = incidents_of(events)
    fold = Incidents(OPENS, "v1")
    told = []
    for event in events:
        fold.advance(raised([event]), event["at"] + EPOCH_US)
        told.append([] if (now := fold.raised()) is None else now.to_pylist())
    assert [[one["closed"] for one in now] for now in told] == [[False], [False], [False], [], [], [False]]
    assert "so far" not in told[1][0]["summary"]
    assert "so far" in told[2][0]["summary"]
    fold.advance(raised([]), END)
    found = fold.raised()
    assert found is not None
    assert found.to_pylist() == whole


@pytest.mark.parametrize(("reach", "told"), [(2 * HOUR, 1), (HOUR - 1, 0)], ids=["logs go on", "logs end before"])
def test_silence_at_the_end_counts_only_as_far_as_the_logs_reach(reach: int, told: int) -> None:
    _, found = incidents_of([silent(HOUR, "Tick", horizon=True), tick(reach)])
    assert len(found) == told


def test_a_tick_of_any_shard_tells_how_far_the_logs_reach() -> None:
    _, found = incidents_of([tick(MINUTE), silent(HOUR, "Tick", horizon=True), tick(3 * HOUR), tick(2 * MINUTE)])
    assert len(found) == 1


def test_of_very_many_that_wait_the_first_are_let_go_and_the_story_opens_without_them() -> None:
    fold = Incidents(OPENS, "v1", most_waiting=5)
    given = []
    for n in range(12):
        event = strange(n * SECOND, f"i{n}", score=4.0 if n < 11 else 12.0)
        given += fold.advance(raised([event]), EPOCH_US + (n + 1) * SECOND).to_pylist()
        assert len(fold.snapshot()["in_time.waits"]) <= 10
    told = fold.raised().to_pylist()[0]
    assert told["invocation_ids"] == ["i6", "i7", "i8", "i9", "i10", "i11"]
    assert {row["invocation_id"] for row in given if row["anomalous"]} == set(told["invocation_ids"])
    assert len(given) == 12


def test_stories_that_give_way_to_others_are_forgotten() -> None:
    fold = Incidents(OPENS, "v1")
    for part in range(10):
        events = [
            strange(n, f"i{n}", score=3.0, caller=f"address:{n}", function=f"F{n}")
            for n in range(part * 600, (part + 1) * 600)
        ]
        fold.advance(raised(events), EPOCH_US + (part + 1) * 600)
    assert fold.snapshot()["stories"].num_rows == OPEN_STORIES


def test_what_waited_counts_once_its_story_opens_also_after_a_restart() -> None:
    events = [strange(n * MINUTE, f"i{n}", score=4.0, item_count=1 + n, function=f"Get{n}") for n in range(3)]
    last = strange(5 * MINUTE, "last")
    whole = Incidents(OPENS, "v1")
    whole.advance(raised([*events, last]), END)
    cut = Incidents(OPENS, "v1")
    for event in events:
        assert cut.advance(raised([event]), event["at"] + EPOCH_US + 1).num_rows == 0
        begun = Incidents(OPENS, "v1")
        begun.restore(cut.snapshot())
        cut = begun
    verdicts = cut.advance(raised([last]), END)
    assert [row["invocation_id"] for row in verdicts.to_pylist()] == ["i0", "i1", "i2", "last"]
    assert cut.raised() == whole.raised()
    (told,) = [row for row in whole.raised().to_pylist() if row["closed"]]  # type: ignore[union-attr]
    assert (told["invocations"], len(told["functions"])) == (1 + 2 + 3 + 1, 4)


def failing(at: int, invocation_id: str, **more: Any) -> dict[str, Any]:
    """A failure of a function that a version may be to blame for."""
    return strange(at, invocation_id, by_caller=False, trouble="failing", feature="failure_burst", **more)


def test_what_began_before_a_new_version_is_not_laid_to_it() -> None:
    deployed = [failing(n * MINUTE, f"v{n}", deployed_us=n * MINUTE + SECOND) for n in range(20)]
    before = [failing((n - 20) * MINUTE, f"b{n}", deployed_us=-1) for n in range(20)]
    assert [one["kind"] for one in incidents_of(deployed)[1]] == ["bad-deployment"]
    assert [one["kind"] for one in incidents_of(before[-1:] + deployed)[1]] == ["bad-deployment"]
    assert [one["kind"] for one in incidents_of(before + deployed)[1]] == ["failure-burst"]


@pytest.mark.parametrize(
    ("began", "kind"), [(2, "bad-deployment"), (-2, "failure-burst")], ids=["after they were", "before they were"]
)
def test_hosts_that_are_known_to_be_replaced_minutes_later_are_blamed_for_what_began_after_they_were(
    began: int, kind: str
) -> None:
    # replaced at minute 0, known from minute 6 on
    rows = [failing(n * MINUTE, f"h{n}", deployed_us=-1 if n < 6 else BY_HOSTS - n * MINUTE) for n in range(began, 20)]
    (incident,) = incidents_of(rows)[1]
    assert incident["kind"] == kind
    assert ("From 2 minutes after all of its hosts were replaced on: " in incident["summary"]) is (began > 0)


def test_a_flood_that_a_few_calls_follow_for_hours_is_told_by_the_minutes_in_which_it_came() -> None:
    flood = [strange(n * SECOND, f"i{n}") for n in range(600)]
    tail = [strange(n * HOUR, f"t{n}") for n in range(1, 12)]
    _, (incident,) = incidents_of(flood + tail)
    assert "611 calls in 11 hours, most of them within 10 minutes, to" in incident["summary"]
    _, (incident,) = incidents_of(flood[::60] + tail)
    assert "most of them" not in incident["summary"]


def test_statuses_of_sampled_logs_are_counted_by_weight_as_refusals_are() -> None:
    found = {"feature": "caller_client_errors", "status": 404, "item_count": 4}
    _, (incident,) = incidents_of([strange(n * SECOND, f"i{n}", **found) for n in range(10)])
    assert "40 of them refused" in incident["summary"]
    assert "(40 with 404)" in incident["summary"]


def test_a_function_that_training_knew_is_not_called_new_beside_one_that_is() -> None:
    bought = [strange(n * SECOND, f"b{n}", function="BuyItem", score=30.0) for n in range(5)]
    gifts = [strange((9 + n) * SECOND, f"g{n}", function="GiftItem", feature="new_function") for n in range(40)]
    _, (incident,) = incidents_of([*bought, *gifts])
    assert incident["kind"] == "new-function"
    assert "New function: GiftItem in shop" in incident["title"]


def test_functions_that_fell_silent_an_hour_apart_are_not_told_as_silent_alike() -> None:
    silences = [silent(HOUR, "Tick"), silent(2 * HOUR, "Tock")]
    _, (incident,) = incidents_of([*silences, speech(3 * HOUR, "Tick"), speech(3 * HOUR, "Tock")])
    assert "for 2 to 3 hours since" in incident["summary"]
