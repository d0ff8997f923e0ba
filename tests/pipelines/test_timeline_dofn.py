"""Timelines by state and timer, played as a stream, give what a replay of the same rows gives."""

from __future__ import annotations

import random
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream as Played  # pytest would collect Test*
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from detectors.local import Stage, run_local
from detectors.order import split
from detectors.timeline import END, Timeline
from pipelines import coders
from pipelines.coders import ParcelCoder, RecordBatchCoder, decode_tables, encode_tables
from pipelines.graph import CALLER_KEY, FUNCTION_KEY
from pipelines.parcels import Inline, Spooled
from pipelines.spool import SpoolWriter
from pipelines.steps import shard
from pipelines.timeline_dofn import OrderedTimelines
from tests.detectors.rows import EPOCH_US, SECOND, rows
from tests.pipelines.toys import Callers, Functions, OneIncidents

coders.register()
FUNCTION = Stage("function", FUNCTION_KEY, Functions())


def calls(count: int = 120) -> list[dict[str, Any]]:
    generator = random.Random(11)
    return [
        {
            "event_time": i * SECOND // 4,
            "invocation_id": f"id-{i - i % 9 % 2}",
            "function": f"f{generator.randrange(4)}",
            "caller": f"address:192.0.2.{generator.randrange(5)}",
        }
        for i in range(count)
    ]


def told(batches: list[pa.RecordBatch]) -> list[tuple[Any, ...]]:
    names = ["at", "invocation_id", "function_history", "late"]
    return sorted(tuple(row.values()) for batch in batches for row in batch.select(names).to_pylist())


def replayed(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    out, _, _ = run_local([rows(records)], [FUNCTION])
    assert out is not None
    return told([out])


def stream(batches: list[pa.RecordBatch], watermarks_us: list[int]) -> Played:
    """Each batch, then the watermark behind it."""
    played = Played(coder=RecordBatchCoder())
    for batch, watermark in zip(batches, watermarks_us, strict=True):
        first = Timestamp(micros=min(batch["at"].to_pylist()))
        played = played.add_elements([TimestampedValue(batch, first)])
        played = played.advance_watermark_to(Timestamp(micros=watermark))
    return played.advance_watermark_to_infinity()


def play(source: Any, stage: Stage, expect: Any, shards: int = 3) -> None:
    """One stage by state and timer; one, because this runner lets the watermark pass timers that have not fired."""
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=PipelineOptions(["--streaming"])) as pipeline:
        batches = pipeline | source.with_output_types(pa.RecordBatch)
        parcels = batches | shard(stage.key, shards, None)
        assert_that((parcels | OrderedTimelines(stage, shards, streaming=True)).rows, expect)


def gives(expected: list[tuple[Any, ...]]) -> Any:
    def check(batches: list[pa.RecordBatch]) -> None:
        assert told(batches) == expected

    return check


def in_pieces(records: list[dict[str, Any]], size: int) -> list[pa.RecordBatch]:
    return [rows(records[i : i + size]) for i in range(0, len(records), size)]


@pytest.mark.parametrize(("size", "shards"), [(120, 1), (40, 3), (7, 2)])
def test_a_stream_in_order_gives_what_a_replay_gives(size, shards):
    records = calls()
    batches = in_pieces(records, size)
    marks = [EPOCH_US + min(r["event_time"] for r in records[i:]) for i in range(size, len(records), size)]
    marks.append(EPOCH_US + 100 * SECOND)
    play(stream(batches, marks), FUNCTION, gives(replayed(records)), shards)


def test_batches_out_of_order_within_the_watermark_change_nothing():
    records = calls()
    shuffled = records.copy()
    random.Random(4).shuffle(shuffled)
    batches = in_pieces(shuffled, 20)
    # the watermark stands still until all is there
    marks = [EPOCH_US - SECOND * (len(batches) - i) for i in range(1, len(batches))] + [EPOCH_US + 100 * SECOND]
    play(stream(batches, marks), FUNCTION, gives(replayed(records)))


def test_a_late_row_is_judged_and_marked_and_the_rest_is_as_if_it_had_not_come():
    records = calls()
    late = {"event_time": SECOND, "invocation_id": "late", "function": "f-late", "caller": "address:late"}
    batches = [rows(records[:60]), rows(records[60:]), rows([late])]
    marks = [EPOCH_US + 15 * SECOND, EPOCH_US + 60 * SECOND, EPOCH_US + 90 * SECOND]

    def check(given: list[pa.RecordBatch]) -> None:
        found = told(given)
        assert [row for row in found if not row[-1]] == replayed(records)
        assert [row[1] for row in found if row[-1]] == ["late"]

    play(stream(batches, marks), FUNCTION, check)


def test_a_stage_takes_rows_of_several_kinds_each_in_its_place():
    records = calls()
    scored, raised, _ = run_local([rows(records)], [FUNCTION, Stage("caller", CALLER_KEY, Callers())])
    signals = [batch.select(["at", "signal"]) for batch in raised]
    assert len(signals) > 0
    assert scored is not None
    incident = Stage("incident", (), OneIncidents())
    whole = Timeline(OneIncidents().make(0, 1))
    for batch in [scored, *signals]:
        whole.push(batch)
    expected = [score for batch in whole.advance(END) for score in batch["score"].to_pylist()]

    def check(given: list[pa.RecordBatch]) -> None:
        assert sorted(score for batch in given for score in batch["score"].to_pylist()) == sorted(expected)

    played = [*signals, scored.slice(0, 40), scored.slice(40)]
    marks = [EPOCH_US - SECOND * (len(played) - i) for i in range(1, len(played))] + [EPOCH_US + 90 * SECOND]
    play(stream(played, marks), incident, check, 1)


def test_a_batch_and_named_tables_survive_their_coders():
    batch = rows(calls(10))
    assert RecordBatchCoder().decode(RecordBatchCoder().encode(batch.slice(3, 4))) == batch.slice(3, 4)
    tables = {"a/b": pa.table({"x": [1, 2]}), "empty": pa.table({"y": pa.array([], pa.string())})}
    decoded = decode_tables(encode_tables(tables))
    assert decoded == tables


def test_a_slice_travels_without_its_parent():
    batch = rows(calls(1_000))
    assert len(RecordBatchCoder().encode(batch.slice(5, 1))) < len(RecordBatchCoder().encode(batch)) / 10


def test_claim_checks_are_small_and_lead_back_to_the_rows(tmp_path):
    batch = rows(calls(500))
    with SpoolWriter(str(tmp_path), FUNCTION_KEY, 3) as writer:
        parts = [*writer.add(batch), *writer.flush()]
    assert all(isinstance(parcel, Spooled) for _, parcel in parts)
    encoded = [ParcelCoder().encode(parcel) for _, parcel in parts]
    assert max(len(check) for check in encoded) < 300
    expected = split(batch, FUNCTION_KEY, 3)
    for (number, _), check in zip(parts, encoded, strict=True):
        parcel = ParcelCoder().decode(check)
        assert parcel.load() == expected[number]
        assert parcel.min_at == expected[number]["at"][0].as_py()
    inline = Inline.of(batch)
    assert ParcelCoder().decode(ParcelCoder().encode(inline)).load() == batch
