from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detectors import incidents
from detectors.expectations import bad_rows, expected_by, normal_events, part_suppressed, statement
from models.errors import InputError
from models.feedback import Feedback
from models.hashing import combine, hash_strings

DAY = datetime(2026, 8, 3, 12, tzinfo=timezone.utc)
INCIDENT: dict[str, Any] = {
    "incident_id": "LT-1",
    "kind": "unusual-pace",
    "title": "Far busier than usual",
    "opened": DAY,
    "first_event": DAY - timedelta(minutes=5),
    "last_event": DAY + timedelta(hours=1),
    "apps": ["shop"],
    "functions": ["Pay"],
    "callers": ["user:ann"],
    "invocations": 2,
    "invocation_ids": ["a", "b"],
}


def expect(scope: str = "caller", until: date | None = None, **more: Any) -> Feedback:
    return statement({**INCIDENT, **more}, "expected", who="ann", now=DAY, scope=scope, until=until)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scope", "change", "covered"),
    [
        ("caller", {}, True),
        ("caller", {"callers": ["user:eve"]}, False),
        ("caller", {"callers": ["user:ann", "user:eve"]}, False),
        ("caller", {"functions": ["Ship"]}, False),
        ("function", {"callers": ["user:eve"]}, True),
        ("function", {"functions": ["Pay", "Ship"]}, False),
        ("function", {"functions": []}, True),
        ("app", {"functions": ["Ship"], "callers": ["user:eve"]}, True),
        ("app", {"apps": ["billing"]}, False),
        ("app", {"kind": "injection-probe"}, False),
    ],
)
def test_an_expectation_covers_its_scope_and_no_more(scope: str, change: dict[str, Any], covered: bool) -> None:
    said = expect(scope)
    assert expected_by([said], {**INCIDENT, **change}) == (said.id if covered else None)


def test_it_covers_what_opens_from_its_incident_on_to_the_end_of_its_last_day() -> None:
    said = [expect(until=date(2026, 8, 4))]

    def covered(opened: datetime) -> bool:
        return expected_by(said, {**INCIDENT, "opened": opened}) is not None

    assert not covered(DAY - timedelta(days=1))
    assert covered(datetime(2026, 8, 4, 23, 59, tzinfo=timezone.utc))
    assert not covered(datetime(2026, 8, 5, 0, 1, tzinfo=timezone.utc))


def test_times_written_as_text_mean_the_same() -> None:
    text = {**INCIDENT, **{n: INCIDENT[n].isoformat() for n in ("opened", "first_event", "last_event")}}
    assert expected_by([statement(text, "expected", who="ann", now=DAY)], INCIDENT) is not None
    assert expected_by([expect()], {**text, "opened": "2026-08-03T12:00:00Z"}) is not None


def test_a_bad_incident_expects_nothing() -> None:
    assert expected_by([statement(INCIDENT, "bad", who="ann", now=DAY)], INCIDENT) is None


def test_a_crowd_cannot_be_expected_of_its_callers() -> None:
    crowd = {"callers": [f"address:10.0.0.{n}" for n in range(incidents.SHOWN_NAMES)]}
    assert expected_by([expect("function")], {**INCIDENT, **crowd}) is not None
    assert statement({**INCIDENT, **crowd}, "expected", who="ann", now=DAY).scope == "function"
    with pytest.raises(InputError, match="its callers"):
        expect("caller", **crowd)


def test_an_expectation_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InputError, match="end before"):
        expect(until=date(2026, 8, 1))


def test_suppressed_incidents_are_listed_apart_with_the_statement_that_expects_them() -> None:
    told, suppressed = part_suppressed([{**INCIDENT, "suppressed": None}, {**INCIDENT, "suppressed": "F-1"}])
    assert told == [INCIDENT]
    assert [(one["incident_id"], one["feedback"]) for one in suppressed] == [("LT-1", "F-1")]


def rows(ids: list[str], callers: list[str], at: list[datetime]) -> pa.RecordBatch:
    us = [int(t.timestamp() * 1e6) for t in at]
    names = {"app": ["shop"] * len(ids), "function": ["Pay"] * len(ids)}
    return pa.RecordBatch.from_pydict({"invocation_id": ids, "caller": callers, "at": us, **names})


def test_a_bad_incident_keeps_its_invocations_out() -> None:
    batch = rows(["a", "c"], ["user:ann"] * 2, [DAY, DAY])
    bad = [statement(INCIDENT, "bad", who="ann", now=DAY)]
    assert bad_rows(batch, bad).tolist() == [True, False]


def test_a_bad_incident_that_lists_only_some_keeps_all_calls_of_its_callers_out() -> None:
    batch = rows(["x", "y", "z"], ["user:ann", "user:eve", "user:ann"], [DAY, DAY, DAY + timedelta(hours=2)])
    bad = [statement({**INCIDENT, "invocations": 5000}, "bad", who="ann", now=DAY)]
    assert bad_rows(batch, bad).tolist() == [True, False, False]


def test_expected_events_are_those_in_scope_and_time() -> None:
    at = np.array([int((DAY + timedelta(days=d)).timestamp() * 1e6) for d in (-1, 0, 5)])
    app = np.repeat(hash_strings(pa.array(["shop"])), 3)
    function = combine(app, np.repeat(hash_strings(pa.array(["Pay"])), 3))
    caller = np.repeat(hash_strings(pa.array(["user:ann"])), 3)
    other = np.repeat(hash_strings(pa.array(["user:eve"])), 3)
    assert normal_events(at, function, caller, app, [expect()]).tolist() == [False, True, True]
    assert normal_events(at, function, caller, app, [expect(until=date(2026, 8, 4))]).tolist() == [False, True, False]
    assert not normal_events(at, function, other, app, [expect()]).any()
    assert normal_events(at, function, other, app, [expect("function")]).tolist() == [False, True, True]
