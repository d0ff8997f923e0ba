"""Which strange events belong together."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.blame import TROUBLES
from detectors.features import FEATURES, INDEX
from detectors.function_features import matrix
from detectors.order import concat
from detectors.raised import raised_batch
from detectors.stories import CALLER_GAP_US, OPEN_STORIES, STORM_US, VAGUE_GAP_US, Stories, arrived
from models.baselines import US

HOUR = 3600 * US


def columns(events: list[dict[str, Any]]) -> list[Any]:
    """The arguments of ``Stories.tell`` for events that are a minute apart unless they say otherwise."""
    plain: dict[str, Any] = {"function": 1, "caller": 1, "app": 1, "score": 12.0, "trouble": "other"}
    plain |= {"by_caller": True, "crowd": 0, "vague": False, "met": -1, "arrived": -1}
    full = [{**plain, "at": number * 60 * US, **event} for number, event in enumerate(events)]

    def column(name: str, kind: Any) -> Any:
        return np.array([event[name] for event in full], kind)

    return [
        column("at", np.int64),
        *(column(name, np.uint64) for name in ("function", "caller", "app")),
        column("score", np.float64),
        np.array([TROUBLES.index(event["trouble"]) for event in full]),
        column("by_caller", np.bool_),
        column("crowd", np.int8),
        column("vague", np.bool_),
        column("met", np.int64),
        column("arrived", np.int64),
    ]


def told(*events: dict[str, Any], opens_at: float = 6.0) -> tuple[list[int], list[bool]]:
    """Stories of events, and whether they are open."""
    story, opened, _ = Stories(opens_at).tell(*columns(list(events)))
    return story.tolist(), opened.tolist()


def test_the_same_caller_is_followed_from_function_to_function_and_app_to_app() -> None:
    assert told({}, {"function": 2}, {"function": 3, "app": 2})[0] == [0, 0, 0]


def test_what_befalls_a_caller_where_it_did_something_hours_before_is_another_story() -> None:
    outage = {"by_caller": False, "trouble": "failing"}
    assert told({}, {"at": HOUR // 2, **outage})[0] == [0, 0]
    assert told({}, {"at": 4 * HOUR, **outage})[0] == [0, 1]


def test_a_story_is_open_from_the_event_that_was_strange_enough() -> None:
    assert told({"score": 3.0}, {"score": 9.0}, {"score": 3.0})[1] == [False, True, True]


def test_one_event_alone_must_be_stranger_than_one_of_many() -> None:
    assert told(*[{"score": 7.0}] * 6)[1] == [False, False, False, True, True, True]
    assert told({"score": 7.0}, {"score": 11.0})[1] == [False, True]


def weighed(*events: dict[str, Any]) -> list[float]:
    """Scores as they count for opening."""
    return [round(score, 6) for score in Stories(6.0).tell(*columns(list(events)))[2].tolist()]


def test_slowness_counts_in_full_only_when_it_has_lasted() -> None:
    slow = {"score": 10.0, "trouble": "slow", "by_caller": False}
    assert weighed(*[{**slow, "at": n * 9 * 60 * US} for n in range(7)]) == [4.0, 5.2, 6.4, 7.6, 8.8, 10.0, 10.0]
    # a run that takes long is none that passes, and what is very slow is told at once
    assert weighed({**slow, "trouble": "long"}) == [10.0]
    assert told({**slow, "score": 15.0})[1] == [True]


def test_failures_of_one_moment_are_one_batch() -> None:
    failing = {"score": 10.0, "trouble": "failing", "by_caller": False}
    assert weighed(*[{**failing, "at": 0} for _ in range(8)])[-1] == 6.0
    assert weighed(*[{**failing, "at": n * 12 * US} for n in range(8)])[-1] == 10.0


def test_of_many_runs_one_may_hang() -> None:
    hanging = {"score": 10.0, "trouble": "hanging", "by_caller": False}
    assert weighed(*[{**hanging, "at": n * US} for n in range(7)]) == [3.0, 4.4, 5.8, 7.2, 8.6, 10.0, 10.0]
    # where there are few, one is all that there is to see
    assert weighed({**hanging, "trouble": "long"}) == [10.0]
    assert told(hanging, {**hanging, "trouble": "slow"}, {**hanging, "trouble": "long"})[0] == [0, 0, 0]


def test_most_who_visit_once_look_around_and_go() -> None:
    visits = weighed(*[{"score": 10.0, "trouble": "visit", "at": n * US} for n in range(13)])
    assert visits == [*np.round(np.arange(5.6, 10.1, 0.4), 6), 10.0]
    # a new customer makes its first calls somewhere, and as many as it likes
    debut = weighed(*[{"score": 10.0, "trouble": "debut", "at": n * US} for n in range(13)])
    assert debut == [round(score / 5, 6) for score in visits]
    # what else the visitor does is the same story
    assert (
        told({"trouble": "visit"}, {"trouble": "other", "at": 12 * HOUR}, {"trouble": "visit", "at": 24 * HOUR})[0]
        == [0] * 3
    )


def test_a_start_by_hand_or_off_schedule_or_a_function_that_never_was_is_no_freak() -> None:
    assert weighed({"trouble": "schedule", "score": 7.0}) == [7.0]
    assert weighed({"trouble": "structure", "score": 7.0, "by_caller": False}) == [7.0]
    assert weighed({"trouble": "load", "score": 7.0}) == [4.2]


def test_a_long_run_and_calls_that_have_become_slow_are_one_story() -> None:
    assert told({"by_caller": False, "trouble": "long"}, {"by_caller": False, "trouble": "slow"})[0] == [0, 0]


def test_who_comes_from_one_more_place_hours_later_has_come_for_something_else() -> None:
    first = [{"vague": True, "at": n * HOUR // 4} for n in range(17)]
    other = {"vague": True, "caller": 2}
    assert told(*first[:2], {**other, "at": HOUR // 2})[0] == [0, 0, 0]
    assert told(*first, {**other, "at": 4 * HOUR + US})[0] == [*[0] * 17, 1]
    # a flood may draw on more and more places
    assert told(*first, {**other, "at": 4 * HOUR + US, "trouble": "load"})[0] == [0] * 18


def test_what_fails_half_an_hour_after_a_callers_doing_has_another_cause() -> None:
    failing = {"caller": 7, "by_caller": False, "trouble": "failing"}
    assert told({}, {**failing, "at": 20 * 60 * US})[0] == [0, 0]
    assert told({}, {**failing, "at": HOUR})[0] == [0, 1]
    # what a flood leaves behind is slow
    assert told({}, {**SLOWED, "caller": 7, "at": HOUR})[0] == [0, 0]


def test_what_comes_from_a_place_hours_later_is_another_story_unless_it_is_the_same_trouble_in_the_same_app() -> None:
    place, later = {"vague": True, "trouble": "failing"}, 5 * HOUR
    again = {**place, "at": later}
    assert told(place, again)[0] == [0, 0]
    assert told(place, {**again, "function": 2})[0] == [0, 0]
    assert told(place, {**again, "function": 2, "app": 2})[0] == [0, 1]
    assert told(place, {**again, "trouble": "load"})[0] == [0, 1]
    assert told(place, {**again, "trouble": "load", "function": 2, "at": 2 * HOUR})[0] == [0, 0]


def test_another_trouble_of_a_caller_who_has_rested_is_another_story() -> None:
    late, abroad = {"trouble": "pace"}, {"trouble": "other", "function": 2}
    assert told(late, {**abroad, "at": 5 * HOUR})[0] == [0, 0]
    assert told(late, {**abroad, "at": 17 * HOUR})[0] == [0, 1]
    # the same at the same hour of the next day is no news
    assert told(late, {**late, "function": 2, "at": 24 * HOUR})[0] == [0, 0]


def test_what_a_newcomer_does_on_its_second_day_is_its_first_days_story() -> None:
    arrives, hurries = {"trouble": "other", "met": 0}, {"trouble": "pace", "met": 0, "at": 15 * HOUR}
    assert told(arrives, hurries)[0] == [0, 0]
    # who was known there before, or goes on to another function, is told anew
    assert told({**arrives, "at": 12 * HOUR}, {**hurries, "at": 27 * HOUR})[0] == [0, 1]
    assert told(arrives, {**hurries, "function": 2})[0] == [0, 1]
    # but not who came to the app with the story, unless it is another sort of trouble, or another app
    assert told({**arrives, "arrived": 0}, {**hurries, "function": 2, "arrived": 0})[0] == [0, 0]
    for other in ({"trouble": "failing"}, {"trouble": "load"}, {"app": 2}):
        assert told({**arrives, "arrived": 0}, {**hurries, "function": 2, "arrived": 0, **other})[0] == [0, 1]
    # a place ends sooner, but for what came with it
    place = {"vague": True, "at": 20 * HOUR}
    assert told({**arrives, **place, "at": 0}, {**arrives, **place})[0] == [0, 0]
    assert told({**arrives, **place, "at": 0}, {**arrives, **place, "met": -1})[0] == [0, 1]


def test_when_a_caller_came_to_an_app_is_known_by_how_long_ago_that_was() -> None:
    values = np.full((2, len(FEATURES)), -5.0)
    values[:, INDEX["caller_new_to_app"]] = [0.0, 3600.0]
    known = raised_batch({"at": [7 * HOUR] * 2, "value": matrix(values)}, 2)
    # of what raises nothing but a silence nothing is known
    silent = raised_batch({"at": [7 * HOUR]}, 1)
    assert arrived(concat([known, silent])).tolist() == [7 * HOUR, 6 * HOUR, -1]


def test_a_function_that_never_was_is_part_of_the_story_of_who_came_to_its_app_and_is_the_first_to_call_it() -> None:
    arrives = {"trouble": "other", "met": 0, "arrived": 0}
    first = {**arrives, "function": 2, "trouble": "structure", "by_caller": False, "at": 2 * HOUR}
    assert told(arrives, first)[0] == [0, 0]
    # so it is with a place; whoever else calls it, one known in the app before, or one of whom nobody was told, is not
    assert told({**arrives, "vague": True}, {**first, "vague": True})[0] == [0, 0]
    for other in ({"caller": 9}, {"app": 2}):
        assert told(arrives, {**first, **other})[0] == [0, 1]
    assert told({**arrives, "at": 10 * HOUR}, {**first, "at": 12 * HOUR})[0] == [0, 1]
    assert told({**arrives, "score": 3.0}, first)[0] == [0, 1]


def test_another_function_that_becomes_slow_an_hour_after_the_first_was_told_is_another_story() -> None:
    first = [{**SLOWED, "at": n * HOUR // 4} for n in range(8)]
    other = {**SLOWED, "function": 2, "caller": 2}
    assert told(*first[:2], {**other, "at": HOUR // 2})[0] == [0, 0, 0]
    assert told(*first, {**other, "at": 8 * HOUR // 4})[0] == [*[0] * 8, 1]
    # what waits may yet turn out to be of the same
    weak = [{**event, "score": 3.0} for event in first]
    assert told(*weak, {**other, "at": 8 * HOUR // 4})[0] == [0] * 9


def test_a_functions_own_open_story_comes_before_a_newer_one_of_its_app() -> None:
    first = [{**SLOWED, "at": n * HOUR // 4} for n in range(8)]
    other = {**SLOWED, "function": 2, "caller": 2, "at": 8 * HOUR // 4}
    again = {**SLOWED, "at": 8 * HOUR // 4 + 60 * US}
    assert told(*first, other, again)[0] == [*[0] * 8, 1, 0]


def test_what_a_caller_does_elsewhere_belongs_to_its_story_only_if_it_is_strange_for_the_caller() -> None:
    elsewhere = {"function": 2, "by_caller": False, "trouble": "slow"}
    assert told({}, elsewhere)[0] == [0, 1]
    assert told({}, {**elsewhere, "by_caller": True})[0] == [0, 0]


def test_load_that_an_hours_sum_remembers_is_the_aftermath_of_the_flood_before_it() -> None:
    flood = {"by_caller": False, "caller": 0, "trouble": "failing"}
    after = {"caller": 7, "trouble": "load", "crowd": 1, "at": HOUR}
    assert told(flood, after)[0] == [0, 0]
    # who makes all of it beside a flood, or later than an hour after other trouble began, does so by itself
    alone = {**after, "crowd": 0, "at": 2 * HOUR}
    assert told(flood, alone)[0] == [0, 1]
    assert told(flood, {**alone, "at": HOUR})[0] == [0, 0]
    assert told({**flood, "trouble": "load"}, {**alone, "at": 20 * 60 * US})[0] == [0, 1]
    assert told({**flood, "trouble": "load"}, {**alone, "crowd": 1})[0] == [0, 0]
    assert told({**flood, "trouble": "load"}, {**alone, "by_caller": False})[0] == [0, 0]
    assert told(flood, {**after, "function": 2})[0] == [0, 1]
    assert told(flood, {**after, "at": 4 * HOUR - 60 * US})[0] == [0, 1]
    assert told({**flood, "score": 3.0}, after)[0] == [0, 1]


def test_load_that_a_caller_makes_with_its_network_is_part_of_its_own_story_wherever_it_goes() -> None:
    # of two addresses of a network neither makes most of the calls, so that the load points at neither
    load = {"function": 2, "by_caller": False, "trouble": "load"}
    assert told({}, load)[0] == [0, 0]
    assert told({}, {**load, "caller": 7})[0] == [0, 1]
    assert told({}, {**load, "trouble": "slow"})[0] == [0, 1]
    assert told({"score": 3.0}, load)[0] == [0, 1]
    assert told({"vague": True}, {**load, "vague": True})[0] == [0, 1]


def test_what_only_callers_do_is_part_of_the_callers_open_story_also_where_a_busy_function_outweighs_it() -> None:
    # one who calls from a new country, at a function that is busy: load weighs more, the country is still the caller's
    elsewhere = {"function": 2, "by_caller": False, "trouble": "other"}
    assert told({}, elsewhere)[0] == [0, 0]
    assert told({}, {**elsewhere, "caller": 7})[0] == [0, 1]
    assert told({"score": 3.0}, elsewhere)[0] == [0, 1]


def test_whoever_calls_a_function_that_is_itself_news_is_part_of_it_unless_it_has_a_story_of_its_own() -> None:
    news = {"function": 2, "by_caller": False, "trouble": "structure"}
    assert told(news, {"function": 2})[0] == [0, 0]
    assert told(news, {"function": 3})[0] == [0, 1]
    assert told({**news, "trouble": "slow"}, {"function": 2})[0] == [0, 1]
    assert told({"function": 3}, {**news, "caller": 2}, {"function": 2})[0] == [0, 1, 0]


def test_what_one_caller_does_hours_after_a_function_was_first_seen_is_a_story_of_its_own() -> None:
    news = [{"function": 2, "by_caller": False, "trouble": "structure", "at": n * HOUR // 2} for n in range(6)]
    flood = {"function": 2, "caller": 7, "trouble": "load"}
    assert told(*news[:2], {**flood, "at": HOUR})[0] == [0, 0, 0]
    assert told(*news, {**flood, "at": 3 * HOUR})[0] == [*[0] * 6, 1]
    # and what tells no more than that it is new is part of that, whoever calls
    assert told(*news, {**flood, "at": 3 * HOUR, "trouble": "structure"})[0] == [0] * 7


def test_failures_in_the_functions_of_an_app_are_one_storm_while_they_follow_one_another() -> None:
    failing = {"by_caller": False, "caller": 0, "trouble": "failing"}
    soon = {"function": 2, **failing}
    late = {"function": 2, "at": STORM_US + 120 * US, **failing}
    elsewhere = {"function": 3, "app": 2, **failing}
    assert told(failing, soon, elsewhere)[0] == [0, 0, 1]
    assert told(failing, late)[0] == [0, 1]


def test_functions_of_an_app_that_are_called_less_at_the_same_time_are_one_story() -> None:
    fewer = {"by_caller": False, "caller": 0, "trouble": "fewer"}
    assert told(fewer, {**fewer, "function": 2, "at": 60 * US}, {**fewer, "function": 3, "app": 2})[0] == [0, 0, 1]
    # nor is it what else befalls the other
    assert told(fewer, {**fewer, "function": 2, "at": 60 * US, "trouble": "slow"})[0] == [0, 1]


def test_what_comes_late_joins_no_story_that_began_too_long_after_it() -> None:
    now = 40 * HOUR
    before = {"at": now - 5 * HOUR}
    assert told({"at": now}, {"at": now - CALLER_GAP_US})[0] == [0, 0]
    assert told({"at": now}, {"at": now - CALLER_GAP_US - 1})[0] == [0, 1]
    function = {"by_caller": False, "caller": 0}
    assert told({"at": now, **function}, {"at": now - 3 * HOUR, **function})[0] == [0, 0]
    assert told({"at": now, **function}, {**before, **function})[0] == [0, 1]
    storm = {**function, "trouble": "failing"}
    assert told({"at": now, **storm}, {"at": now - STORM_US, "function": 2, **storm})[0] == [0, 0]
    assert told({"at": now, **storm}, {"at": now - STORM_US - 1, "function": 2, **storm})[0] == [0, 1]
    hers = {"function": 2, "caller": 7, "trouble": "failing"}
    assert told({"at": now, **storm}, {"at": now - STORM_US - 1, **hers})[0] == [0, 1]


def test_a_story_that_something_late_joins_lasts_no_less_for_it() -> None:
    late = {"at": 9 * HOUR}
    ends = 10 * HOUR + CALLER_GAP_US
    assert told({"at": 10 * HOUR}, late, {"at": ends})[0] == [0, 0, 0]
    assert told({"at": 10 * HOUR}, late, {"at": ends + 1})[0] == [0, 0, 1]


def test_failing_calls_of_one_caller_are_part_of_the_storm_in_their_app() -> None:
    storm = {"by_caller": False, "caller": 0, "trouble": "failing"}
    hers = {"function": 2, "caller": 7, "trouble": "failing"}
    assert told(storm, hers)[0] == [0, 0]
    assert told(storm, {**hers, "app": 2})[0] == [0, 1]
    assert told(storm, {**hers, "at": STORM_US + 120 * US})[0] == [0, 1]
    assert told({**storm, "score": 3.0}, hers)[0] == [0, 1]


def test_failing_calls_of_one_caller_where_runs_hang_are_part_of_that() -> None:
    hangs = {"trouble": "hanging", "by_caller": False}
    slow, fails = (
        [{**hangs, "at": n * 60 * US} for n in range(6)],
        {"trouble": "failing", "caller": 9, "at": 6 * 60 * US},
    )
    assert told(*slow, fails)[0] == [0] * 7
    # at another function, half an hour later, or where nobody was told of it, they are its own
    for other in ({"function": 2}, {"at": 36 * 60 * US}):
        assert told(*slow, {**fails, **other})[0] == [0] * 6 + [1]
    assert told(*[{**one, "score": 3.0} for one in slow], fails)[0] == [0] * 6 + [1]


def test_what_befalls_others_while_one_caller_floods_a_function_is_part_of_its_story() -> None:
    flood = {"trouble": "load"}
    slowed = {"by_caller": False, "caller": 2, "trouble": "slow"}
    assert told(flood, slowed)[0] == [0, 0]
    assert told({**flood, "score": 3.0}, slowed)[0] == [0, 1]


def test_what_becomes_slow_where_a_caller_does_something_without_load_has_another_cause_an_hour_after() -> None:
    visits = [{"at": hour * HOUR} for hour in range(7)]
    slow = {**SLOWED, "caller": 2}
    assert told(visits[0], {**slow, "at": HOUR // 2})[0] == [0, 0]
    assert told(*visits, {**slow, "at": 6 * HOUR + US})[0][-1] == 1
    # load slows others for as long as windows remember it
    load = {"trouble": "load", "at": 4 * HOUR + US}
    assert told(*visits[:5], load, *visits[5:], {**slow, "at": 6 * HOUR + US})[0][-1] == 0
    assert told(*visits, {"at": 7 * HOUR}, {"at": 8 * HOUR}, {**slow, "at": 8 * HOUR + US})[0][-1] == 1


def test_a_crowd_that_began_with_one_caller_is_part_of_its_story_as_long_as_windows_remember_it() -> None:
    crowd = {"by_caller": False, "caller": 2, "crowd": 2}
    assert told({}, {**crowd, "at": 2 * HOUR})[0] == [0, 0]
    assert told({}, {**crowd, "at": 2 * HOUR, "crowd": 1})[0] == [0, 1]
    assert told({}, {**crowd, "at": 4 * HOUR})[0] == [0, 1]


def test_a_caller_known_by_its_place_only_is_soon_another() -> None:
    later = {"at": VAGUE_GAP_US + HOUR}
    assert told({}, later)[0] == [0, 0]
    assert told({"vague": True}, {**later, "vague": True})[0] == [0, 1]


def test_callers_that_join_a_crowd_are_in_the_crowds_story() -> None:
    crowd = {"by_caller": False, "crowd": 2, "trouble": "load"}
    assert told({**crowd, "caller": 1}, {**crowd, "caller": 2}, {"caller": 3, "crowd": 1})[0] == [0, 0, 0]
    assert told({**crowd, "caller": 1}, {"caller": 3})[0] == [0, 1]


def test_one_that_came_before_the_crowd_is_in_the_crowds_story_once_there_is_one() -> None:
    crowd = {"by_caller": False, "crowd": 2, "trouble": "load"}
    first = [{"caller": number, "score": 5.0} for number in (1, 2, 3)]
    stories, opened = told(*first, *({**crowd, "caller": number} for number in (1, 2, 3)))
    assert stories[3:] == [3, 3, 3]
    assert opened == [False, False, False, True, True, True]


FLOOD = [{"by_caller": False, "crowd": 2, "trouble": "load", "caller": number} for number in (1, 2, 3)]
PACE = {"function": 2, "trouble": "pace"}


def test_how_busy_those_were_who_flooded_a_function_is_part_of_the_flood_wherever_it_shows() -> None:
    assert told(*FLOOD, *({**PACE, "caller": number} for number in (1, 2, 3)))[0] == [0] * 6
    # a caller's pace is counted over all apps
    assert told(*FLOOD, *({**PACE, "app": 2, "function": 2, "caller": number} for number in (1, 2, 3)))[0] == [0] * 6
    # who was none of them, what is strange otherwise, and what comes hours later, is not
    for other in ({"caller": 9}, {"trouble": "other"}, {"at": 3 * HOUR + 180 * US}):
        assert told(*FLOOD, {**PACE, **other})[0] == [0, 0, 0, 1]
    assert told(*[{**one, "score": 3.0} for one in FLOOD], PACE)[0] == [0, 0, 0, 1]


def test_one_of_a_flood_whose_own_story_is_open_keeps_it_and_one_whose_is_not_does_not() -> None:
    own = {"function": 2, "trouble": "other"}
    assert told(*FLOOD, own, PACE)[0] == [0, 0, 0, 1, 1]
    assert told(*FLOOD, {**own, "score": 3.0}, PACE)[0] == [0, 0, 0, 1, 0]


def test_the_flood_lasts_no_longer_for_what_is_counted_after_it() -> None:
    flood = [{**one, "at": 0} for one in FLOOD]
    after = [{**PACE, "at": hour * HOUR} for hour in (1, 2, 3)]
    assert told(*flood, *after, {**PACE, "at": 3 * HOUR + 1})[0] == [0] * 6 + [1]


def test_who_was_one_of_a_flood_is_known_after_a_restart() -> None:
    def give(stories: Stories, one: dict[str, Any]) -> int:
        return int(stories.tell(*columns([one]))[0][0])

    before = Stories(6.0)
    assert [give(before, {**one, "at": 0}) for one in FLOOD] == [0, 0, 0]
    after = Stories(6.0)
    after.restore(before.snapshot())
    assert give(after, {**PACE, "at": HOUR}) == 0
    assert give(after, {**PACE, "at": HOUR, "caller": 9}) == 1


def test_stories_that_a_job_saved_before_there_were_crowds_go_on() -> None:
    before = Stories(6.0)
    before.tell(*columns(FLOOD))
    saved = before.snapshot()
    after = Stories(6.0)
    after.restore({**saved, "stories": saved["stories"].drop_columns(["crowds"])})
    assert after.tell(*columns([{**FLOOD[0], "at": HOUR}, {**PACE, "at": HOUR}]))[0].tolist() == [0, 0]


def test_what_points_at_its_caller_is_part_of_the_callers_story_before_that_of_a_busy_function() -> None:
    busy = {"by_caller": False, "crowd": 1, "trouble": "load", "function": 2, "caller": 9}
    assert told({}, busy, {"function": 2, "crowd": 1}, {"function": 2, "crowd": 1, "caller": 5})[0] == [0, 1, 0, 1]


def test_more_stories_at_once_than_anyone_can_read_make_the_oldest_give_way() -> None:
    many = [{"caller": number + 1, "at": number} for number in range(OPEN_STORIES + 10)]
    stories, _ = told(*many, {"caller": OPEN_STORIES + 10, "at": 10_000}, {"caller": 1, "at": 10_001})
    assert stories[:-2] == list(range(OPEN_STORIES + 10))
    assert stories[-2] == OPEN_STORIES + 9
    assert stories[-1] == OPEN_STORIES + 10


def test_what_a_caller_leaves_behind_does_not_keep_its_story_going() -> None:
    victim = {"caller": 2, "by_caller": False, "trouble": "slow"}
    assert told({}, {**victim, "at": HOUR}, {**victim, "at": 2 * HOUR})[0] == [0, 0, 0]
    assert told({}, {**victim, "at": 2 * HOUR}, {**victim, "at": 4 * HOUR})[0] == [0, 0, 1]


SLOWED = {"trouble": "slow", "by_caller": False, "score": 20.0}


def test_what_befalls_all_callers_is_not_told_once_more_for_one_that_did_something_of_its_own() -> None:
    everybody = [{**SLOWED, "caller": 2 + n} for n in range(6)]
    own = {"caller": 9, "score": 3.0}
    assert told(*everybody, own, *[{**SLOWED, "caller": 9}] * 3)[0] == [*[0] * 6, 1, *[0] * 3]


def test_what_a_caller_meets_at_a_function_is_part_of_its_story_once_that_is_open() -> None:
    everybody = [{**SLOWED, "caller": 2 + n} for n in range(6)]
    assert told(*everybody, *[{"caller": 9}] * 6, *[{**SLOWED, "caller": 9}] * 2)[0] == [*[0] * 6, *[1] * 8]


def test_all_that_a_crowd_does_to_an_app_is_one_story() -> None:
    flood = [{"trouble": "load", "crowd": 2, "by_caller": False, "caller": 2 + n, "at": n * US} for n in range(6)]
    slow = {"trouble": "long", "by_caller": False, "function": 2, "caller": 9, "at": 60 * US}
    # one of the crowd meets a slow run at another function, and load there is no other story for that
    assert told(*flood, {**slow, "crowd": 2}, {**flood[0], "function": 3, "at": 61 * US})[0] == [0] * 8
    # so does somebody who is none of it, while the flood is open
    assert told(*flood, slow)[0] == [0] * 7
    assert told(*flood, {**slow, "at": HOUR})[0][-1] == 1
    assert told(*flood, {**slow, "app": 2})[0][-1] == 1
    assert told(*({**call, "score": 3.0} for call in flood), slow)[0][-1] == 1


def test_another_trouble_at_the_function_hours_after_is_another_story() -> None:
    slow = [{**SLOWED, "at": n * 60 * US} for n in range(6)]
    failing = {"trouble": "failing", "by_caller": False}
    assert told(*slow, {**failing, "at": HOUR // 2})[0][-1] == 0
    assert told(*slow, {**failing, "at": 2 * HOUR})[0][-1] == 1
    assert told(*slow, {**SLOWED, "at": 2 * HOUR})[0][-1] == 0


def test_one_caller_hours_after_a_flood_of_many_is_none_of_them() -> None:
    flood = [{"trouble": "load", "crowd": 2, "by_caller": False, "caller": 2 + n, "at": n * US} for n in range(6)]
    guess = {"caller": 9, "crowd": 1}
    assert told(*flood, {**guess, "at": HOUR // 2})[0][-1] == 0
    assert told(*flood, {**guess, "at": 2 * HOUR})[0][-1] == 1


def test_load_made_since_a_function_is_slow_is_one_story_and_who_comes_an_hour_after_is_another() -> None:
    # in other trouble from its beginning, and still at it two hours after
    bill = [{"trouble": "load", "caller": 9, "at": (6 + n) * 600 * US} for n in range(12)]
    slow = [{**SLOWED, "at": n * US} for n in range(6)]
    assert told(*slow, *bill)[0] == [0] * 18
    # its pace elsewhere in the app is the same doing
    assert told(*slow, bill[0], {**PACE, "caller": 9, "at": bill[0]["at"] + US})[0] == [0] * 8
    # who was none of it, or met it without making load
    assert told(*slow, bill[0], {**bill[11], "caller": 8})[0] == [*[0] * 7, 1]
    met = {**SLOWED, "caller": 9, "at": bill[0]["at"]}
    assert told(*slow, met, bill[11])[0] == [*[0] * 7, 1]


def test_what_goes_on_beside_another_trouble_is_still_what_it_was() -> None:
    failing = {"trouble": "failing", "by_caller": False}
    slow = {"trouble": "slow", "by_caller": False, "score": 20.0}
    storm = [{**failing, "function": 2, "at": n * 60 * US} for n in range(4)]
    at = 30 * 60 * US
    # this function's part in the storm of its app does not turn into the slowness that begins there
    assert told(*storm, {**slow, "at": at - 1}, {**failing, "at": at}, {**slow, "at": at + 1})[0] == [0] * 4 + [1, 0, 1]
    # nor do its own failures
    own = [{**failing, "at": n * 60 * US} for n in range(4)]
    assert told(*own, {**slow, "at": 7 * HOUR // 2}, {**failing, "at": 7 * HOUR // 2 + 1})[0] == [0] * 4 + [1, 0]
    # what was never strange enough to be told keeps nothing from what was
    quiet = [{**event, "score": 1.0} for event in own]
    assert told(*quiet, {**slow, "at": 7 * HOUR // 2}, {**failing, "at": 7 * HOUR // 2 + 1})[0] == [0] * 4 + [1, 1]


def test_load_that_comes_hours_after_failures_is_no_backlog_of_theirs() -> None:
    failing, load = {"trouble": "failing", "by_caller": False}, {"trouble": "load", "by_caller": False}
    storm = [{**failing, "at": n * 60 * US} for n in range(4)]
    assert told(*storm, {**load, "at": HOUR})[0] == [0] * 5
    assert told(*storm, {**load, "at": 2 * HOUR})[0] == [0] * 4 + [1]
