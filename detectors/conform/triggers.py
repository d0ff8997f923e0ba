"""What fired a function: the trigger kind and its queue, topic or container, out of TriggerReason or the binding."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform.distinct import Distinct
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
#: RE2: the usual wording of reasons that are different in each row; what they match, _REASONS reads the same
_PLAIN_TIMER: Final = r"^Timer fired at [0-9]"
_BLOB: Final = "New blob detected"
_PLAIN_BLOB: Final = r"^New blob detected(?:\([^)\n]*\))?: '?(?P<container>[A-Za-z0-9$-]{1,63})/[!-&(-~]+'?$"
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
    #: queue, topic/subscription, container or hub, where there is one
    source: Distinct
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


def triggers(reason: Distinct, binding: Distinct, source: Distinct) -> Triggers:
    """Trigger kinds and sources of n rows."""
    kind = binding.spread(
        np.array([_CODES[parse_binding(value)] for value in binding.values.to_pylist()], np.int8), OTHER
    )
    of_reasons, names_of_reasons = _reasons(reason.values)
    told = reason.spread(of_reasons, OTHER)
    kind = np.where(told == OTHER, kind, told)
    names = reason.mapped(lambda _: names_of_reasons)
    if len(source.values):
        # Source is "endpoint/entity"; for HTTP it is something else (the caller's application id)
        names = names.or_else(source.each(_entity).where(np.isin(kind, (*MESSAGING, OTHER))))
    return Triggers(kind, names, told == HTTP)


def kind_names(kind: NDArray[np.int8]) -> Distinct:
    """Trigger codes int8[n] as texts."""
    return Distinct(kind.astype(np.int32), pa.array(TRIGGERS, pa.string()))


def _reasons(values: pa.StringArray) -> tuple[NDArray[np.int8], pa.StringArray]:
    """``parse_reason`` of string[k]: kinds int8[k] and names string[k]; reasons that tell a time or a blob are many."""
    if len(values) == 0:
        return np.zeros(0, np.int8), pa.array([], pa.string())
    timers = pc.match_substring_regex(values, _PLAIN_TIMER)
    container = pa.nulls(len(values), pa.string())
    if pc.any(pc.starts_with(values, _BLOB)).as_py():
        container = pc.struct_field(pc.extract_regex(values, _PLAIN_BLOB), "container")
    kind = np.full(len(values), OTHER, np.int8)
    kind[timers.to_numpy(zero_copy_only=False)] = TIMER
    kind[container.is_valid().to_numpy(zero_copy_only=False)] = _CODES["blob"]
    rest = pc.and_(pc.invert(timers), container.is_null())
    parsed = [parse_reason(value) for value in values.filter(rest).to_pylist()]
    kind[rest.to_numpy(zero_copy_only=False)] = [_CODES[name] for name, _ in parsed]
    return kind, pc.replace_with_mask(container, rest, pa.array([name for _, name in parsed], pa.string()))


def _entity(source: str) -> str | None:
    _, slash, entity = source.removeprefix("sb://").partition("/")
    return (entity.strip("/") if slash else source)[:_MAX_SOURCE] or None
