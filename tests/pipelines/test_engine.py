"""The embedded engine gives what a replay gives, to the bit: ordered, shuffled, late, cut, saved and swapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.model import Model
from detectors.order import concat
from detectors.schema import INVOCATION
from models.errors import InputError
from pipelines.carry_over import carried_over
from pipelines.engine import Engine, Given, telling
from pipelines.graph import Plan
from pipelines.sources.files import expand, read
from pipelines.workflows import plan_for, replay
from tests.conftest import Tenant
from tests.pipelines.live import (
    SECOND,
    canonical,
    check_late,
    completions,
    cut,
    identity,
    last_told,
    play,
    play_late,
    table_of,
)

HOUR = 3_600 * SECOND


@pytest.fixture(scope="module")
def logs(tenant: Tenant) -> pa.RecordBatch:
    return concat([piece.rows for ref in expand([str(tenant.replay)]) for piece in read(ref)])


@pytest.fixture(scope="module")
def plan(model: Model) -> Plan:
    return plan_for(model, 1.0)


@pytest.fixture(scope="module")
def watchful(model: Model) -> Plan:
    """With a budget at which many incidents open."""
    return plan_for(model, 20.0)


@pytest.fixture(scope="module")
def day(logs: pa.RecordBatch) -> pa.RecordBatch:
    """Invocations of a stretch of the day with trouble in it."""
    calls = logs.filter(pc.equal(logs.column("record"), "invocation"))
    calls = calls.take(pa.array(np.argsort(completions(calls), kind="stable")))
    return calls.slice(calls.num_rows // 2, 2_000)


@pytest.fixture(scope="module")
def expected(tenant: Tenant, models: Path, tmp_path_factory: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Verdicts and incidents of a replay."""
    out = tmp_path_factory.mktemp("replayed")
    replay([str(tenant.replay)], models, out, verdicts="all")
    incidents = [orjson.loads(line) for line in (out / "incidents.ndjson").read_bytes().splitlines()]
    return canonical(pq.read_table(out / "verdicts")), last_told(incidents)


def check(given: Given, expected: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    assert canonical(given.verdicts) == expected[0]
    assert last_told(given.incidents) == expected[1]


@pytest.mark.parametrize("shards", [1, 3])
def test_ordered_input_gives_the_verdicts_and_incidents_of_a_replay(logs, plan, expected, shards):
    engine = Engine(plan, shards=shards, lateness_us=0)
    check(play(engine, cut(logs, np.argsort(completions(logs), kind="stable"), 1_111)), expected)
    assert engine.counts()["late"] == 0


def test_input_out_of_order_within_the_allowed_lateness_gives_the_same(logs, plan, expected):
    generator = np.random.default_rng(1)
    arrival = completions(logs) + generator.integers(0, 300 * SECOND, logs.num_rows)
    engine = Engine(plan, lateness_us=300 * SECOND)
    check(play(engine, cut(logs, np.argsort(arrival, kind="stable"), 500)), expected)
    assert engine.counts()["late"] == 0


def test_input_shuffled_as_a_whole_gives_the_same_where_it_comes_in_one_poll(logs, plan, expected):
    order = np.random.default_rng(2).permutation(logs.num_rows)
    check(play(Engine(plan, lateness_us=0), [logs.take(pa.array(order))]), expected)


@given(
    seed=st.integers(0, 2**16),
    share=st.sampled_from([0.01, 0.1, 0.5]),
    lateness_s=st.sampled_from([0, 10, 300]),
    size=st.integers(50, 700),
    shards=st.sampled_from([1, 3]),
    restarts=st.booleans(),
)
@settings(max_examples=5, deadline=None)
def test_of_rows_beyond_the_lateness_the_late_alone_differ_and_are_marked(
    day, watchful, seed, share, lateness_s, size, shards, restarts
):
    generator = np.random.default_rng(seed)
    chosen = generator.random(day.num_rows) < share
    delay = generator.choice([11 * SECOND, 400 * SECOND, HOUR, 6 * HOUR], day.num_rows)
    arrival = completions(day) + np.where(chosen, delay, 0)
    batches = cut(day, np.argsort(arrival, kind="stable"), size)
    whole, in_time, counts = play_late(watchful, batches, lateness_s * SECOND, shards, restarts=restarts)
    alone, _, others = play_late(watchful, in_time, lateness_s * SECOND)
    late = check_late(table_of(whole.verdicts), whole.incidents, alone, same_steps=True)
    # each is marked, counted, and has a verdict
    assert others["late"] == 0
    assert counts["late"] == day.num_rows - sum(batch.num_rows for batch in in_time) == len(late)
    assert sum(batch.num_rows for batch in whole.verdicts) == day.num_rows


def test_a_late_row_that_changes_an_incident_amends_it_under_its_id(logs, plan):
    order = np.argsort(completions(logs), kind="stable")
    first = play(Engine(plan, lateness_us=0), cut(logs, order, 1_000))
    strange = next(i for i in first.incidents if i["invocations"] >= 20 and i["closed"])
    members = np.asarray(pc.is_in(logs.column("invocation_id"), pa.array(strange["invocation_ids"])))
    last = np.flatnonzero(members)[-1]
    arrival = completions(logs).copy()
    arrival[last] += HOUR
    second = play(Engine(plan, lateness_us=0), cut(logs, np.argsort(arrival, kind="stable"), 1_000))
    told = last_told(second.incidents)[strange["incident_id"]]
    assert logs.column("invocation_id")[int(last)].as_py() in told["invocation_ids"]


def test_each_telling_of_an_incident_has_an_identity_of_its_own(logs, plan):
    order = np.argsort(completions(logs), kind="stable")
    told = play(Engine(plan, lateness_us=0), cut(logs, order, 700)).incidents
    assert told
    assert len({identity(incident) for incident in told}) == len(told)


def test_the_last_telling_is_a_revision_further():
    assert telling({"incident_id": "a", "revision": 2, "closed": True})["revision"] == 3
    assert telling({"incident_id": "a", "revision": 2, "closed": False})["revision"] == 2


def test_saved_and_restored_at_any_moment_it_goes_on_as_if_nothing_had_been(logs, plan, expected):
    batches = cut(logs, np.argsort(completions(logs), kind="stable"), 2_000)
    given = Given()
    engine = Engine(plan, lateness_us=60 * SECOND)
    for batch in batches:
        engine.push("source", batch, None, 2**60)
        engine.polled("source", True, 2**60)
        one = engine.advance()
        given.verdicts += one.verdicts
        given.incidents += one.incidents
        tables, marks = engine.snapshot(), engine.marks()
        engine = Engine(plan, lateness_us=60 * SECOND)
        engine.restore(tables, orjson.loads(orjson.dumps(marks)))
    end = engine.finish()
    check(Given(given.verdicts + end.verdicts, given.incidents + end.incidents), expected)


def test_a_state_of_another_number_of_shards_is_refused(plan):
    engine = Engine(plan, shards=2)
    with pytest.raises(InputError, match="another shape"):
        Engine(plan, shards=1).restore(engine.snapshot(), engine.marks())


def test_a_swap_between_two_rows_changes_the_name_of_the_version_and_nothing_that_lives(logs, model, expected):
    batches = cut(logs, np.argsort(completions(logs), kind="stable"), 3_000)
    engine = Engine(plan_for(replace(model, version="first"), 1.0), lateness_us=0)
    given = Given()
    for number, batch in enumerate(batches):
        if number == 2:
            engine.swap(plan_for(replace(model, version="second"), 1.0))
        engine.push("source", batch, None, 2**60)
        engine.polled("source", True, 2**60)
        one = engine.advance()
        given.verdicts += one.verdicts
        given.incidents += one.incidents
    end = engine.finish()
    verdicts = canonical(given.verdicts + end.verdicts)
    named = [row.pop("model_version") for row in verdicts]
    assert set(named) == {"first", "second"}
    assert verdicts == [{k: v for k, v in row.items() if k != "model_version"} for row in expected[0]]


def test_a_plan_that_the_folds_refuse_leaves_the_old_one_judging(logs, plan, expected):
    class Broken:
        def make(self, shard: int, shards: int) -> Any:
            raise ValueError("no")

    engine = Engine(plan, lateness_us=0)
    batches = cut(logs, np.argsort(completions(logs), kind="stable"), 4_000)
    engine.push("source", batches[0], None, 2**60)
    with pytest.raises(ValueError, match="no"):
        engine.swap(replace(plan, caller=Broken()))
    rest = play(engine, batches[1:])
    assert canonical(rest.verdicts) == expected[0]


def test_what_only_the_new_training_knows_is_added_and_what_lives_stays():
    live = {"fold/1/pairs": pa.table({"key": pa.array([1, 2], pa.uint64()), "state": [10.0, 20.0]})}
    live["fold/0/seen"] = pa.table({"entry": [1]})
    trained = {"fold/1/pairs": pa.table({"key": pa.array([2, 3], pa.uint64()), "state": [99.0, 30.0]})}
    trained["fold/0/seen"] = pa.table({"entry": [7]})
    merged = carried_over(live, trained)
    assert merged["fold/1/pairs"].to_pydict() == {"key": [1, 2, 3], "state": [10.0, 20.0, 30.0]}
    assert merged["fold/0/seen"].to_pydict() == {"entry": [1]}


def test_too_much_of_a_backlog_is_judged_before_its_end(logs, plan):
    engine = Engine(plan, lateness_us=0, max_pending_rows=500)
    now = int(completions(logs).max())
    batch = cut(logs, np.argsort(completions(logs), kind="stable"), 1_000)[0]
    engine.push("source", batch, None, now)
    assert not engine.due()
    assert engine.relieve(now)
    assert engine.due()
    engine.advance()
    assert engine.pending() < 500


def test_a_plan_for_training_is_refused(plan):
    with pytest.raises(InputError, match="judges nothing"):
        Engine(replace(plan, incident=None))


def test_it_takes_empty_batches(plan):
    engine = Engine(plan)
    engine.push("source", pa.RecordBatch.from_pylist([], schema=INVOCATION), None, 0)
    assert engine.finish().verdicts == []
