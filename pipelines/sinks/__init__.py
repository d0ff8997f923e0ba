"""Where incidents go: files, standard output, Kafka, webhooks, Teams, Slack, Azure Logs Ingestion.

``parse_sink`` makes one sink from its URI (docs/sinks.md); ``Sinks`` sends to several and survives their failures.
"""

from pipelines.sinks.base import DeliveryError, Incident, Sink, key, revision
from pipelines.sinks.fanout import Sinks
from pipelines.sinks.uri import parse_sink

__all__ = ["DeliveryError", "Incident", "Sink", "Sinks", "key", "parse_sink", "revision"]
