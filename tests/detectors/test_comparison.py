from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest

from detectors.analysis import Detection
from detectors.comparison import compare
from detectors.expectations import statement
from detectors.schema import VERDICT

DAY = datetime(2026, 8, 3, tzinfo=timezone.utc)


def incident(name: str, ids: list[str], **more: Any) -> dict[str, Any]:
    return {
        "incident_id": name,
        "kind": "unusual",
        "title": f"{name} happened",
        "opened": DAY,
        "first_event": DAY,
        "last_event": DAY + timedelta(hours=1),
        "apps": ["shop"],
        "functions": ["Pay"],
        "callers": ["user:ann"],
        "invocations": len(ids),
        "invocation_ids": ids,
        "score": 12.0,
        **more,
    }


def detection(version: str, scores: dict[str, float], incidents: list[dict[str, Any]]) -> Detection:
    owner = {i: one["incident_id"] for one in incidents for i in one["invocation_ids"]}
    verdicts = [
        {
            **{"invocation_id": i, "event_time": DAY, "app": "shop", "function": "Pay", "trigger": "http"},
            **{"caller": "user:ann", "score": score, "p_value": 0.1, "anomalous": i in owner},
            **{"incident_id": owner.get(i), "model_version": version},
            "reasons": [{"feature": "caller_pace", "value": 9.0, "typical": 1.0, "share": 1.0}],
        }
        for i, score in scores.items()
    ]
    return Detection(pa.Table.from_pylist(verdicts, schema=pa.schema(list(VERDICT))), incidents, {}, 8.0)


QUIET = {"a": 1.0, "b": 2.0, "c": 0.0, "d": 0.0}
LOUD = {"a": 9.0, "b": 12.0, "c": 0.0, "d": 0.0}


def test_a_version_against_itself_changes_nothing() -> None:
    one = detection("A", LOUD, [incident("LT-1", ["a", "b"])])
    found = compare(one, one)
    assert (found.shared, found.gained, found.lost) == (1, (), ())
    assert [f.distance for f in found.functions] == [0.0]


def test_incidents_that_share_invocations_are_one_whatever_their_ids() -> None:
    a = detection("A", LOUD, [incident("LT-1", ["a", "b"])])
    b = detection("B", LOUD, [incident("LT-9", ["b", "c", "d"])])
    assert compare(a, b).shared == 1


def test_what_is_lost_and_gained_says_why() -> None:
    a, b = detection("A", LOUD, [incident("LT-1", ["a", "b"])]), detection("B", QUIET, [])
    lost = compare(a, b).lost
    assert [(one.incident_id, one.other_score) for one in lost] == [("LT-1", 2.0)]
    why = "mostly for 'calls by this caller in half an hour'"
    assert lost[0].reason == f"Its highest score there is 2.0, {why}; 8.0 opens an incident."
    gained = compare(b, a).gained
    assert [one.incident_id for one in gained] == ["LT-1"]
    assert gained[0].score == 12.0


def test_a_silence_is_the_same_where_it_was_heard_at_about_the_same_time() -> None:
    silence = incident("LT-1", [], kind="silence", callers=[])
    a, b = detection("A", QUIET, [silence]), detection("B", QUIET, [{**silence, "incident_id": "LT-2"}])
    assert compare(a, b).shared == 1
    later = {**silence, "incident_id": "LT-2", "opened": DAY + timedelta(hours=5)}
    assert compare(a, detection("B", QUIET, [later])).shared == 0


@pytest.mark.parametrize(
    ("ids", "a", "b"),
    [(["a", "b"], "found", "missed"), (["c"], "missed", "missed"), (["elsewhere"], "absent", "absent")],
)
def test_bad_cases_are_found_missed_or_not_in_these_logs(ids: list[str], a: str, b: str) -> None:
    bad = statement(incident("LT-0", ids), "bad", who="ann", now=DAY)
    left, right = detection("A", LOUD, [incident("LT-1", ["a", "b"])]), detection("B", QUIET, [])
    found = compare(left, right, [bad])
    assert [(one.a, one.b) for one in found.regressions] == [(a, b)]
    assert len(found.regressed) == (1 if (a, b) == ("found", "missed") else 0)


def test_scores_that_moved_are_told_by_function() -> None:
    found = compare(detection("A", LOUD, []), detection("B", QUIET, []))
    assert [(f.function, f.distance, f.a["max"], f.b["max"]) for f in found.functions] == [("Pay", 0.5, 12.0, 2.0)]
