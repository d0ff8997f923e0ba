"""Incidents to a Kafka topic or an event hub: key = incident id, acknowledged by all replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from models.errors import InputError
from pipelines.kafka_config import KafkaAccess
from pipelines.secrets import redact
from pipelines.sinks.base import DeliveryError, Incident, key, revision
from pipelines.sinks.escape import terminal
from pipelines.sinks.lines import json_line

#: a batch not acknowledged by then has failed, s
TIMEOUT_S: Final = 30.0
#: broker errors that concern the message itself; it will never pass
_REJECTING: Final = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD", "_BAD_MSG"})


class KafkaTopic:
    """Produces each incident as one message and waits until the brokers have them all.

    The key is the incident's id, so that its revisions stay in order in one partition; the header ``id`` is
    ``incident_id@revision``, by which consumers tell a copy.

    Args:
        topic: topic, or event hub.
        access: broker and credentials.
        render: how an incident becomes the value.
        timeout_s: for a whole batch.
        make: builds the producer from its options; confluent_kafka.Producer unless told.
    """

    def __init__(
        self,
        topic: str,
        access: KafkaAccess,
        *,
        render: Callable[[Incident], bytes] = json_line,
        timeout_s: float = TIMEOUT_S,
        make: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.name, self.topic = "kafka", topic
        self._access, self._render, self._timeout_s = access, render, timeout_s
        options = access.options() | {
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": int(timeout_s * 1000),
            "linger.ms": 5,
            "log_level": 2,  # our errors say what matters; librdkafka would print every reconnection
        }
        self._producer = (make or _confluent)(options)

    def send(self, incidents: Sequence[Incident]) -> None:
        """Produce them and wait.

        Raises:
            DeliveryError: some were not acknowledged; ``delivered`` counts those before the first such.
        """
        failures: dict[int, Any] = {}
        acknowledged: set[int] = set()

        def report(i: int) -> Callable[[Any, Any], None]:
            return lambda error, _: acknowledged.add(i) if error is None else failures.__setitem__(i, error)

        for i, incident in enumerate(incidents):
            try:
                self._producer.produce(
                    self.topic,
                    value=self._render(incident),
                    key=str(incident["incident_id"]).encode(),
                    headers={"id": key(incident), "revision": str(revision(incident))},
                    on_delivery=report(i),
                )
            except BufferError:  # noqa: PERF203, produce is where the time goes
                break  # the local queue is full: what follows counts as not delivered
            except Exception as error:  # KafkaException, whose class is not at hand before the lazy import
                failures[i] = error.args[0] if error.args else error
                break
        self._producer.flush(self._timeout_s)
        if len(acknowledged) == len(incidents):
            return
        self._producer.purge()  # or they would be sent behind our back while the outbox sends them again
        self._producer.flush(0)
        first = min(i for i in range(len(incidents)) if i not in acknowledged)
        raise self._error(failures.get(first), first)

    def close(self) -> None:
        """Nothing is buffered between calls."""

    def _error(self, error: Any, delivered: int) -> DeliveryError:
        name = error.name() if hasattr(error, "name") else ""
        text = str(error) if error is not None else f"no acknowledgement in {self._timeout_s:g} s"
        return DeliveryError(
            f"Kafka topic {self.topic} did not take the incident.",
            received=redact(terminal(text), self._access.secrets),
            delivered=delivered,
            retry=name not in _REJECTING,
        )


def _confluent(options: dict[str, Any]) -> Any:
    try:
        from confluent_kafka import Producer
    except ImportError:
        raise InputError(
            "The Kafka sink needs confluent-kafka.", expected="it installed", hint="pip install 'lonetree[kafka]'"
        ) from None
    return Producer(options)
