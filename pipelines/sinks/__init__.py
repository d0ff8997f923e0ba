"""Where incidents go: files, standard output, Kafka, webhooks, Teams, Slack, Azure Logs Ingestion.

``parse_sink`` makes one sink from its URI (docs/sinks.md); ``Sinks`` sends to several and survives their failures. A
replay, which only masks what it prints, reads none of them in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.on_demand import on_demand

if TYPE_CHECKING:
    from pipelines.sinks.base import DeliveryError as DeliveryError
    from pipelines.sinks.base import Incident as Incident
    from pipelines.sinks.base import Sink as Sink
    from pipelines.sinks.base import key as key
    from pipelines.sinks.base import revision as revision
    from pipelines.sinks.fanout import Sinks as Sinks
    from pipelines.sinks.uri import parse_sink as parse_sink

#: the public names, by the module that each lives in
_HOMES: Final = {
    "pipelines.sinks.base": ("DeliveryError", "Incident", "Sink", "key", "revision"),
    "pipelines.sinks.fanout": ("Sinks",),
    "pipelines.sinks.uri": ("parse_sink",),
}

__getattr__, __dir__ = on_demand(__name__, _HOMES)
