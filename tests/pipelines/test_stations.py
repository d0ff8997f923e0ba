"""Timelines as stations: what a stream gives is what a replay of the same rows gives, whatever fails or is moved."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pytest

from detectors.local import Stage, run_local
from detectors.order import split
from detectors.timeline import END, START, Tables
from pipelines import stations
from pipelines.coders import ParcelCoder, RecordBatchCoder, decode_tables, encode_tables
from pipelines.graph import FUNCTION_KEY
from pipelines.messages import Message
from pipelines.parcels import Inline, Spooled
from pipelines.spool import SpoolWriter
from pipelines.stations import StationDoFn
from pipelines.steps import AddressDoFn
from pipelines.stream_timeline import RAISED, ROWS, TimelineStations
from tests.detectors.rows import EPOCH_US, SECOND, rows
from tests.pipelines.beam_state import Keyed
from tests.pipelines.toys import Functions

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


def signals(batches: list[pa.RecordBatch]) -> list[str]:
    return sorted(signal for batch in batches for signal in batch["signal"].to_pylist())


def replayed(records: list[dict[str, Any]]) -> tuple[list[tuple[Any, ...]], list[str]]:
    out, raised, _ = run_local([rows(records)], [FUNCTION])
    assert out is not None
    return told([out]), signals(raised)


def source(name: str, records: list[dict[str, Any]], size: int, *, lateness_s: int = 0) -> list[Message]:
    """What a source says of its records: each piece, with the watermark behind it, and the end."""
    said = []
    for number, start in enumerate(range(0, len(records), size)):
        rest = [r["event_time"] for r in records[start + size :]]
        mark = EPOCH_US + min(rest) - lateness_s * SECOND if rest else START
        said.append(Message(name, number, mark, (rows(records[start : start + size]),)))
    return [*said, Message(name, len(said), END)]


def addressed(messages: list[Message], shards: int) -> list[tuple[int, Message]]:
    step = AddressDoFn(FUNCTION_KEY, shards, ())
    return [one for message in messages for one in step.process(message)]


def step(shards: int, *origins: str) -> Keyed:
    return Keyed(StationDoFn("function", TimelineStations(FUNCTION, shards, origins), ROWS))


def of(given: list[tuple[str, Message]], tag: str) -> list[pa.RecordBatch]:
    return [batch for name, message in given if name == ("main" if tag == ROWS else tag) for batch in message.batches]


@pytest.mark.parametrize(("size", "shards"), [(120, 1), (40, 3), (7, 2)])
def test_a_stream_gives_what_a_replay_gives_whatever_the_order_of_its_messages(size, shards):
    records = calls()
    arriving = addressed(source("s", records, size), shards)
    random.Random(size).shuffle(arriving)
    given = step(shards, "s").bundle(arriving)
    assert (told(of(given, ROWS)), signals(of(given, RAISED))) == replayed(records)


def test_several_sources_are_waited_for():
    records = calls()
    said = [*source("a", records[::2], 10), *source("b", records[1::2], 25)]
    random.Random(3).shuffle(said)
    given = step(2, "a", "b").bundle(addressed(said, 2))
    assert told(of(given, ROWS)) == replayed(records)[0]


def test_a_station_says_how_many_rows_wait_how_far_all_is_done_and_which_version_judged():
    made = TimelineStations(FUNCTION, 2, ("s",), Labelled(), judges=True)
    station = made.make(1)
    assert station.gauges() == {"waiting_function_1": 0}
    given = [one for message in source("s", calls(), 30)[:2] for one in station.take(message)]
    reached_us = EPOCH_US + calls()[60]["event_time"]
    # the fold waits two seconds for second copies
    assert station.gauges()["watermark_ms_function_1"] == (reached_us - 2 * SECOND) // 1_000
    station.take(Message("s", 2, reached_us, (rows(calls()[60:63]),)))
    assert station.gauges()["waiting_function_1"] == 3
    assert station.counts()["judged_by_v1"] == sum(message.rows for _, message in given) > 0
    station.take(Message("s", 3, END))
    assert station.gauges() == {"waiting_function_1": 0}


class Labelled:
    """A version of which people have said something; nobody announces another."""

    first = "v1+0badcafe"

    def folds(self, label: str, stage: str) -> Functions:
        raise AssertionError((label, stage))


def test_every_step_is_told_to_those_behind_even_where_it_gave_nothing():
    records = calls()
    given = step(1, "s").bundle(addressed(source("s", records, 30), 1))
    for tag in ("main", RAISED):
        said = [message for name, message in given if name == tag]
        assert [message.number for message in said] == [0, 1, 2, 3]
        assert sorted(message.watermark_us for message in said) == [message.watermark_us for message in said]
        assert said[-1].watermark_us == END
    # what a fold still holds is not vouched for
    assert given[0][1].watermark_us == EPOCH_US + records[30]["event_time"] - 2 * SECOND


@pytest.mark.parametrize("seed", range(6))
def test_bundles_that_fail_and_moves_to_other_workers_change_nothing(monkeypatch, seed):
    monkeypatch.setattr(stations, "LOG_BYTES", 40_000)
    monkeypatch.setattr(stations, "PIECE_BYTES", 1_000)
    generator = random.Random(seed)
    records = calls()
    arriving = addressed(source("s", records, 5), 2)
    keyed = step(2, "s")
    given = []
    while arriving:
        size = generator.randrange(1, 6)
        if generator.random() < 0.3:
            keyed.bundle(arriving[:size], fails=True)
        if generator.random() < 0.3:
            keyed.move()
        bundle, arriving = arriving[:size], arriving[size:]
        generator.shuffle(bundle)
        given += keyed.bundle(bundle)
    assert (told(of(given, ROWS)), signals(of(given, RAISED))) == replayed(records)


def test_a_late_row_is_judged_and_marked_and_the_rest_is_as_if_it_had_not_come():
    records = calls()
    late = {"event_time": SECOND, "invocation_id": "late", "function": "f-late", "caller": "address:late"}
    said = [
        Message("s", 0, EPOCH_US + 15 * SECOND, (rows(records[:60]),)),
        Message("s", 1, EPOCH_US + 60 * SECOND, (rows(records[60:]),)),
        Message("s", 2, EPOCH_US + 90 * SECOND, (rows([late]),)),
        Message("s", 3, END),
    ]
    found = told(of(step(2, "s").bundle(addressed(said, 2)), ROWS))
    assert [row for row in found if not row[-1]] == replayed(records)[0]
    assert [row[1] for row in found if row[-1]] == ["late"]


def test_a_message_costs_its_own_bytes_and_not_those_of_the_state(monkeypatch):
    """Twice the messages cost twice the bytes, where rewriting the state each time would cost four times as many."""
    monkeypatch.setattr(stations, "LOG_BYTES", 20_000)
    written = []
    for count in (300, 600):
        records = [{**one, "invocation_id": f"id-{i}", "function": f"f{i}"} for i, one in enumerate(calls(count))]
        keyed = step(1, "s")
        for element in addressed(source("s", records, 10), 1):
            keyed.bundle([element])
        written.append(keyed.written)
    assert written[1] < 2.6 * written[0]


def test_counters_grow_by_what_was_counted_and_not_by_what_is_taken_again(monkeypatch):
    counted: list[tuple[str, int]] = []

    class Counter:
        def __init__(self, name: str) -> None:
            self.name = name

        def inc(self, more: int) -> None:
            counted.append((self.name, more))

    monkeypatch.setattr(stations.Metrics, "counter", lambda namespace, name: Counter(name))
    keyed = step(1, "s")
    for element in addressed(source("s", calls(), 10), 1):
        keyed.move()
        keyed.bundle([element])
    _, _, expected = run_local([rows(calls())], [FUNCTION])
    assert sum(more for name, more in counted if name == "invocations") == expected["invocations"]
    assert sum(more for name, more in counted if name == "duplicates") == expected["duplicates"] > 0


class Stamp:
    """Adds the name of its version, and how many rows were seen by it and by those before it."""

    def __init__(self, name: str) -> None:
        self.name, self.seen = name, 0

    def advance(self, batch: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        seen = list(range(self.seen, self.seen + batch.num_rows))
        self.seen += batch.num_rows
        stamped = batch.append_column("by", pa.array([self.name] * batch.num_rows, pa.string()))
        return stamped.append_column("seen", pa.array(seen, pa.int64()))

    def snapshot(self) -> Tables:
        return {"seen": pa.table({"seen": [self.seen]})}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        self.seen = tables["seen"]["seen"][0].as_py()


@dataclass(frozen=True)
class Stamps:
    name: str

    def make(self, shard: int, shards: int) -> Stamp:
        return Stamp(self.name)


@dataclass(frozen=True)
class Named:
    first: str = "v1"

    def folds(self, label: str, stage: str) -> Stamps:
        return Stamps(label)


@pytest.mark.parametrize("seed", range(4))
def test_an_announced_version_judges_from_that_message_on_whatever_fails_and_is_moved(monkeypatch, seed):
    monkeypatch.setattr(stations, "LOG_BYTES", 30_000)
    generator = random.Random(seed)
    said = source("s", calls(), 10)
    labels = ["v1"] * 4 + ["v2"] * 4 + ["v1"] * 5
    arriving = [(0, replace(message, version=label)) for message, label in zip(said, labels, strict=True)]
    made = TimelineStations(Stage("stamp", FUNCTION_KEY, Stamps("v1")), 1, ("s",), Named())
    keyed = Keyed(StationDoFn("stamp", made, ROWS))
    generator.shuffle(arriving)
    given = []
    for element in arriving:
        if generator.random() < 0.3:
            keyed.bundle([element], fails=True)
        if generator.random() < 0.3:
            keyed.move()
        given += keyed.bundle([element])
    seen = sorted((row["seen"], row["by"]) for batch in of(given, ROWS) for row in batch.to_pylist())
    assert [by for _, by in seen] == ["v1"] * 40 + ["v2"] * 40 + ["v1"] * 40
    assert [number for number, _ in seen] == list(range(120))
    versions = sorted((message.number, message.version) for name, message in given if name == "main")
    # the last rows wait for the end
    assert [version for _, version in versions] == labels[:-1]


def test_a_source_that_hears_later_does_not_turn_the_version_back():
    made = TimelineStations(Stage("stamp", FUNCTION_KEY, Stamps("v1")), 1, ("a", "b"), Named())
    keyed = Keyed(StationDoFn("stamp", made, ROWS))
    one = rows(calls(1))
    said = [
        ("a", "v1", 10),
        ("a", "v2", 20),
        ("b", "v1", 5),
        ("b", "v1", 10),
        ("b", "v2", 30),
        ("a", "v2", 30),
        ("a", "v1", 40),
        ("b", "v2", 50),
    ]
    numbers = {"a": itertools.count(), "b": itertools.count()}
    by = []
    for origin, label, mark in said:
        at = one.set_column(one.schema.get_field_index("at"), "at", pa.array([mark - 1]))
        given = keyed.bundle([(0, Message(origin, next(numbers[origin]), mark, (at,), label))])
        by += [(row["at"], row["by"]) for batch in of(given, ROWS) for row in batch.to_pylist()]
        keyed.move()
    # both change behind 10, whoever is heard first, and again behind 30
    assert by == [(4, "v1"), (9, "v1"), (9, "v1"), (19, "v2"), (29, "v2"), (29, "v2"), (39, "v1")]


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
