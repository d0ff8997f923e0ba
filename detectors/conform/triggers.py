"""What fired a function: the trigger kind and its queue, topic or container, out of TriggerReason or the binding."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.schema import TRIGGERS

_CODES: Final = {name: code for code, name in enumerate(TRIGGERS)}
HTTP: Final = _CODES["http"]
TIMER: Final = _CODES["timer"]
HOST_API: Final = _CODES["host-api"]
OTHER: Final = _CODES["other"]
#: triggers that carry messages from a named place
MESSAGING: Final = tuple(_CODES[name] for name in ("queue", "servicebus", "eventhub", "blob"))

# quotes are optional: on Linux every ' may be stripped (trap 5)
_REASONS: Final = (
    (re.compile(r"^This function was programmatically called via the host APIs"), "http"),
    (re.compile(r"^Timer fired at "), "timer"),
    (re.compile(r"^New queue message detected on '?([^']+?)'?\.?$"), "queue"),
    (re.compile(r"^New ServiceBus message detected on '?([^']+?)'?\.?$"), "servicebus"),
    (re.compile(r"^New (?:EventHub|Event Hub) (?:message|event)s? detected on '?([^']+?)'?\.?$", re.I), "eventhub"),
    (re.compile(r"^New blob detected(?:\([^)]*\))?: ?'?([^']+?)'?$"), "blob"),
)
#: faas.trigger: "http" or the binding's type ("queueTrigger"), and the words of OpenTelemetry's own convention
_BINDINGS: Final = {
    "http": "http",
    "queue": "queue",
    "servicebus": "servicebus",
    "eventhub": "eventhub",
    "eventhubs": "eventhub",
    "blob": "blob",
    "timer": "timer",
}
#: characters kept of a source's name: a queue is at most 63, a topic and its subscription 260
_MAX_SOURCE: Final = 320


class Triggers(NamedTuple):
    """Triggers of n rows."""

    #: int8[n], index into TRIGGERS
    kind: NDArray[np.int8]
    #: string[n], queue, topic/subscription, container or hub; null where there is none
    source: pa.Array
    #: bool[n], the reason is the host APIs': a call over HTTP, or a manual run
    via_host: NDArray[np.bool_]


def parse_reason(reason: str) -> tuple[str, str | None]:
    """The trigger kind and source that a TriggerReason tells."""
    for pattern, kind in _REASONS:
        match = pattern.match(reason.strip())
        if match:
            name = match[1].strip() if pattern.groups else None
            if kind == "blob" and name:
                name = name.partition("/")[0]
            return kind, name[:_MAX_SOURCE] if name else None
    return "other", None


def parse_binding(binding: str) -> str:
    """The trigger kind that faas.trigger tells."""
    return _BINDINGS.get(binding.lower().removesuffix("trigger"), "other")


def triggers(reason: pa.Array | None, binding: pa.Array | None, source: pa.Array | None, rows: int) -> Triggers:
    """Trigger kinds and sources of ``rows`` rows; each argument is string[rows] or None."""
    kind = np.full(rows, OTHER, np.int8)
    via_host = np.zeros(rows, np.bool_)
    names: pa.Array = pa.nulls(rows, pa.string())
    if binding is not None:
        encoded = binding.dictionary_encode()
        codes = [_CODES[parse_binding(value)] for value in encoded.dictionary.to_pylist()]
        kind = _spread(encoded, np.array(codes, np.int8), kind)
    if reason is not None:
        encoded = reason.dictionary_encode()
        parsed = [parse_reason(value) for value in encoded.dictionary.to_pylist()]
        codes = [_CODES[name] for name, _ in parsed]
        told = _spread(encoded, np.array(codes, np.int8), np.full(rows, OTHER, np.int8))
        kind = np.where(told == OTHER, kind, told)
        via_host = told == HTTP
        if any(name is not None for _, name in parsed):
            names = pa.array([name for _, name in parsed], pa.string()).take(encoded.indices)
    if source is not None:
        # Source is "endpoint/entity"; for HTTP it is something else (the caller's application id)
        entity = _entities(source)
        messaging = pa.array(np.isin(kind, (*MESSAGING, OTHER)))
        names = pa.compute.coalesce(names, pa.compute.if_else(messaging, entity, pa.scalar(None, pa.string())))
    return Triggers(kind, names, via_host)


def kind_names(kind: NDArray[np.int8]) -> pa.Array:
    """Trigger codes int8[n] as string[n]."""
    return pa.array(TRIGGERS, pa.string()).take(pa.array(kind))


def _entities(source: pa.Array) -> pa.Array:
    encoded = source.dictionary_encode()
    entities = []
    for value in encoded.dictionary.to_pylist():
        _, slash, entity = value.removeprefix("sb://").partition("/")
        entities.append((entity.strip("/") if slash else value)[:_MAX_SOURCE] or None)
    return pa.array(entities, pa.string()).take(encoded.indices)


def _spread(encoded: pa.DictionaryArray, codes: NDArray[np.int8], default: NDArray[np.int8]) -> NDArray[np.int8]:
    if len(codes) == 0:
        return default
    indices = encoded.indices.fill_null(-1).to_numpy()
    return np.where(indices < 0, default, codes[indices])
