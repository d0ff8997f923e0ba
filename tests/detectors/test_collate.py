"""One row an invocation, whatever copies, beginnings and details came with it, and however they came."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.collate import DETAIL_WAIT_US, HOLD_US, STARTED_WAIT_US, Collate
from detectors.local import Stage, run_local
from detectors.seen import REMEMBERED_HOURS, REMEMBERED_SPANS, SPAN_US
from detectors.timeline import END, Timeline
from tests.detectors.rows import EPOCH_US, HOUR, SECOND, rows

HOST = "azurefunctions: 4.1036.2.2"


@dataclass(frozen=True)
class Collates:
    def make(self, shard: int, shards: int) -> Collate:
        return Collate()


STAGE = Stage("collate", ("app", "function"), Collates())


def collate(*records: dict[str, Any], shards: int = 1) -> tuple[list[dict[str, Any]], dict[str, int]]:
    out, _, counts = run_local([rows(records)], [STAGE], shards)
    found = [] if out is None else out.to_pylist()
    for row in found:
        row["at"] -= EPOCH_US
    return found, {name: count for name, count in counts.items() if count}


def at(seconds: float, **fields: Any) -> dict[str, Any]:
    return {"event_time": round(seconds * SECOND), **fields}


def test_an_invocation_takes_its_place_when_it_ends():
    (row,), _ = collate(at(10, duration_ms=1_500.0))
    assert row["at"] == 11_500_000


def test_distinct_invocations_pass_unchanged_and_in_order():
    found, counts = collate(at(3, invocation_id="c"), at(1, invocation_id="a"), at(2, invocation_id="b"))
    assert [row["invocation_id"] for row in found] == ["a", "b", "c"]
    assert counts == {"invocations": 3}


def test_of_two_rows_within_the_hold_the_hosts_leads_and_the_other_fills_what_it_lacks():
    (row,), counts = collate(
        at(10, sdk_version="dotnetiso:1.2", message="from the worker", city="Data Centre", method="PUT"),
        at(11, sdk_version=HOST, method="GET"),
    )
    assert (row["sdk_version"], row["method"], row["message"]) == (HOST, "GET", "from the worker")
    # a worker's geography is the data centre's
    assert row["city"] is None
    assert row["at"] == 10 * SECOND
    assert counts == {"invocations": 1, "duplicates": 1}


def test_a_later_copy_is_a_duplicate_for_as_long_as_exports_retry():
    retry = (REMEMBERED_HOURS - 1) * HOUR / SECOND
    found, counts = collate(at(0), at(retry))
    assert len(found) == 1
    assert counts == {"invocations": 1, "duplicates": 1}
    found, counts = collate(at(0), at((REMEMBERED_HOURS + 2) * HOUR / SECOND))
    assert len(found) == 2
    assert counts == {"invocations": 2}


def test_details_join_the_invocation_that_they_tell_of():
    (row,), counts = collate(
        at(0, record="trace", dequeue_count=4),
        at(3, record="exception", exception_type="TimeoutError", message="too slow"),
        at(1, duration_ms=2_500.0, succeeded=False),
        at(4, record="trace", unscheduled_reason="IsPastDue"),
    )
    assert (row["dequeue_count"], row["exception_type"], row["message"]) == (4, "TimeoutError", "too slow")
    assert row["unscheduled_reason"] == "IsPastDue"
    assert row["record"] == "invocation"
    assert counts == {"invocations": 1, "details": 3, "details_joined": 3}


def test_a_detail_never_overrides_what_the_invocation_says():
    (row,), _ = collate(at(1, record="exception", message="detail"), at(2, message="own"))
    assert row["message"] == "own"


def test_a_detail_without_its_invocation_is_an_orphan():
    early = (HOUR + 301 * SECOND) / SECOND
    found, counts = collate(at(0, record="trace", dequeue_count=4), at(early))
    assert [row["dequeue_count"] for row in found] == [None]
    assert counts == {"invocations": 1, "details": 1, "details_orphaned": 1}
    _, counts = collate(at(0), at(2, record="trace"))
    assert counts == {"invocations": 1, "details": 1, "details_orphaned": 1}


def test_a_beginning_fills_its_end_and_counts_as_a_duplicate():
    (row,), counts = collate(
        at(0, record="started", trigger="queue", caller="queue:orders", caller_source="queue", caller_confidence=0.4),
        at(600, trigger="other", caller="unknown", caller_source="unknown", caller_confidence=0.0, succeeded=True),
    )
    assert (row["trigger"], row["caller"], row["caller_source"]) == ("queue", "queue:orders", "queue")
    assert row["caller_confidence"] == pytest.approx(0.4)
    assert row["at"] == 600 * SECOND
    assert counts == {"invocations": 1, "duplicates": 1}


def test_the_caller_is_not_taken_from_the_address_of_a_trace():
    (row,), _ = collate(
        at(0, record="trace", caller="address:10.0.0.1"),
        at(1, caller="unknown", caller_source="unknown", caller_confidence=0.0),
    )
    assert row["caller"] == "unknown"


def test_a_beginning_without_an_end_becomes_an_invocation_with_an_unknown_outcome():
    (row,), counts = collate(at(5, record="started"))
    assert (row["record"], row["duration_ms"], row["succeeded"]) == ("invocation", None, None)
    assert row["at"] == 5 * SECOND + STARTED_WAIT_US
    assert counts == {"invocations": 1, "started_only": 1}


def test_an_end_that_comes_too_late_is_a_duplicate():
    found, counts = collate(at(0, record="started"), at(2 * HOUR / SECOND, succeeded=True))
    assert [row["succeeded"] for row in found] == [None]
    assert counts == {"invocations": 1, "duplicates": 1, "started_only": 1}


def test_what_is_late_is_given_late():
    timeline = Timeline(Collate())
    timeline.push(rows([at(100, invocation_id="b")]))
    timeline.advance(EPOCH_US + 200 * SECOND)
    timeline.push(rows([at(50, invocation_id="a"), at(100, invocation_id="b")]))
    (out,) = timeline.advance(EPOCH_US + 201 * SECOND)
    assert out["invocation_id"].to_pylist() == ["a"]
    assert out["late"].to_pylist() == [True]
    assert timeline.fold.counts()["duplicates"] == 1


def test_nothing_is_given_before_it_can_no_longer_change():
    timeline = Timeline(Collate())
    timeline.push(rows([at(0)]))
    timeline.advance(EPOCH_US + HOLD_US)
    assert timeline.due() == EPOCH_US + HOLD_US + 1
    (out,) = timeline.advance(EPOCH_US + HOLD_US + 1)
    assert out.num_rows == 1
    assert timeline.due() is None


def test_ids_are_forgotten_in_time():
    timeline = Timeline(Collate())
    sizes = []
    for hour in range(60):
        timeline.push(rows([at(hour * 3_600 + i, invocation_id=f"{hour}-{i}") for i in range(200)]))
        timeline.advance(EPOCH_US + (hour + 1) * HOUR)
        sizes.append(timeline.snapshot()["fold/seen"].num_rows)
    # swept every 12 hours, so at most the ids of two times 12 hours are there
    assert max(sizes) <= 200 * 25
    assert sizes[-1] >= 200 * REMEMBERED_HOURS


def reference(records: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """The rules, id by id and row by row: anchor, method and dequeue count of each invocation."""
    batch = Timeline(Sorted())
    batch.push(rows(records))
    ordered = [row for out in batch.advance(END) for row in out.to_pylist()]
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in ordered:
        by_id[row["invocation_id"]].append(row)
    found = {}
    for key, mine in by_id.items():
        groups: list[dict[str, Any]] = []
        for row in mine:
            if row["record"] == "trace":
                continue
            started = row["record"] == "started"
            last = groups[-1] if groups else None
            if last is not None and row["at"] < last["anchor"] + HOLD_US:
                if last["begun"] and not started:
                    last["begun"], last["anchor"] = False, min(last["anchor"], row["at"])
                last["rows"].append(row)
            elif last is None or row["at"] // SPAN_US - last["anchor"] // SPAN_US > REMEMBERED_SPANS:
                anchor = row["at"] + (STARTED_WAIT_US if started else 0)
                groups.append({"anchor": anchor, "begun": started, "rows": [row]})
        told = []
        for group in groups:
            leading = sorted(
                group["rows"],
                key=lambda r: 2 if r["record"] == "started" else not (r["sdk_version"] or "").startswith(HOST),
            )
            donors = leading + [
                row
                for row in mine
                if row["record"] == "trace"
                and group["anchor"] - DETAIL_WAIT_US <= row["at"] < group["anchor"] + HOLD_US
            ]
            filled = (next((row[name] for row in donors if row[name]), None) for name in ("method", "dequeue_count"))
            told.append((group["anchor"], *filled))
        found[key] = told
    return found


class Sorted:
    def advance(self, batch: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        return batch

    def snapshot(self) -> dict[str, pa.Table]:
        return {}

    def restore(self, tables: object) -> None:
        pass


#: times around every boundary of the rules, s
MOMENTS = (
    0,
    0.5,
    1.999999,
    2,
    2.000001,
    3,
    3_599,
    3_600,
    3_601,
    3_602,
    3_899,
    3_900,
    3_903,
    43_199,
    46_800,
    50_500,
    180_000,
)
records = st.lists(
    st.builds(
        at,
        st.sampled_from(MOMENTS),
        record=st.sampled_from(["invocation", "invocation", "started", "trace"]),
        invocation_id=st.sampled_from("abcd"),
        sdk_version=st.sampled_from([None, HOST]),
        method=st.sampled_from([None, "GET", "PUT"]),
        dequeue_count=st.sampled_from([None, 1, 2]),
    ),
    max_size=25,
)


@given(records)
@settings(max_examples=60, deadline=None)
def test_the_kernel_agrees_with_the_rules_written_plainly(these):
    out, _, counts = run_local([rows(these)], [STAGE])
    found = defaultdict(list)
    for row in [] if out is None else out.to_pylist():
        found[row["invocation_id"]].append((row["at"], row["method"], row["dequeue_count"]))
    expected = {name: told for name, told in reference(these).items() if told}
    assert dict(found) == expected
    invocations = sum(record["record"] != "trace" for record in these)
    assert counts["invocations"] + counts["duplicates"] == invocations
    assert counts["details"] == counts["details_joined"] + counts["details_orphaned"] == len(these) - invocations


@given(records, st.lists(st.sampled_from(MOMENTS), max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cuts_and_snapshots_do_not_matter(these, boundaries, save):
    whole, _, counts = run_local([rows(these)], [STAGE])
    timeline = Timeline(Collate())
    timeline.push(rows(these))
    given_rows = []
    for boundary in [*sorted(boundaries), None]:
        given_rows += timeline.advance(END if boundary is None else EPOCH_US + round(boundary * SECOND))
        if save:
            resumed = Timeline(Collate())
            resumed.restore(timeline.snapshot())
            assert resumed.due() == timeline.due()
            timeline = resumed
    stepped = [row for out in given_rows for row in out.to_pylist()]
    assert stepped == ([] if whole is None else whole.to_pylist())
    assert timeline.fold.counts() == {name: count for name, count in counts.items() if name != "late"}


def test_shards_do_not_matter():
    these = [at(i, function=f"f{i % 5}", invocation_id=str(i // 2), duration_ms=float(i % 7)) for i in range(100)]
    assert collate(*these) == collate(*these, shards=3)


def in_turn(*arrivals: tuple[float, list[dict[str, Any]]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What is given where records come in pieces, each followed by a watermark (s)."""
    timeline = Timeline(Collate())
    found = []
    for watermark, records in arrivals:
        timeline.push(rows(records))
        found += timeline.advance(EPOCH_US + round(watermark * SECOND))
    found += timeline.advance(END)
    counts = {name: count for name, count in timeline.fold.counts().items() if count}
    return [row for batch in found for row in batch.to_pylist()], counts


@pytest.mark.parametrize("given_before", [True, False])
def test_a_late_copy_and_a_late_detail_of_what_came_in_time_change_nothing(given_before: bool):
    watermark = 110 if given_before else 101
    late = [at(100, message="late", sdk_version=HOST), at(100, record="detail", exception_type="Late")]
    (row,), counts = in_turn((watermark, [at(100)]), (watermark, late))
    assert (row["message"], row["exception_type"], row["late"]) == (None, None, False)
    assert counts == {"invocations": 1, "duplicates": 1, "details": 1, "details_orphaned": 1}


def test_what_comes_in_time_is_not_hidden_by_a_copy_that_came_late_before_it():
    found, counts = in_turn((200, []), (250, [at(100), at(220, invocation_id="b")]), (400, [at(300)]))
    assert [(row["invocation_id"], row["at"] - EPOCH_US, row["late"]) for row in found] == [
        ("a", 100 * SECOND, True),
        ("b", 220 * SECOND, False),
        ("a", 300 * SECOND, False),
    ]
    assert counts == {"invocations": 3}


def test_a_late_row_that_is_held_is_a_duplicate_once_the_same_comes_in_time():
    found, counts = in_turn((101, [at(0, invocation_id="b")]), (101, [at(100)]), (200, [at(102)]))
    assert [(row["invocation_id"], row["late"]) for row in found] == [("b", False), ("a", False)]
    assert counts == {"invocations": 2, "duplicates": 1}


def test_late_copies_of_one_invocation_are_one_however_late_and_far_apart_they_come():
    night = 20 * HOUR / SECOND
    first = (night, [at(night - 1, invocation_id="b")])
    found, counts = in_turn(first, (night, [at(100)]), (night + 60, [at(100), at(101)]), (night + 90, [at(3)]))
    assert [(row["invocation_id"], row["late"]) for row in found] == [("a", True), ("b", False)]
    assert counts == {"invocations": 2, "duplicates": 3}


def test_an_end_that_comes_late_is_filled_from_its_beginning_which_stays_what_it_is():
    begun = at(100, record="started", path="/pay", succeeded=None)
    end = at(100, duration_ms=50_000.0, succeeded=False)
    found, counts = in_turn((200, [begun]), (300, [end]))
    assert [(r["duration_ms"], r["path"], r["succeeded"], r["late"]) for r in found] == [
        (50_000.0, "/pay", False, True),
        (None, "/pay", None, False),
    ]
    assert counts == {"invocations": 2, "started_only": 1}


def test_a_late_beginning_waits_for_its_end():
    begun, end = at(100, record="started"), at(100, duration_ms=300_000.0)
    # which may come late as well
    found, counts = in_turn((200, [at(0, invocation_id="b")]), (200, [begun]), (500, []), (600, [end]))
    assert [(row["invocation_id"], row["duration_ms"], row["late"]) for row in found[1:]] == [("a", 300_000.0, True)]
    assert counts == {"invocations": 2, "duplicates": 1}
    # or in time
    found, counts = in_turn((200, [at(0, invocation_id="b")]), (200, [begun]), (600, [end]))
    assert [(row["invocation_id"], row["duration_ms"], row["late"]) for row in found[1:]] == [("a", 300_000.0, False)]
    assert counts == {"invocations": 2, "duplicates": 1}


@given(
    records=st.lists(
        st.tuples(
            *(st.integers(0, 30), st.sampled_from("abc"), st.sampled_from(["invocation", "started", "detail"])),
            *(st.sampled_from([0, 0, 1, 4, 40, 4_000]), st.booleans()),
        ),
        max_size=16,
    ),
    lateness=st.sampled_from([0, 5]),
)
@settings(max_examples=60)
def test_what_came_in_time_is_given_as_if_nothing_had_come_late(
    records: list[tuple[int, str, str, int, bool]], lateness: int
):
    def run(arrivals: list[tuple[int, dict[str, Any], bool]]) -> tuple[list[dict[str, Any]], list[Any]]:
        timeline, given, in_time, seen = Timeline(Collate()), [], [], 0
        for when, record, saved in arrivals:
            if record["event_time"] >= seen - lateness * SECOND:
                in_time.append((when, record, saved))
            timeline.push(rows([record]))
            seen = max(seen, record["event_time"])
            given += timeline.advance(EPOCH_US + seen - lateness * SECOND)
            if saved:
                tables, timeline = timeline.snapshot(), Timeline(Collate())
                timeline.restore(tables)
        given += timeline.advance(END)
        counts = timeline.fold.counts()
        others = len(arrivals) - counts["details"] - counts["duplicates"]
        assert counts["invocations"] == others == sum(batch.num_rows for batch in given)
        return [row for batch in given for row in batch.to_pylist()], in_time

    arrivals = [
        (second + delay, at(second, invocation_id=name, record=record, message=str(n)), saved)
        for n, (second, name, record, delay, saved) in enumerate(records)
    ]
    found, in_time = run(sorted(arrivals, key=lambda arrival: arrival[0]))
    alone, _ = run(in_time)
    assert [{**row, "position": 0} for row in found if not row["late"]] == [{**row, "position": 0} for row in alone]
