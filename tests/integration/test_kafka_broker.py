from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import SourceError
from pipelines.kafka_config import KafkaAccess
from pipelines.sinks.fanout import Sinks
from pipelines.sinks.kafka import KafkaTopic
from pipelines.sources.kafka import KafkaSource

from .kafka_broker import Broker

pytestmark = pytest.mark.integration
kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("kafka"))
    yield made
    made.kill()


def record(number: int) -> dict[str, Any]:
    return {
        "time": "2026-08-01T11:00:00.0000000Z",
        "Type": "AppRequests",
        "AppRoleName": "shop",
        "Name": "pay",
        "DurationMs": 12.5,
        "Success": True,
        "ResultCode": "0",
        "Properties": {"InvocationId": f"id-{number}", "FullName": "Functions.pay"},
    }


def produce(broker: Broker, topic: str, numbers: range, partitions: int) -> None:
    producer = kafka.Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "log_level": 2})
    for first in numbers[::3]:
        envelope = {"records": [record(n) for n in range(first, min(first + 3, numbers.stop))]}
        producer.produce(topic, json.dumps(envelope).encode(), partition=first // 3 % partitions)
    assert producer.flush(PATIENCE_S) == 0


def source(broker: Broker, topic: str, group: str, **options: Any) -> KafkaSource:
    return KafkaSource([topic], KafkaAccess(bootstrap=broker.bootstrap), group=group, **options)


def read(made: KafkaSource, into: list[str], *, commit: bool = True) -> None:
    for polled in made.poll(dt.datetime.now(dt.timezone.utc)):
        into.extend(polled.conformed.rows.column("invocation_id").to_pylist())
        if commit:
            made.commit(polled.cursor)


def until(done: Callable[[], bool], step: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        step()
        assert time.monotonic() < deadline, "it took too long"


def ids(numbers: range) -> list[str]:
    return sorted(f"id-{n}" for n in numbers)


def test_envelopes_in_several_partitions_are_read_once_and_committed(broker: Broker):
    broker.make_topic("several", 4)
    produce(broker, "several", range(900), 4)
    got: list[str] = []
    first = source(broker, "several", "g1", batch=20)
    until(lambda: first.idle, lambda: read(first, got))
    assert sorted(got) == ids(range(900))
    first.close()
    produce(broker, "several", range(900, 1000), 4)
    again: list[str] = []
    second = source(broker, "several", "g1")
    until(lambda: second.idle, lambda: read(second, again))
    second.close()
    assert sorted(again) == ids(range(900, 1000))


def test_what_was_not_committed_comes_again(broker: Broker):
    broker.make_topic("uncommitted", 2)
    produce(broker, "uncommitted", range(90), 2)
    for _ in range(2):
        got: list[str] = []
        made = source(broker, "uncommitted", "g2")
        until(lambda made=made: made.idle, lambda made=made, got=got: read(made, got, commit=False))
        made.close()
        assert sorted(got) == ids(range(90))


def test_a_checkpoint_or_a_time_says_where_to_start(broker: Broker):
    broker.make_topic("start", 1)
    produce(broker, "start", range(30), 1)
    got: list[str] = []
    checkpoint = source(broker, "start", "g3", cursor={"kind": "kafka", "offsets": {"start": {"0": 7}}})
    until(lambda: checkpoint.idle, lambda: read(checkpoint, got))
    checkpoint.close()
    assert sorted(got) == ids(range(21, 30))
    later: list[str] = []
    timed = source(broker, "start", "g4", start=dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1))
    until(lambda: timed.idle, lambda: read(timed, later))
    assert later == []
    produce(broker, "start", range(30, 33), 1)
    until(lambda: len(later) == 3, lambda: read(timed, later))
    timed.close()


def test_a_rebalance_loses_nothing(broker: Broker):
    """Each consumer in a thread of its own, as in life: a commit waits for a rebalance, and that for the other one."""
    broker.make_topic("shared", 6)
    produce(broker, "shared", range(600), 6)
    got: list[str] = []
    leave, stop = threading.Event(), threading.Event()
    shares: dict[str, int] = {}

    def consume(name: str, end: threading.Event) -> None:
        made = source(broker, "shared", "g5")
        while not end.is_set():
            try:
                read(made, got)
            except SourceError as error:  # a commit that the rebalance overtook; what it covered comes again
                if not error.retry:
                    raise
            shares[name] = len(made._ours)
        made.close()
        shares[name] = 0

    first = threading.Thread(target=consume, args=("first", leave), daemon=True)
    second = threading.Thread(target=consume, args=("second", stop), daemon=True)
    first.start()
    until(lambda: shares.get("first") == 6, lambda: time.sleep(0.05))
    second.start()
    until(lambda: shares == {"first": 3, "second": 3}, lambda: time.sleep(0.05))
    produce(broker, "shared", range(600, 900), 6)
    until(lambda: len(set(got)) == 900, lambda: time.sleep(0.05))
    leave.set()
    until(lambda: shares == {"first": 0, "second": 6}, lambda: time.sleep(0.05))
    produce(broker, "shared", range(900, 1200), 6)
    until(lambda: len(set(got)) == 1200, lambda: time.sleep(0.05))
    stop.set()
    for thread in (first, second):
        thread.join(PATIENCE_S)
    assert sorted(set(got)) == ids(range(1200))


def test_a_broker_that_is_killed_and_restarted_costs_neither_logs_nor_incidents(broker: Broker, tmp_path: Path):
    broker.make_topic("killed", 3)
    broker.make_topic("incidents", 2)
    produce(broker, "killed", range(300), 3)
    got: list[str] = []
    made = source(broker, "killed", "g6")
    until(lambda: len(got) == 300 and made.idle, lambda: read(made, got))
    clock = [0.0]
    sink = KafkaTopic("incidents", KafkaAccess(bootstrap=broker.bootstrap), timeout_s=5)
    sinks = Sinks({"kafka": sink}, tmp_path, clock=lambda: clock[0])
    sinks.send([{"incident_id": "a"}])
    until(lambda: sinks.drain() == 0, lambda: None)

    broker.kill()
    sinks.send([{"incident_id": "b"}, {"incident_id": "c"}])
    assert sinks.drain() == 2
    until(lambda: not made.idle, lambda: read(made, got, commit=False))
    assert [piece.watermark_us for piece in made.poll(dt.datetime.now(dt.timezone.utc))] == [None]
    broker.start()

    produce(broker, "killed", range(300, 600), 3)
    until(lambda: len(got) >= 600 and made.idle, lambda: read(made, got))
    made.close()
    assert sorted(got) == ids(range(600))

    def turn() -> None:
        clock[0] += 300

    until(lambda: sinks.drain() == 0, turn)
    sinks.close()
    consumer = kafka.Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "check", "auto.offset.reset": "earliest", "log_level": 2}
    )
    consumer.subscribe(["incidents"])
    arrived: list[str] = []
    until(
        lambda: len(arrived) >= 3,
        lambda: arrived.extend(m.key().decode() for m in consumer.consume(10, 0.5) if not m.error()),
    )
    consumer.close()
    assert set(arrived) == {"a", "b", "c"}
