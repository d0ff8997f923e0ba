"""Runs are counted as they end, and those that others promised and that do not come become an incident."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.function_features import FunctionFeatures, from_matrix
from detectors.incidents import Incidents
from detectors.operations import Operations
from detectors.order import concat, in_order, with_at
from detectors.run_counts import RunCounts, went_well
from detectors.schema import INVOCATION
from detectors.timeline import END
from models.baselines import BIN_US
from tests.detectors.life import baselines_of, timer
from tests.detectors.rows import EPOCH_US, PLAIN
from tests.detectors.strange import OPENS, raised, silent, speech, strange, tick
from tests.models.downstream import CHARGE, DAY, HOUR, MINUTE, NAMES, Run, learned, orders, without

KNOWN = learned(orders(days=6))


def counts_of(runs: Sequence[Run], cuts: Sequence[int] = ()) -> pa.RecordBatch:
    """What is raised of runs, in us after the epoch; counted in pieces, and saved and read at each cut."""
    counts, found = RunCounts(KNOWN), []
    key = dict(zip(zip(KNOWN.apps, KNOWN.functions, strict=True), KNOWN.keys.tolist(), strict=True))
    runs = [run for run in sorted(runs, key=lambda run: run[3]) if NAMES[run[1]][:2] in key]
    for begin, end in zip([0, *cuts], [*cuts, 100 * DAY], strict=True):
        part = [run for run in runs if begin <= run[3] < end]
        keys = np.array([key[NAMES[run[1]][:2]] for run in part], np.uint64)
        ended = np.array([run[3] + EPOCH_US for run in part], np.int64)
        counts.add(keys, ended, np.ones(len(part)), np.array([run[4] for run in part], np.bool_))
        found.append(counts.take(end + EPOCH_US))
        fresh = RunCounts(KNOWN)
        fresh.restore(counts.snapshot())
        assert fresh.due() == counts.due()
        counts = fresh
    return in_order(concat([batch for batch in found if batch is not None]))


def incidents_of(runs: Sequence[Run], *others: dict[str, Any], watermark_us: int | None = None) -> list[dict[str, Any]]:
    """The incidents as they were told last."""
    reached = tick(max(run[3] for run in runs))
    rows = in_order(concat([counts_of(runs), raised([*others, reached])]))
    fold, told = Incidents(OPENS, downstream=KNOWN), {}
    for watermark in ([] if watermark_us is None else [watermark_us]) + [END]:
        below = np.asarray(rows["at"]) < watermark
        fold.advance(rows.filter(pa.array(below)), watermark)
        rows = rows.filter(pa.array(~below))
        batch = fold.raised()
        told |= {one["incident_id"]: one for one in ([] if batch is None else batch.to_pylist())}
        fresh = Incidents(OPENS, downstream=KNOWN)
        fresh.restore(fold.snapshot())
        fold = fresh
    return list(told.values())


GONE = without(orders(days=3), CHARGE, DAY, DAY + 6 * HOUR)


def test_a_count_says_how_many_runs_ended_in_five_minutes_and_how_many_went_well() -> None:
    runs = [(1, 0, 0, MINUTE, True), (2, 0, 0, 2 * MINUTE, False), (3, 1, 0, 6 * MINUTE, True)]
    told = counts_of(runs).to_pylist()
    assert [(row["function"], row["at"] - EPOCH_US, row["runs"], row["promised"]) for row in told] == [
        ("Order", BIN_US, 2.0, 1.0),
        ("Charge", 2 * BIN_US, 1.0, 1.0),
    ]
    assert {row["signal"] for row in told} == {"runs"}


@given(st.lists(st.integers(0, 3 * DAY), max_size=6).map(sorted))
def test_counts_do_not_hang_on_where_runs_are_cut(cuts: list[int]) -> None:
    runs = orders(days=3, every=MINUTE)
    assert counts_of(runs, cuts).equals(counts_of(runs))


def test_runs_of_what_nobody_follows_are_not_counted() -> None:
    counts = RunCounts(KNOWN)
    counts.add(np.array([7, 8], np.uint64), np.array([5, 6]), np.ones(2), np.ones(2, np.bool_))
    assert counts.take(END) is None
    assert counts.due() is None


def test_work_that_no_longer_arrives_is_an_incident_that_says_so_in_one_sentence() -> None:
    (incident,) = incidents_of(without(orders(days=3), CHARGE, DAY, 3 * DAY))
    assert incident["kind"] == "silence-downstream"
    assert incident["title"] == "Work that does not arrive at Charge"
    assert incident["summary"] == (
        "No run of Charge in pay since 00:00 UTC on 2 November, where about 3 should have followed what ran of Order: "
        "about 3 missing."
    )
    named = (incident["apps"], incident["functions"], incident["invocations"])
    assert named == (["pay", "shop"], ["Charge", "Order"], 0)
    assert [reason["text"] for reason in incident["reasons"]] == ["0 runs where about 3 were to follow"]


def test_it_says_that_the_work_comes_again() -> None:
    (incident,) = incidents_of(GONE)
    assert incident["summary"].endswith("missing, but they come again.")


TWICE = [
    *orders(days=3),
    *((10**6 + n, CHARGE, DAY + n * MINUTE, DAY + n * MINUTE + 1_000_000, True) for n in range(60)),
]


def test_more_runs_than_work_are_an_incident_that_says_so_in_one_sentence() -> None:
    (incident,) = incidents_of(TWICE)
    assert incident["kind"] == "surplus-downstream"
    assert incident["title"] == "More runs than work at Charge"
    assert incident["summary"] == (
        "6 runs of Charge in pay since 00:00 UTC on 2 November, where about 1 should have followed what ran of Order: "
        "6 times as many, but no longer."
    )
    named = (incident["apps"], incident["functions"], incident["invocations"])
    assert named == (["pay", "shop"], ["Charge", "Order"], 0)


def test_more_runs_than_work_are_no_incident_of_their_own_where_their_function_is_strange_otherwise() -> None:
    flood = [strange(DAY + n * MINUTE, f"f{n}", function="Charge", app="pay", by_caller=False) for n in range(30)]
    assert [one["kind"] for one in incidents_of(TWICE, *flood)] != ["surplus-downstream"]
    assert len(incidents_of(TWICE, *flood)) == 1


@pytest.mark.parametrize("after", [DAY, DAY + HOUR, DAY + 80 * MINUTE, DAY + 2 * HOUR, 2 * DAY])
def test_it_is_told_the_same_wherever_the_logs_are_cut(after: int) -> None:
    for runs in (GONE, TWICE):
        (whole,), (cut,) = incidents_of(runs), incidents_of(runs, watermark_us=EPOCH_US + after)
        assert whole == cut


def test_it_is_no_incident_of_its_own_where_another_goes_on_that_explains_it() -> None:
    failing = [
        strange(
            DAY + n * MINUTE, f"f{n}", function="Order", feature="failure_burst", trouble="failing", by_caller=False
        )
        for n in range(0, 180, 5)
    ]
    elsewhere = [{**one, "app": "blog", "function": "Render"} for one in failing]
    assert [one["functions"] for one in incidents_of(GONE, *failing)] == [["Order"]]
    assert sorted(one["functions"] for one in incidents_of(GONE, *elsewhere)) == [["Charge", "Order"], ["Render"]]


def test_what_says_nothing_at_all_is_told_as_silent_whichever_is_known_first() -> None:
    at = DAY + 3 * HOUR
    clock = silent(at, "Charge", app="pay", since=EPOCH_US + DAY, per_hour=3.0)
    (incident,) = incidents_of(without(orders(days=3), CHARGE, DAY, 3 * DAY), clock)
    assert incident["kind"] == "silence"
    sooner = {**clock, "at": DAY + HOUR // 2, "invocation_id": "silence:0"}
    (incident,) = incidents_of(without(orders(days=3), CHARGE, DAY, 3 * DAY), sooner)
    assert incident["kind"] == "silence"
    (over,) = incidents_of(GONE, clock, speech(DAY + 6 * HOUR, "Charge", app="pay"))
    assert over["kind"] == "silence"


def test_it_is_no_part_of_what_else_is_silent_unless_that_is_all_of_its_app() -> None:
    gone = without(orders(days=3), CHARGE, DAY, 3 * DAY)
    for app, function, told in (("pay", "Close", 2), ("blog", "Tick", 2), ("pay", "", 1)):
        for at in (DAY + HOUR // 2, DAY + 2 * HOUR):
            found = incidents_of(gone, silent(at, function, app=app, since=EPOCH_US + DAY))
            assert len(found) == told, (app, function, at)
    # what is heard of again explains nothing
    early = [silent(HOUR, "", app="pay"), speech(2 * HOUR, "", app="pay")]
    assert len(incidents_of(gone, *early)) == 2


def test_what_failed_or_was_refused_did_not_go_well_and_what_nothing_is_known_of_did() -> None:
    succeeded = pa.array([True, False, None, True], pa.bool_())
    assert went_well(succeeded, pa.array([200, 500, None, 404], pa.int32())).tolist() == [True, False, True, False]


def test_what_is_strange_is_the_same_where_all_operations_are_kept_to_learn_from() -> None:
    tried = [{"operation_id": f"op-{n // 3}", "succeeded": n % 3 == 2, "status": None} for n in range(30)]
    records = [
        {**PLAIN, "trigger": "queue", "function": "Send", "caller": "queue:mail", "caller_source": "queue", **one}
        for one in tried
    ]
    for number, record in enumerate(records):
        record |= {"event_time": EPOCH_US + number * MINUTE, "invocation_id": f"run-{number:02d}", "duration_ms": 5.0}
    batch = pa.RecordBatch.from_pylist(records, schema=INVOCATION)
    usual = baselines_of(timer(0, 24))
    raw = []
    for every_operation in (False, True):
        fold = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
        rows = in_order(with_at(batch, every_operation=every_operation))
        raw.append(from_matrix(fold.advance(rows, END).column("raw_function")))
    assert raw[0].any()
    assert np.array_equal(*raw)


def test_who_follows_whom_is_learned_from_invocations() -> None:
    operations = Operations()
    for begin in range(0, 6):
        records = []
        for operation, function, begun, ended, _ in orders(days=1):
            app, name, trigger = NAMES[function]
            number = f"{begin}-{operation}"
            more = {
                "invocation_id": f"{name}-{number}",
                "operation_id": f"op-{number}",
                "duration_ms": (ended - begun) / 1e3,
            }
            at = EPOCH_US + begin * DAY + begun
            records.append({**PLAIN, "app": app, "function": name, "trigger": trigger, "event_time": at, **more})
        batch = pa.RecordBatch.from_pylist(records, schema=INVOCATION)
        operations.update(in_order(with_at(batch, every_operation=True)))
    known = operations.learn()
    assert (known.apps, known.functions, known.triggers) == (("pay", "shop"), ("Charge", "Order"), ("queue", "http"))
    assert known.mean.tolist() == [1.0]
