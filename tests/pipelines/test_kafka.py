from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError, SourceError
from pipelines.kafka_config import KafkaAccess
from pipelines.secrets import Secret
from pipelines.sources.base import Source, microseconds
from pipelines.sources.kafka import KafkaSource, offsets_of, runs

from .fake_log_analytics import NOON
from .test_tail import name, names, record


@dataclass
class TopicPartition:
    topic: str
    partition: int
    offset: int = -1001


class Error:
    def __init__(self, code: int, text: str = "trouble") -> None:
        self._code, self._text = code, text

    def code(self) -> int:
        return self._code

    def __str__(self) -> str:
        return self._text


class Message:
    def __init__(
        self, partition: int, offset: int, value: bytes | None, error: Error | None = None, topic: str = "logs"
    ):
        self._parts = (topic, partition, offset, value, error)

    def topic(self) -> str:
        return self._parts[0]

    def partition(self) -> int:
        return self._parts[1]

    def offset(self) -> int:
        return self._parts[2]

    def value(self) -> bytes | None:
        return self._parts[3]

    def error(self) -> Error | None:
        return self._parts[4]


class KafkaError:
    _PARTITION_EOF, _AUTHENTICATION, _ALL_BROKERS_DOWN = -191, -169, -187
    UNKNOWN_TOPIC_OR_PART, TOPIC_AUTHORIZATION_FAILED = 3, 29


class KafkaException(Exception):  # noqa: N818, the client's name for it
    pass


class Consumer:
    """The consumer of confluent_kafka, with its broker in the test's hands."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.batches: list[list[Message]] = []
        self.before: list[Callable[[], None]] = []
        self.assigned: list[TopicPartition] = []
        self.commits: list[dict[int, int]] = []
        self.committed_at: dict[int, int] = {}
        self.reachable, self.refuses, self.closed = True, False, False

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.topics, self.on_assign, self.on_revoke, self.on_lost = topics, on_assign, on_revoke, on_lost

    def give(self, *partitions: int) -> None:
        self.on_assign(self, [TopicPartition("logs", number) for number in partitions])

    def take(self, *partitions: int, lost: bool = False) -> None:
        (self.on_lost if lost else self.on_revoke)(self, [TopicPartition("logs", number) for number in partitions])

    def consume(self, count: int, timeout: float) -> list[Message]:
        while self.before:
            self.before.pop(0)()
        return self.batches.pop(0) if self.batches else []

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned += partitions

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        gone = {partition.partition for partition in partitions}
        self.assigned = [partition for partition in self.assigned if partition.partition not in gone]

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, self.committed_at.get(p.partition, -1001)) for p in partitions]

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, p.offset // 1_000_000) for p in partitions]

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        if self.refuses:
            raise KafkaException(Error(7, "timed out S3CRETKEY"))
        self.commits.append({partition.partition: partition.offset for partition in offsets})

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float, cached: bool) -> tuple[int, int]:
        if not self.reachable:
            raise KafkaException(Error(-187))
        return (0, 0)

    def close(self) -> None:
        self.closed = True


KAFKA = SimpleNamespace(
    Consumer=Consumer, TopicPartition=TopicPartition, KafkaError=KafkaError, KafkaException=KafkaException
)


def end(partition: int) -> Message:
    return Message(partition, 0, None, Error(KafkaError._PARTITION_EOF))


def message(partition: int, offset: int, *numbers: int, envelope: bool = True) -> Message:
    found = [record(number) for number in numbers]
    return Message(partition, offset, json.dumps({"records": found} if envelope else found[0]).encode())


def source(*partitions: int, **options: Any) -> tuple[KafkaSource, Consumer]:
    made = KafkaSource(["logs"], options.pop("access", KafkaAccess(bootstrap="b:9092")), kafka=KAFKA, **options)
    made._consumer.give(*partitions)
    return made, made._consumer


def ids(polled: list[Any]) -> list[str]:
    return [i for piece in polled for i in piece.conformed.rows.column("invocation_id").to_pylist()]


def test_envelopes_and_single_records_are_read_with_their_offsets():
    kafka, consumer = source(0, 1)
    assert isinstance(kafka, Source)
    consumer.batches = [[message(0, 7, 1, 2), message(1, 3, 3, envelope=False), message(0, 8, 4)]]
    polled = list(kafka.poll(NOON))
    assert sorted(ids(polled)) == names(1, 2, 3, 4)
    rows = {row["invocation_id"]: row for piece in polled for row in piece.conformed.rows.to_pylist()}
    assert [(rows[name(n)]["source"], rows[name(n)]["position"]) for n in (1, 2, 3, 4)] == [
        ("kafka:logs/0", 7),
        ("kafka:logs/0", 7),
        ("kafka:logs/1", 3),
        ("kafka:logs/0", 8),
    ]
    assert polled[-1].cursor == {"kind": "kafka", "offsets": {"logs": {"0": 9, "1": 4}}}


def test_bad_messages_are_dead_letters_and_empty_ones_are_passed_over():
    kafka, consumer = source(0)
    consumer.batches = [[Message(0, 0, b"\xff nonsense"), Message(0, 1, None), message(0, 2, 1)]]
    polled = list(kafka.poll(NOON))
    assert ids(polled) == names(1)
    assert polled[0].conformed.dead.column("position").to_pylist() == [0]
    assert polled[0].records == 2
    assert polled[-1].cursor["offsets"] == {"logs": {"0": 3}}


def test_nothing_is_committed_by_polling_and_what_is_told_is():
    kafka, consumer = source(0)
    consumer.batches = [[message(0, 0, 1)], [message(0, 1, 2)]]
    first, *_ = polled = list(kafka.poll(NOON))
    assert consumer.options["enable.auto.commit"] is False
    assert consumer.commits == []
    kafka.commit(first.cursor)
    kafka.commit(polled[-1].cursor)
    assert consumer.commits == [{0: 1}, {0: 2}]


def test_a_partition_that_went_to_another_is_neither_committed_nor_read_on():
    gone: list[Any] = []
    kafka, consumer = source(0, 1, on_revoked=gone.extend)
    consumer.batches = [[message(0, 0, 1), message(1, 0, 2)]]
    cursor = list(kafka.poll(NOON))[-1].cursor
    consumer.before = [lambda: consumer.take(1)]
    consumer.batches = [[message(0, 1, 3), message(1, 1, 4)]]
    polled = list(kafka.poll(NOON))
    assert ids(polled) == names(3)
    assert gone == [("logs", 1)]
    kafka.commit(cursor)
    assert consumer.commits == [{0: 1}]
    assert polled[-1].cursor["offsets"] == {"logs": {"0": 2}}


def test_a_partition_may_still_be_committed_while_it_is_being_revoked_but_not_when_it_was_lost():
    cursors: list[Any] = []
    kafka, consumer = source(0, on_revoked=lambda _: kafka.commit(cursors[-1]))
    consumer.batches = [[message(0, 0, 1)]]
    cursors.append(list(kafka.poll(NOON))[-1].cursor)
    consumer.take(0)
    assert consumer.commits == [{0: 1}]
    consumer.give(0)
    consumer.take(0, lost=True)
    kafka.commit(cursors[-1])
    assert consumer.commits == [{0: 1}]


def test_it_starts_from_a_checkpoint_once_and_from_the_committed_offset_later():
    kafka, consumer = source(0, 1, cursor={"kind": "kafka", "offsets": {"logs": {"0": 42}}})
    assert [(p.partition, p.offset) for p in consumer.assigned] == [(0, 42), (1, -1001)]
    consumer.take(0)
    consumer.give(0)
    assert consumer.assigned[-1].offset == -1001
    kafka.close()
    assert consumer.closed


def test_it_starts_at_a_time_where_nothing_was_committed():
    kafka = KafkaSource(["logs"], KafkaAccess(bootstrap="b:1"), kafka=KAFKA, start=NOON)
    kafka._consumer.committed_at = {1: 17}
    kafka._consumer.give(0, 1)
    at_time, committed = kafka._consumer.assigned
    assert at_time.offset == int(NOON.timestamp() * 1000) // 1_000_000
    assert committed.offset == -1001  # the client knows the committed one


def test_the_watermark_moves_on_at_the_end_of_all_partitions_and_never_during_an_outage():
    kafka, consumer = source(0, 1, delivery_delay_us=60_000_000)
    consumer.batches = [[end(0)]]
    assert list(kafka.poll(NOON))[-1].watermark_us is None
    consumer.batches = [[end(1)]]
    assert list(kafka.poll(NOON))[-1].watermark_us == microseconds(NOON) - 60_000_000
    assert kafka.idle
    consumer.reachable = False
    consumer.options["error_cb"](Error(KafkaError._ALL_BROKERS_DOWN))
    assert list(kafka.poll(NOON))[-1].watermark_us is None
    assert not kafka.idle
    consumer.reachable = True
    assert list(kafka.poll(NOON))[-1].watermark_us is not None
    consumer.batches = [[message(0, 0, 1)]]
    assert list(kafka.poll(NOON))[-1].watermark_us is None


def test_an_end_in_the_same_batch_as_the_last_messages_counts():
    kafka, consumer = source(0)
    consumer.batches = [[message(0, 0, 1), end(0)]]
    assert list(kafka.poll(NOON))[-1].watermark_us is not None
    consumer.batches = [[end(0), message(0, 1, 2)]]
    assert list(kafka.poll(NOON))[-1].watermark_us is None


def test_a_consumer_without_partitions_claims_nothing():
    kafka, _ = source()
    (piece,) = kafka.poll(NOON)
    assert piece.watermark_us is None
    assert not kafka.idle


def test_a_refusal_is_raised_at_the_start_and_logged_later(caplog):
    access = KafkaAccess(connection=Secret("Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKey=S3CRETKEY"))
    kafka, consumer = source(0, access=access)
    consumer.before = [lambda: consumer.options["error_cb"](Error(KafkaError._AUTHENTICATION, "bad S3CRETKEY"))]
    with pytest.raises(SourceError, match="refuses") as caught:
        list(kafka.poll(NOON))
    assert not caught.value.retry
    assert "S3CRETKEY" not in str(caught.value) + caplog.text
    consumer.batches = [[message(0, 0, 1)]]
    list(kafka.poll(NOON))
    consumer.before = [lambda: consumer.options["error_cb"](Error(KafkaError._AUTHENTICATION, "expired"))]
    list(kafka.poll(NOON))
    assert "waiting for it to be repaired" in caplog.text


def test_an_unknown_topic_is_said_at_once():
    kafka, consumer = source(0)
    consumer.batches = [[Message(0, 0, None, Error(KafkaError.UNKNOWN_TOPIC_OR_PART))]]
    with pytest.raises(SourceError, match="no topic logs"):
        list(kafka.poll(NOON))


def test_a_commit_that_fails_can_be_tried_again():
    access = KafkaAccess(bootstrap="b:1", user="u", password=Secret("S3CRETKEY"))
    kafka, consumer = source(0, access=access)
    consumer.refuses = True
    with pytest.raises(SourceError, match="can't be committed") as caught:
        kafka.commit({"kind": "kafka", "offsets": {"logs": {"0": 1}}})
    assert caught.value.retry
    assert "S3CRETKEY" not in str(caught.value)


def test_a_busy_topic_lets_its_reader_look_around():
    kafka, consumer = source(0)
    consumer.batches = [[message(0, n, n)] for n in range(500)]
    assert len(ids(list(kafka.poll(NOON)))) == 50


@given(st.lists(st.integers(0, 30), unique=True).map(sorted))
def test_consecutive_offsets_are_read_together_and_gaps_keep_their_positions(offsets: list[int]):
    found = list(runs([(offset, str(offset).encode()) for offset in offsets]))
    assert [(first + i, value) for first, values in found for i, value in enumerate(values)] == [
        (offset, str(offset).encode()) for offset in offsets
    ]
    assert len(found) == sum(offset - 1 not in offsets for offset in offsets)


@pytest.mark.parametrize(
    "cursor", [{}, {"kind": "tail"}, {"kind": "kafka", "offsets": {"t": {"x": 1}}}, {"kind": "kafka", "offsets": 3}]
)
def test_a_cursor_of_something_else_is_refused(cursor: Any):
    with pytest.raises(SourceError, match="cursor can't be read"):
        offsets_of(cursor)


def test_no_topic_is_an_error():
    with pytest.raises(InputError, match="No Kafka topic"):
        KafkaSource([], KafkaAccess(bootstrap="b:1"), kafka=KAFKA)


def test_the_real_consumer_takes_the_options():
    kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    real = KafkaSource(["logs"], KafkaAccess(bootstrap="127.0.0.1:1"), kafka=kafka, wait_s=0.01)
    (piece,) = real.poll(NOON)
    assert piece.watermark_us is None
    real.close()
