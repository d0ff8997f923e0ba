"""The judge judged: average precision against scikit-learn, budgets, time to detect, silences."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from detectors.evaluate import average_precision, evaluate
from models.errors import InputError

START = datetime(2026, 3, 2, tzinfo=timezone.utc)


def verdicts(n: int = 100, *, score: Any = None, trigger: str = "http", p_value: Any = None) -> pa.Table:
    """``n`` verdicts "i0", "i1", ... a minute apart."""
    return pa.table(
        {
            "invocation_id": [f"i{k}" for k in range(n)],
            "event_time": pa.array([START + timedelta(minutes=k) for k in range(n)], pa.timestamp("us", tz="UTC")),
            "trigger": [trigger] * n,
            "score": np.zeros(n) if score is None else np.asarray(score, float),
            "p_value": np.ones(n) if p_value is None else np.asarray(p_value, float),
            "anomalous": [False] * n,
        }
    )


def truth(**scenarios: list[int]) -> pa.Table:
    pairs = [(f"i{k}", name) for name, rows in scenarios.items() for k in rows]
    columns = {"InvocationId": [p[0] for p in pairs], "scenario": [p[1] for p in pairs]}
    return pa.table(columns, pa.schema([("InvocationId", pa.string()), ("scenario", pa.string())]))


def incident(rows: list[int], *, score: float = 5.0, minute: float = 0.0, **more: Any) -> dict[str, Any]:
    opened = (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    return {"score": score, "opened": opened, "kind": "x", "invocation_ids": [f"i{k}" for k in rows]} | more


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=1, max_size=60).filter(
        lambda r: any(b for b, _ in r)
    )
)
def test_average_precision_equals_scikit_learn_with_ties_and_all(rows: list[tuple[bool, int]]) -> None:
    bad, score = np.array([b for b, _ in rows]), np.array([float(s) for _, s in rows])
    assert average_precision(bad, score) == pytest.approx(average_precision_score(bad, score))


def test_labelled_invocations_without_a_verdict_lower_average_precision() -> None:
    bad, score = np.array([True, False]), np.array([2.0, 1.0])
    assert average_precision(bad, score) == 1.0
    assert average_precision(bad, score, missing=3) == 0.25


def test_average_precision_without_labels_is_not_a_number_and_null_in_json() -> None:
    result = evaluate(verdicts(), [], truth(), days=1)
    assert np.isnan(result.average_precision)
    assert json.loads(result.to_json())["average_precision"] is None


def test_an_incident_is_true_from_a_third_of_labelled_invocations_on() -> None:
    labels = truth(flood=[0, 1])
    assert evaluate(verdicts(), [incident([0, 5, 6])], labels, days=1).incidents_true == 1
    assert evaluate(verdicts(), [incident([0, 5, 6, 7])], labels, days=1).incidents_true == 0


def test_an_incident_belongs_to_the_scenario_of_most_of_its_labels() -> None:
    result = evaluate(verdicts(), [incident([0, 1, 2])], truth(flood=[0], probe=[1, 2]), days=1)
    assert {s.name: s.found for s in result.scenarios} == {"flood": False, "probe": True}


def test_incidents_are_read_by_score_until_the_budget_is_used_up() -> None:
    labels = truth(early=[0], late=[1])
    raised = [
        incident([0], score=9),
        incident([50], score=8),
        incident([51], score=7),
        incident([1], score=6),
    ]
    result = evaluate(verdicts(), raised, labels, days=1, budget=1, budgets=(0, 1, 2))
    assert [r.found for r in result.recalls] == [("early",), ("early",), ("early", "late")]
    assert [r.incidents for r in result.recalls] == [1, 2, 4]
    assert {s.name: s.found for s in result.scenarios} == {"early": True, "late": False}
    assert (result.incidents_true, result.incidents_false, result.precision) == (2, 2, 0.5)


def test_the_budget_grows_with_the_days() -> None:
    raised = [incident([50 + k], score=9 - k) for k in range(3)] + [incident([1], score=1)]
    assert not evaluate(verdicts(), raised, truth(late=[1]), days=1).scenarios[0].found
    assert evaluate(verdicts(), raised, truth(late=[1]), days=3).scenarios[0].found


def test_time_to_detect_counts_from_the_first_bad_event_to_the_first_incident() -> None:
    labels = truth(flood=[10, 11, 12, 13, 14])
    raised = [incident([10, 11, 12, 13], minute=30), incident([10, 11, 12], minute=12.5)]
    found = evaluate(verdicts(), raised, labels, days=1).scenarios[0]
    assert (found.events, found.events_to_detect, found.seconds_to_detect) == (5, 3, 150.0)


def test_times_in_the_truth_serve_where_only_anomalous_verdicts_were_written() -> None:
    stamps = pa.array([START + timedelta(minutes=k) for k in (10, 11)], pa.timestamp("us", tz="UTC"))
    labels = truth(flood=[10, 11]).append_column("TimeGenerated", stamps)
    found = evaluate(verdicts().slice(11, 1), [incident([11], minute=12)], labels, days=1).scenarios[0]
    assert (found.events_to_detect, found.seconds_to_detect) == (2, 120.0)


def test_a_silence_is_matched_by_function_and_time() -> None:
    gone = {"scenario": "silence", "apps": ["a"], "functions": ["f"]}
    gone |= {"start": START.isoformat(), "end": (START + timedelta(hours=2)).isoformat()}
    raised = incident([], minute=40, kind="silence", apps=["a"], functions=["f"])
    found = evaluate(verdicts(), [raised], truth(), days=1, silences=[gone]).scenarios[0]
    assert (found.name, found.found, found.seconds_to_detect) == ("silence", True, 2_400.0)
    for wrong in ({"functions": ["g"]}, {"apps": ["b"]}, {"opened": "2026-03-02T04:00:00.123Z"}, {"kind": "flood"}):
        assert evaluate(verdicts(), [raised | wrong], truth(), days=1, silences=[gone]).incidents_false == 1


def test_a_surplus_is_true_where_labelled_invocations_came_at_its_functions_while_it_lasted() -> None:
    places = verdicts().append_column("app", pa.array(["shop"] * 100))
    places = places.append_column("function", pa.array(["ship" if k % 2 else "pack" for k in range(100)]))
    began = START.isoformat()
    raised = incident([], minute=40, kind="surplus-downstream", apps=["shop"], functions=["ship"], first_event=began)
    twice = truth(twice=[11, 13], flood=[10, 12, 14, 51, 53, 55])
    result = evaluate(places, [raised], twice, days=1)
    assert {s.name: s.found for s in result.scenarios} == {"twice": True, "flood": False}
    for wrong in ({"functions": ["bill"]}, {"apps": ["bank"]}, {"opened": "2026-03-02T00:10:00Z"}, {"kind": "flood"}):
        assert evaluate(places, [raised | wrong], twice, days=1).incidents_false == 1
    # verdicts that don't say where an invocation ran can't vouch for it
    assert evaluate(verdicts(), [raised], twice, days=1).incidents_false == 1


def test_small_p_values_are_counted_per_trigger_among_normal_invocations_only() -> None:
    p_value = np.ones(10)
    p_value[:3] = 1e-5
    result = evaluate(verdicts(10, p_value=p_value, trigger="queue"), [], truth(flood=[0, 1]), days=1)
    assert result.small_p_share == {"queue": 1 / 8}
    assert result.normal_count == {"queue": 8}


def test_an_invocation_judged_twice_counts_once_with_its_higher_score() -> None:
    table = pa.concat_tables([verdicts(3, score=[1, 2, 3]), verdicts(1, score=[9])])
    result = evaluate(table, [], truth(flood=[0]), days=1)
    assert (result.verdicts, result.average_precision) == (3, 1.0)


def test_files_give_what_tables_give(tmp_path: Path) -> None:
    table, labels, raised = verdicts(20, score=range(20)), truth(flood=[3, 19]), [incident([3, 19], minute=20)]
    (tmp_path / "verdicts").mkdir()
    pq.write_table(table, tmp_path / "verdicts" / "part-0.parquet")
    pq.write_table(labels, tmp_path / "truth.parquet")
    (tmp_path / "incidents.ndjson").write_text("".join(json.dumps(i) + "\n" for i in raised))
    read = evaluate(tmp_path / "verdicts", tmp_path / "incidents.ndjson", tmp_path / "truth.parquet", days=1)
    assert read == evaluate(table, raised, labels, days=1)


def test_a_quiet_day_of_which_no_verdict_was_written_misses_what_was_planted(
    tmp_path: Path,
) -> None:
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "incidents.ndjson").write_text("")
    pq.write_table(truth(flood=[1, 2]), tmp_path / "truth.parquet")
    files = tmp_path / "verdicts", tmp_path / "incidents.ndjson", tmp_path / "truth.parquet"
    found = evaluate(*files, days=2.0)
    assert (found.verdicts, found.incidents_false, found.false_per_day) == (0, 0, 0.0)
    assert [(one.name, one.found) for one in found.scenarios] == [("flood", False)]
    # by whatever name a file goes
    pq.write_table(verdicts(5), tmp_path / "verdicts" / "part")
    assert evaluate(*files, days=2.0).verdicts == 5
    with pytest.raises(InputError, match="can't be read"):
        evaluate(tmp_path / "elsewhere", *files[1:], days=2.0)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="add scenario"):
        evaluate(verdicts(), [], pa.table({"InvocationId": ["i0"]}))
