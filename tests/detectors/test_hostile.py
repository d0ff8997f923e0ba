"""Logs that mean harm, or are just enormous: bounded, no crash, and every row comes back."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from detectors.incidents import INCIDENT
from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import with_at
from detectors.schema import INVOCATION
from detectors.timeline import END, Timeline
from pipelines.graph import CALLER_KEY, FUNCTION_KEY, Plan
from pipelines.workflows import plan_for
from tests.detectors.rows import EPOCH_US, SECOND, rows

HOSTILE = {
    "control characters": "\x00\x07\x1b[31mred\x1b[0m\r\n\x7f",
    "markup": "<script>alert(1)</script>[link](javascript:alert(1))<!here>|{{7*7}}",
    "very long": "A" * 100_000,
    "emoji": "🌲👨‍👩‍👧‍👦🏳️‍🌈" * 20,
    "right to left": "\u202egnp.exe\u202c\u2067\u05e9\u05dc\u05d5\u05dd\u2069",
    "separators": "a\x1fb\x1fc\u2028d\u2029e/../../f",
    "nothing": "",
    "combining": "e" + "\u0301" * 500,
}


@pytest.fixture(scope="module")
def plan(model: Model) -> Plan:
    return plan_for(model, 20.0)


def judged(batch: pa.RecordBatch, plan: Plan) -> tuple[pa.Table, list[dict[str, Any]]]:
    """All verdicts, and the incidents that were told."""
    stages = [Stage("function", FUNCTION_KEY, plan.function), Stage("caller", CALLER_KEY, plan.caller)]
    quiet, raised, _ = run_local([batch], stages, 2)
    assert plan.incident is not None
    timeline = Timeline(plan.incident.make(0, 1))
    for found in raised:
        timeline.push(found)
    verdicts = [*([] if quiet is None else [quiet]), *timeline.advance(END)]
    told = [row for found in timeline.take_raised() for row in found.select(INCIDENT.names).to_pylist()]
    return pa.Table.from_batches(verdicts), told


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_judged_like_any_other(plan: Plan, name: str) -> None:
    text = HOSTILE[name]
    records = [
        {
            "event_time": number * SECOND,
            "invocation_id": f"{number}{text[:40]}",
            "app": text,
            "function": text if number % 2 else "Pay",
            "caller": f"address:{text}",
            "path": text[:2_048],
            "message": text[:2_048],
            "exception_type": text,
            "country": text,
            "status": 500,
            "succeeded": False,
            "duration_ms": 60_000.0,
        }
        for number in range(30)
    ]
    verdicts, incidents = judged(rows(records), plan)
    assert sorted(verdicts["invocation_id"].to_pylist()) == sorted(record["invocation_id"] for record in records)
    assert np.isfinite(verdicts["score"].to_numpy()).all()
    assert len(incidents) > 0
    for incident in incidents:
        for line in (incident["title"], incident["summary"]):
            assert len(line) < 1_000
            assert not any(character in line for character in "\x00\x07\x1b\r\n\x7f\u202e\u2028\u2067")
            assert "<script" not in line


def test_absurd_numbers_are_judged_without_harm(plan: Plan) -> None:
    records = [
        {"event_time": number * SECOND, "invocation_id": f"i{number}", **odd}
        for number, odd in enumerate(
            [
                {"duration_ms": 0.0},
                {"duration_ms": 1e12},
                {"duration_ms": None, "status": None, "succeeded": None},
                {"status": -1},
                {"status": 2**31 - 1},
                {"item_count": 2**31 - 1},
                {"item_count": 0},
                {"dequeue_count": 2**31 - 1},
                {"event_time": -EPOCH_US + SECOND},
                {"trigger": "other", "caller": "", "caller_source": "unknown"},
            ]
            * 3
        )
    ]
    records = [{**record, "invocation_id": f"i{number}"} for number, record in enumerate(records)]
    verdicts, _ = judged(rows(records), plan)
    assert verdicts.num_rows == len(records)
    assert np.isfinite(verdicts["score"].to_numpy()).all()
    p_values = verdicts["p_value"].to_numpy()
    assert ((p_values >= 0.0) & (p_values <= 1.0)).all()


def many(count: int, **columns: pa.Array) -> pa.RecordBatch:
    """So many calls a millisecond apart, without making a dictionary of each."""
    plain = rows([{"status": 200, "succeeded": True, "duration_ms": 100.0}]).select(INVOCATION.names)
    full = {
        name: pa.concat_arrays([plain[name].take(pa.array(np.zeros(count, np.int64)))]) for name in INVOCATION.names
    }
    number = pa.array(np.arange(count))
    full["event_time"] = pa.array(EPOCH_US + np.arange(count) * 1_000).cast(INVOCATION.field("event_time").type)
    full["invocation_id"] = named("id-", number)
    full |= columns
    return with_at(pa.RecordBatch.from_arrays([full[name] for name in INVOCATION.names], schema=INVOCATION))


def named(prefix: str, number: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(prefix, number.cast(pa.string()), "")


def test_ten_thousand_functions_in_one_batch(plan: Plan) -> None:
    batch = many(20_000, function=named("F", pa.array(np.arange(20_000) % 10_000)))
    verdicts, incidents = judged(batch, plan)
    assert verdicts.num_rows == 20_000
    # one storm of new functions, not ten thousand
    assert len({incident["incident_id"] for incident in incidents}) < 50


def test_fifty_thousand_callers_in_one_batch_are_a_crowd_in_bounded_memory(plan: Plan) -> None:
    batch = many(50_000, caller=named("address:", pa.array(np.arange(50_000))))
    tracemalloc.start()
    verdicts, incidents = judged(batch, plan)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert verdicts.num_rows == 50_000
    assert peak < 1_500_000_000
    assert len({incident["incident_id"] for incident in incidents}) < 50
    for incident in incidents:
        assert len(incident["callers"]) <= 50
        assert len(incident["invocation_ids"]) <= 1_000


def test_a_thousand_calls_of_one_moment_are_ordered_by_their_ids(plan: Plan) -> None:
    batch = many(1_000, event_time=pa.array([EPOCH_US] * 1_000).cast(INVOCATION.field("event_time").type))
    shuffled = batch.take(pa.array(np.random.default_rng(1).permutation(1_000)))
    order = [("invocation_id", "ascending")]
    assert judged(batch, plan)[0].sort_by(order).equals(judged(shuffled, plan)[0].sort_by(order))


def test_ids_that_are_all_the_same_are_one_invocation_and_its_copies(plan: Plan) -> None:
    batch = many(2_000, invocation_id=pa.array(["same"] * 2_000))
    assert judged(batch, plan)[0].num_rows == 1


def test_batches_of_nothing_give_nothing(plan: Plan) -> None:
    stages = [Stage("function", FUNCTION_KEY, plan.function), Stage("caller", CALLER_KEY, plan.caller)]
    out, raised, counts = run_local([many(1).slice(0, 0)], stages)
    assert out is None or out.num_rows == 0
    assert [row for found in raised for row in found.to_pylist() if row["signal"] != "tick"] == []
    assert counts["late"] == 0
