"""Strange invocations become stories, and stories that are strange enough become incidents, each told once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.incidents import MAX_IDS, Incidents
from detectors.stories import CALLER_GAP_US, GAP_US
from detectors.timeline import END
from models.feedback import Feedback
from tests.detectors.rows import EPOCH_US
from tests.detectors.strange import HOUR, MINUTE, OPENS, SECOND, incidents_of, raised, silent, strange, tick


def test_one_caller_in_many_functions_is_one_incident() -> None:
    events = [strange(n * MINUTE, f"i{n}", function=f"Get{n}", app=f"app-{n % 2}") for n in range(6)]
    verdicts, (incident,) = incidents_of(events)
    assert incident["invocation_ids"] == [f"i{n}" for n in range(6)]
    assert incident["apps"] == ["app-0", "app-1"]
    assert len(incident["functions"]) == 6
    assert {row["incident_id"] for row in verdicts} == {incident["incident_id"]}
    assert all(row["anomalous"] for row in verdicts)


def test_two_callers_are_two_incidents() -> None:
    events = [strange(n * MINUTE, f"i{n}", caller=f"address:203.0.113.{n % 2}") for n in range(6)]
    _, found = incidents_of(events)
    assert sorted(len(incident["invocation_ids"]) for incident in found) == [3, 3]


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


def test_other_apps_have_storms_of_their_own() -> None:
    events = [
        strange(n * SECOND, f"i{n}", app=f"app-{n % 2}", by_caller=False, trouble="failing", feature="failure_burst")
        for n in range(20)
    ]
    _, found = incidents_of(events)
    assert sorted(incident["apps"] for incident in found) == [["app-0"], ["app-1"]]


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


def test_nothing_is_told_of_a_story_that_never_became_strange_enough() -> None:
    verdicts, found = incidents_of([strange(n * MINUTE, f"i{n}", score=OPENS - 0.1) for n in range(9)])
    assert found == []
    assert len(verdicts) == 9
    assert not any(row["anomalous"] or row["incident_id"] for row in verdicts)


def test_what_led_up_to_an_incident_belongs_to_it() -> None:
    weak = [strange(n * MINUTE, f"weak{n}", score=3.0) for n in range(4)]
    verdicts, (incident,) = incidents_of([*weak, strange(5 * MINUTE, "strong", score=9.0)])
    assert all(row["incident_id"] == incident["incident_id"] for row in verdicts)
    assert incident["score"] == 9.0
    assert incident["opened"].timestamp() * 1e6 == EPOCH_US + 5 * MINUTE
    assert incident["first_event"].timestamp() * 1e6 == EPOCH_US


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


@given(seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, 40), max_size=4).map(sorted))
@settings(max_examples=15)
def test_every_row_is_one_verdict_however_the_rows_are_cut(seed: int, cuts: list[int]) -> None:
    generator = random.Random(seed)
    at, events = 0, []
    for n in range(40):
        at += generator.randrange(1, 2 * HOUR)
        by_caller = generator.random() < 0.6
        events.append(
            strange(
                *(at, f"i{n}"),
                caller=f"address:203.0.113.{generator.randrange(4)}",
                function=f"F{generator.randrange(3)}",
                by_caller=by_caller,
                trouble=generator.choice(["failing", "slow", "other"]),
                score=generator.uniform(2.0, 8.0),
            )
        )
    whole, incidents = incidents_of(events)
    assert sorted(row["invocation_id"] for row in whole) == sorted(event["invocation_id"] for event in events)
    fold, verdicts, told = Incidents(OPENS, "v1"), [], []
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


@pytest.mark.parametrize(("reach", "told"), [(2 * HOUR, 1), (HOUR - 1, 0)], ids=["logs go on", "logs end before"])
def test_silence_at_the_end_counts_only_as_far_as_the_logs_reach(reach: int, told: int) -> None:
    _, found = incidents_of([silent(HOUR, "Tick", horizon=True), tick(reach)])
    assert len(found) == told


def test_a_tick_of_any_shard_tells_how_far_the_logs_reach() -> None:
    _, found = incidents_of([tick(MINUTE), silent(HOUR, "Tick", horizon=True), tick(3 * HOUR), tick(2 * MINUTE)])
    assert len(found) == 1


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
