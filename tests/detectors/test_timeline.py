"""Whatever the arrival, a fold sees one order; whatever the cuts and the shards, the result is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.local import Chain, Stage, run_local
from detectors.order import in_order, order_of, pick, split
from detectors.timeline import END, Tables, Timeline


class Accumulate:
    """A toy fold with history: for each row, a hash of all rows of its key so far."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.history: dict[str, int] = {}

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        del watermark_us
        values = []
        for row in rows.to_pylist():
            key = row[self.column]
            told = hash((self.history.get(key, 0), row["at"], row["weight"])) % 2**60
            self.history[key] = told
            values.append(told)
        name = f"history_{self.column}"
        index = rows.schema.get_field_index("weight")
        return rows.set_column(index, "weight", pa.array(values, pa.int64())).append_column(
            name, pa.array(values, pa.int64())
        )

    def counts(self) -> dict[str, int]:
        return {f"keys_{self.column}": len(self.history)}

    def snapshot(self) -> Tables:
        return {
            "history": pa.table(
                {"key": pa.array(self.history, pa.string()), "told": pa.array(self.history.values(), pa.int64())}
            )
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        self.history = dict(
            zip(tables["history"]["key"].to_pylist(), tables["history"]["told"].to_pylist(), strict=True)
        )


@dataclass(frozen=True)
class Accumulates:
    column: str

    def make(self, shard: int, shards: int) -> Accumulate:
        return Accumulate(self.column)


STAGES = (
    Stage("functions", ("function",), Accumulates("function")),
    Stage("callers", ("caller",), Accumulates("caller")),
)

SCHEMA = pa.schema(
    [
        pa.field("at", pa.int64(), nullable=False),
        ("late", pa.bool_()),
        ("invocation_id", pa.string()),
        ("function", pa.string()),
        ("caller", pa.string()),
        ("weight", pa.int64()),
    ]
)

events = st.lists(
    st.fixed_dictionaries(
        {
            # few times and few ids, so that there are ties and copies
            "at": st.integers(0, 40),
            "late": st.just(False),
            "invocation_id": st.sampled_from("abcdefgh"),
            "function": st.sampled_from(["f", "g", "h"]),
            "caller": st.sampled_from(["x", "y", "z"]),
            "weight": st.integers(0, 3),
        }
    ),
    max_size=40,
)


def batch(records: list[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(records, schema=SCHEMA)


def play(records: list[dict[str, object]], cuts: list[int]) -> list[pa.RecordBatch]:
    """Batches between cuts, as a stream would bring them."""
    edges = [0, *sorted(cut % (len(records) + 1) for cut in cuts), len(records)]
    return [batch(records[a:b]) for a, b in pairwise(edges)]


@given(events, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=5))
@settings(max_examples=60, deadline=None)
def test_the_order_of_arrival_and_the_batches_do_not_matter(records, random, cuts):
    straight, _, _ = run_local([batch(records)], STAGES)
    random.shuffle(records)
    shuffled, _, _ = run_local(play(records, cuts), STAGES)
    assert straight == shuffled


@given(events, st.integers(2, 7))
@settings(max_examples=40, deadline=None)
def test_the_number_of_shards_does_not_matter(records, shards):
    one, _, counts = run_local([batch(records)], STAGES)
    many, _, sharded = run_local([batch(records)], STAGES, shards)
    assert one == many
    assert counts == sharded


@given(events, st.lists(st.integers(0, 40), max_size=5), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_advancing_in_steps_gives_what_one_step_gives(records, cuts, slice_rows):
    records.sort(key=lambda record: record["at"])
    batches = play(records, cuts)
    # the watermark behind a batch is the earliest time still to come
    marks = [
        min([r["at"] for later in batches[i + 1 :] for r in later.to_pylist()], default=END)
        for i in range(len(batches))
    ]
    whole, _, _ = run_local([batch(records)], STAGES)
    stepped, _, counts = run_local(batches, STAGES, watermarks_us=marks)
    assert whole == stepped
    assert counts["late"] == 0
    small = Timeline(Accumulate("function"), slice_rows=slice_rows)
    small.push(batch(records))
    big = Timeline(Accumulate("function"))
    big.push(batch(records))
    assert [row for out in small.advance(END) for row in out.to_pylist()] == [
        row for out in big.advance(END) for row in out.to_pylist()
    ]


@given(events, st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_a_timeline_goes_on_from_its_snapshot(records, boundary):
    timeline = Timeline(Accumulate("caller"))
    timeline.push(batch(records))
    timeline.advance(boundary)
    resumed = Timeline(Accumulate("caller"))
    resumed.restore(timeline.snapshot())
    assert resumed.due() == timeline.due()
    assert resumed.pending() == timeline.pending()
    assert resumed.advance(END) == timeline.advance(END)


def test_nothing_is_handed_on_before_the_watermark_passes_it():
    timeline = Timeline(Accumulate("function"))
    timeline.push(batch([event(at=5), event(at=7), event(at=9)]))
    assert timeline.due() == 6
    assert [out["at"].to_pylist() for out in timeline.advance(7)] == [[5]]
    assert timeline.due() == 8
    assert timeline.advance(7) == []
    assert timeline.pending() == 2


def test_a_row_behind_the_watermark_is_marked_late_counted_and_still_handed_on():
    timeline = Timeline(Accumulate("function"))
    timeline.push(batch([event(at=5)]))
    timeline.advance(10)
    timeline.push(batch([event(at=4), event(at=12)]))
    (out,) = timeline.advance(20)
    assert out["at"].to_pylist() == [4, 12]
    assert out["late"].to_pylist() == [True, False]
    assert timeline.late == 1


def test_a_watermark_that_goes_back_stands_still():
    timeline = Timeline(Accumulate("function"))
    timeline.push(batch([event(at=5)]))
    timeline.advance(10)
    assert timeline.advance(3) == []
    assert timeline.watermark_us == 10


def test_a_shard_without_rows_gives_nothing():
    timeline = Timeline(Accumulate("function"))
    assert timeline.due() is None
    assert timeline.advance(END) == []


def test_rows_that_differ_only_in_where_they_were_read_are_one_to_the_order():
    there = batch([event(at=1, weight=w) for w in (2, 1, 2)])
    places = pa.array([3, 1, 2])
    tagged = there.append_column("position", places)
    assert in_order(tagged)["weight"].to_pylist() == in_order(tagged.take(pa.array([2, 1, 0])))["weight"].to_pylist()


def test_sorted_rows_are_not_copied():
    there = batch([event(at=1), event(at=2)])
    assert order_of(there) is None
    assert in_order(there) is there


def test_splitting_keeps_every_row_in_order_in_the_shard_of_its_key():
    generator = np.random.default_rng(3)
    there = batch([event(at=int(t), function=f"f{t % 11}") for t in generator.integers(0, 30, 100)])
    parts = split(there, ("function",), 4)
    assert sum(part.num_rows for part in parts.values()) == 100
    assert len(parts) > 1
    owners: dict[str, int] = {}
    for shard, part in parts.items():
        assert part["at"].to_pylist() == sorted(part["at"].to_pylist())
        for function in part["function"].to_pylist():
            assert owners.setdefault(function, shard) == shard


class Trail:
    """Gives what lies two microseconds behind the watermark."""

    lag_us = 2

    def __init__(self) -> None:
        self.held: pa.RecordBatch | None = None

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        table = pa.Table.from_batches([rows] if self.held is None else [self.held, rows]).combine_chunks()
        whole = table.to_batches()[0] if table.num_rows else rows
        ready = np.asarray(whole["at"]) + self.lag_us < watermark_us
        self.held = whole.filter(pa.array(~ready))
        return whole.filter(pa.array(ready))

    def due(self) -> int | None:
        return None if self.held is None or not self.held.num_rows else self.held["at"][0].as_py() + self.lag_us + 1

    def snapshot(self) -> Tables:
        return {} if self.held is None else {"held": pa.Table.from_batches([self.held])}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        self.held = tables["held"].combine_chunks().to_batches()[0] if "held" in tables else None


def test_a_chain_tells_each_fold_only_what_the_one_before_can_vouch_for():
    heard: list[int] = []

    class Listen(Accumulate):
        def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
            heard.append(watermark_us)
            assert all(at < watermark_us for at in rows["at"].to_pylist())
            return super().advance(rows, watermark_us)

    chain = Chain(Trail(), Listen("function"))
    timeline = Timeline(chain)
    timeline.push(batch([event(at=5), event(at=7)]))
    assert timeline.advance(7) == []
    assert timeline.due() == 8
    assert [out["at"].to_pylist() for out in timeline.advance(8)] == [[5]]
    assert heard == [5, 6]
    assert chain.lag_us == 2


def event(**fields: object) -> dict[str, object]:
    return {"at": 0, "late": False, "invocation_id": "a", "function": "f", "caller": "x", "weight": 0, **fields}


def test_rows_that_stand_in_order_are_not_copied():
    tied = batch([{"at": at, "late": False, "weight": weight} for weight, at in enumerate([1, 2, 2, 3])])
    ordered = in_order(tied)
    assert order_of(ordered) is None
    assert in_order(ordered) is ordered


def test_what_waits_keeps_no_more_alive_than_a_few_times_itself():
    timeline = Timeline(Accumulate("function"))
    whole = batch([{"at": at, "late": False, "weight": 0} for at in range(1000)])
    timeline.push(whole)
    timeline.advance(500)
    timeline.advance(990)
    (waiting,) = timeline.take_pending()
    assert waiting.column("at").to_pylist() == list(range(990, 1000))
    assert waiting.get_total_buffer_size() < whole.get_total_buffer_size() / 10


@given(st.lists(st.integers(0, 999), max_size=8), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_picked_rows_are_the_same_in_pieces_and_one_by_one(left_out, repeats):
    whole = batch([{"at": at, "late": False, "invocation_id": f"i{at}", "weight": at} for at in range(1000)])
    rows = np.setdiff1d(np.arange(1000), left_out)
    rows = np.concatenate([rows[500:], rows[:500], rows[: 100 * repeats]])
    assert pick(whole, rows).equals(whole.take(pa.array(rows)))
    assert pick(whole, rows[:0]).num_rows == 0
