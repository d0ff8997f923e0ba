"""Kafka topics and event hubs as a live source: offsets are the cursor, and move at the broker only when told to."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from detectors.conform import Conformed, ConformOptions, conform_json
from detectors.schema import DEAD_LETTER, INVOCATION
from models.errors import InputError, SourceError
from pipelines.kafka_config import KafkaAccess
from pipelines.secrets import redact
from pipelines.sinks.escape import terminal
from pipelines.sources.base import Cursor, Polled, microseconds

#: messages fetched at once; each may hold an envelope of many records
BATCH: Final = 1_000
#: one ``poll`` ends after so many batches, so that a busy topic lets its reader look around
_BATCHES: Final = 50
#: how long a batch may take to fill, s
WAIT_S: Final = 0.2
#: for questions to the broker, s
_ASK_S: Final = 10.0
#: between two batches a job may work so long before the group takes its partitions away, ms
_WORK_MS: Final = 30 * 60_000
#: records reach an event hub within about three minutes of the event, µs
DELIVERY_DELAY_US: Final = 3 * 60_000_000

#: a partition of a topic
Partition = tuple[str, int]

_log = logging.getLogger(__name__)


class KafkaSource:
    """Consumes topics in a group; see Source for the contract.

    A value is a record, an array or an envelope ``{"records": […]}``; its records have the message's offset for their
    position and ``kafka:topic/partition`` for their source. Messages without a value are passed over.

    ``commit(cursor)`` commits the offsets of the partitions that this consumer still has; those that went to another
    are that one's business, and what was polled of them and not committed comes again there.

    Args:
        topics: topics, or event hubs.
        access: broker and credentials.
        group: consumer group.
        start: where a partition begins of which the group has committed nothing: a time, or None for the oldest.
        cursor: offsets to start from instead of the committed ones, as a checkpoint kept them.
        on_revoked: told the partitions that are about to go, while they can still be committed.
        conform: how records are read.
        batch: messages fetched at once.
        wait_s: how long a batch may take to fill, s.
        delivery_delay_us: how long after its event a record usually arrives, for the watermark.
        kafka: the module confluent_kafka, or one like it.

    Raises on construction:
        InputError: no topic, no broker, or confluent-kafka is missing.
    """

    def __init__(
        self,
        topics: Sequence[str],
        access: KafkaAccess,
        *,
        group: str = "lonetree",
        start: dt.datetime | None = None,
        cursor: Cursor | None = None,
        on_revoked: Callable[[list[Partition]], None] | None = None,
        conform: ConformOptions | None = None,
        batch: int = BATCH,
        wait_s: float = WAIT_S,
        delivery_delay_us: int = DELIVERY_DELAY_US,
        kafka: Any = None,
    ) -> None:
        if not topics:
            raise InputError("No Kafka topic is named.", expected="a topic or event hub", received="none")
        self._kafka = kafka if kafka is not None else _confluent()
        self._access, self._start = access, start
        self._asked = offsets_of(cursor) if cursor is not None else {}
        self._on_revoked, self._conform = on_revoked, conform or ConformOptions()
        self._batch, self._wait_s, self._delay_us = batch, wait_s, delivery_delay_us
        #: partitions that are ours, and the next offset of each, None before its first message
        self._ours: dict[Partition, int | None] = {}
        self._at_end: set[Partition] = set()
        self._down = self._received = self._idle = False
        self._fatal: str | None = None
        self._consumer = self._kafka.Consumer(
            {
                **access.options(),
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "partition.assignment.strategy": "cooperative-sticky",
                "max.poll.interval.ms": _WORK_MS,
                "isolation.level": "read_committed",
                "log_level": 2,  # our log says what matters
                "error_cb": self._troubled,
            }
        )
        self._consumer.subscribe(list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def poll(self, now: dt.datetime) -> Iterator[Polled]:
        """Fetch what is there, up to some batches; at the end of all partitions a piece whose watermark says so.

        Raises:
            SourceError: refused before anything was received (credentials, unknown topic; ``retry=False``).
        """
        self._idle = False
        for _ in range(_BATCHES):
            messages = self._consumer.consume(self._batch, self._wait_s)
            self._raise_if_refused()
            if not messages:
                break
            by_partition: dict[Partition, list[Any]] = {}
            for message in messages:
                partition = (message.topic(), message.partition())
                if message.error() is not None:
                    self._event(message.error(), partition)
                elif partition in self._ours:  # else it went to another while this batch was on its way
                    self._at_end.discard(partition)  # its end may follow in this very batch, so in order
                    by_partition.setdefault(partition, []).append(message)
            for partition, found in by_partition.items():
                yield from self._read(partition, found)
        self._look_whether_up()
        at_end = bool(self._ours) and not self._down and self._at_end.issuperset(self._ours)
        self._idle = at_end
        yield Polled(_nothing(), self._cursor(), microseconds(now) - self._delay_us if at_end else None)

    def commit(self, cursor: Cursor) -> None:
        """Commit the cursor's offsets of the partitions that are still ours, and wait for the broker.

        While the group rebalances this may take until the others have joined, a minute at most.

        Raises:
            SourceError: the broker did not take it (``retry=True``).
        """
        offsets = [
            self._kafka.TopicPartition(topic, number, offset)
            for (topic, number), offset in offsets_of(cursor).items()
            if (topic, number) in self._ours
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except self._kafka.KafkaException as error:
            raise SourceError(
                "The offsets can't be committed.",
                received=self._safe(error.args[0] if error.args else error),
                hint="a restart would repeat what was not committed; nothing is lost",
                retry=True,
            ) from None

    @property
    def idle(self) -> bool:
        """Whether the last ``poll`` reached the end of every partition."""
        return self._idle

    def close(self) -> None:
        """Leave the group, so that others take over at once. Commits nothing."""
        self._consumer.close()

    def _read(self, partition: Partition, messages: Sequence[Any]) -> Iterator[Polled]:
        self._received = True
        self._down = False
        topic, number = partition
        for first, values in runs([(message.offset(), message.value()) for message in messages]):
            self._ours[partition] = first + len(values)
            yield Polled(conform_json(values, f"kafka:{topic}/{number}", first, self._conform), self._cursor(), None)

    def _event(self, error: Any, partition: Partition) -> None:
        code = error.code()
        if code == self._kafka.KafkaError._PARTITION_EOF:
            self._received, self._down = True, False
            self._at_end.add(partition)
        elif code == self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._fatal = f"there is no topic {partition[0]}"
            self._raise_if_refused()
        else:
            self._troubled(error)

    def _troubled(self, error: Any) -> None:
        """News of the client itself: it reconnects by itself, so this only takes note."""
        code = error.code()
        if code in (self._kafka.KafkaError._AUTHENTICATION, self._kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED):
            self._fatal = self._safe(error)
        self._down = True
        _log.warning("kafka: %s", self._safe(error))

    def _raise_if_refused(self) -> None:
        if self._fatal is None:
            return
        fatal, self._fatal = self._fatal, None
        if self._received:
            _log.error("kafka: %s; waiting for it to be repaired", fatal)
            return
        raise SourceError(
            "Kafka refuses this consumer.",
            received=fatal,
            hint="check the topic's name, the credentials and their rights",
        )

    def _look_whether_up(self) -> None:
        """After an outage no message says that all is well where none was written; so ask."""
        if not self._down or not self._ours:
            return
        topic, number = next(iter(self._ours))
        try:
            self._consumer.get_watermark_offsets(self._kafka.TopicPartition(topic, number), timeout=1.0, cached=False)
        except self._kafka.KafkaException:
            return
        self._down = False

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        placed = [self._placed(consumer, partition) for partition in partitions]
        consumer.incremental_assign(placed)
        for partition in partitions:
            self._ours[(partition.topic, partition.partition)] = None

    def _placed(self, consumer: Any, partition: Any) -> Any:
        asked = self._asked.pop((partition.topic, partition.partition), None)
        if asked is not None:
            return self._kafka.TopicPartition(partition.topic, partition.partition, asked)
        if self._start is None:
            return partition
        (committed,) = consumer.committed([partition], timeout=_ASK_S)
        if committed.offset >= 0:
            return partition
        start_ms = microseconds(self._start) // 1000
        wanted = self._kafka.TopicPartition(partition.topic, partition.partition, start_ms)
        (found,) = consumer.offsets_for_times([wanted], timeout=_ASK_S)
        return found

    def _revoked(self, consumer: Any, partitions: Sequence[Any]) -> None:
        gone = [(partition.topic, partition.partition) for partition in partitions]
        if self._on_revoked is not None:
            try:
                self._on_revoked(gone)
            except SourceError as error:  # the partitions go all the same; what was not committed is read again there
                _log.warning("kafka: %s", error)
        consumer.incremental_unassign(list(partitions))
        self._forget(gone)

    def _lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        """Taken away without notice (this consumer was silent too long): too late to commit."""
        consumer.incremental_unassign(list(partitions))
        self._forget([(partition.topic, partition.partition) for partition in partitions])

    def _forget(self, gone: Sequence[Partition]) -> None:
        for partition in gone:
            self._ours.pop(partition, None)
            self._at_end.discard(partition)

    def _cursor(self) -> Cursor:
        offsets: dict[str, dict[str, int]] = {}
        for (topic, number), offset in self._ours.items():
            if offset is not None:
                offsets.setdefault(topic, {})[str(number)] = offset
        return {"kind": "kafka", "offsets": offsets}

    def _safe(self, error: Any) -> str:
        return redact(terminal(str(error)), self._access.secrets)


def runs(messages: Sequence[tuple[int, bytes | None]]) -> Iterator[tuple[int, list[bytes]]]:
    """Messages of one partition (offset, value) as stretches of consecutive offsets: first offset, values.

    A missing value becomes an empty line, which is no record. Gaps come from compaction and transactions.
    """
    first, values = 0, list[bytes]()
    for offset, value in messages:
        if values and offset != first + len(values):
            yield first, values
            values = []
        if not values:
            first = offset
        values.append(value or b"")
    if values:
        yield first, values


def offsets_of(cursor: Cursor) -> dict[Partition, int]:
    """The next offset of each partition in a cursor.

    Raises:
        SourceError: it is no cursor of this source.
    """
    try:
        if cursor["kind"] != "kafka":
            raise ValueError(str(cursor["kind"]))
        topics: Mapping[str, Mapping[str, int]] = cursor["offsets"]
        return {(topic, int(n)): int(offset) for topic, found in topics.items() for n, offset in found.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            "The cursor can't be read.", expected="a cursor of kind kafka", received=f"{type(error).__name__}: {error}"
        ) from None


def _nothing() -> Conformed:
    return Conformed(
        pa.RecordBatch.from_pylist([], schema=INVOCATION), pa.RecordBatch.from_pylist([], schema=DEAD_LETTER), 0
    )


def _confluent() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        raise InputError(
            "The Kafka source needs confluent-kafka.", expected="it installed", hint="pip install 'lonetree[kafka]'"
        ) from None
    return confluent_kafka
