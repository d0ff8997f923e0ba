"""How to reach a Kafka broker or an Event Hubs namespace, as options for confluent-kafka."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from models.errors import InputError
from pipelines.secrets import Secret

#: the port on which Event Hubs speaks Kafka
EVENT_HUBS_PORT: Final = 9093
#: the user name with which Event Hubs takes a connection string for a password
_EVENT_HUBS_USER: Final = "$ConnectionString"


@dataclass(frozen=True)
class KafkaAccess:
    """Address and credentials of a broker.

    With ``connection`` (an Event Hubs connection string) the rest follows from it: SASL_SSL, PLAIN, and the namespace
    as the broker unless ``bootstrap`` names one. With ``user`` and ``password`` it is SASL_SSL with ``mechanism``; with
    neither it is ``protocol`` as given, PLAINTEXT for a broker on this machine or a private network.
    """

    #: host:port, several separated by commas
    bootstrap: str = ""
    #: Event Hubs connection string
    connection: Secret | None = None
    user: str | None = None
    password: Secret | None = None
    mechanism: str = "PLAIN"
    protocol: str = "PLAINTEXT"

    def options(self) -> dict[str, Any]:
        """Options for a confluent-kafka client. They hold the password: hand them to the client and nowhere else.

        Raises:
            InputError: no broker, or a connection string without ``Endpoint=sb://…``.
        """
        options: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap or self._namespace(),
            "security.protocol": self.protocol,
        }
        if self.connection is not None:
            options |= _sasl(_EVENT_HUBS_USER, self.connection, "PLAIN")
        elif self.user is not None and self.password is not None:
            options |= _sasl(self.user, self.password, self.mechanism)
        return options

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not show in messages."""
        return tuple(secret for secret in (self.connection, self.password) if secret is not None)

    def _namespace(self) -> str:
        parts = self.connection.reveal().split(";") if self.connection is not None else []
        for part in parts:
            name, _, value = part.strip().partition("=")
            if name.lower() == "endpoint" and value.startswith("sb://"):
                return f"{value[len('sb://') :].strip('/')}:{EVENT_HUBS_PORT}"
        raise InputError(
            "No Kafka broker is named.",
            expected="bootstrap=HOST:PORT, or an Event Hubs connection string with Endpoint=sb://…",
            received="neither",
        )


def _sasl(user: str, password: Secret, mechanism: str) -> dict[str, Any]:
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password.reveal(),
    }
