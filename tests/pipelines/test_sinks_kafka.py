from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.kafka_config import KafkaAccess
from pipelines.secrets import Secret
from pipelines.sinks.base import DeliveryError
from pipelines.sinks.kafka import KafkaTopic

from .incidents import incident


class Refusal:
    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text

    def name(self) -> str:
        return self._name

    def __str__(self) -> str:
        return self._text


class Producer:
    """Takes messages as confluent_kafka.Producer does; calls back in ``flush``."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options, self.taken, self._queue = options, [], []
        self.fate: dict[str, Any] = {}
        self.purged = False

    def produce(self, topic: str, value: bytes, key: bytes, headers: dict[str, str], on_delivery: Any) -> None:
        self._queue.append((topic, value, key, headers, on_delivery))

    def flush(self, timeout: float) -> int:
        for topic, value, key, headers, on_delivery in self._queue:
            fate = self.fate.get(headers["id"])
            if fate == "silence":
                continue
            if fate is None:
                self.taken.append((topic, value, key, headers))
            on_delivery(fate, None)
        self._queue = []
        return 0

    def purge(self) -> None:
        self.purged = True


def topic(**access: Any) -> tuple[KafkaTopic, Producer]:
    made: list[Producer] = []

    def make(options: dict[str, Any]) -> Producer:
        made.append(Producer(options))
        return made[-1]

    sink = KafkaTopic("incidents", KafkaAccess(**{"bootstrap": "b:9092", **access}), make=make)
    return sink, made[0]


def test_an_incident_is_a_message_keyed_by_its_id_and_acknowledged_by_all():
    sink, producer = topic()
    sink.send([incident(1), incident(1, revision=2)])
    assert [(key, headers["id"]) for _, _, key, headers in producer.taken] == [
        (b"inc-0001", "inc-0001@1"),
        (b"inc-0001", "inc-0001@2"),
    ]
    assert json.loads(producer.taken[0][1])["title"] == "Unknown caller on pay"
    assert producer.options["acks"] == "all"
    assert producer.options["enable.idempotence"] is True


@pytest.mark.parametrize(
    ("fate", "retry"),
    [
        (Refusal("_ALL_BROKERS_DOWN", "down"), True),
        ("silence", True),
        (Refusal("MSG_SIZE_TOO_LARGE", "too large"), False),
    ],
)
def test_what_is_not_acknowledged_is_a_failure_and_is_purged(fate: Any, retry: bool):
    sink, producer = topic()
    producer.fate = {"inc-0002@1": fate}
    with pytest.raises(DeliveryError) as caught:
        sink.send([incident(1), incident(2), incident(3)])
    assert (caught.value.delivered, caught.value.retry) == (1, retry)
    assert producer.purged


def test_the_connection_string_shows_in_no_error():
    connection = Secret("Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=S3CRETKEY")
    sink, producer = topic(bootstrap="", connection=connection)
    producer.fate = {"inc-0001@1": Refusal("_AUTHENTICATION", "bad credentials S3CRETKEY")}
    with pytest.raises(DeliveryError) as caught:
        sink.send([incident()])
    assert "S3CRETKEY" not in str(caught.value)
    assert "[secret]" in str(caught.value)


def test_the_real_producer_takes_the_options_and_fails_on_a_closed_port():
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    sink = KafkaTopic("incidents", KafkaAccess(bootstrap="127.0.0.1:1"), timeout_s=0.2)
    with pytest.raises(DeliveryError, match="did not take") as caught:
        sink.send([incident()])
    assert caught.value.retry
