"""The invocation: one row for one run of a function, as Arrow. Everything behind the readers trusts this schema.

Units stand in the names: ``_ms`` milliseconds, times are UTC in microseconds. A null means "the log does not say";
zero is never used for missing.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

#: trigger kinds, the whole vocabulary of the ``trigger`` column
TRIGGERS: Final = ("http", "queue", "servicebus", "eventhub", "blob", "timer", "host-api", "other")

#: HTTP statuses by which a function refuses what it can't read (RFC 9110): no guess, but a client with a fault
UNREADABLE: Final = frozenset({400, 406, 411, 413, 414, 415, 416, 417, 422})

#: where a caller's identity was taken from, and how far it can be trusted (0 nothing, 1 authenticated by the app)
CALLER_CONFIDENCE: Final[dict[str, float]] = {
    "property": 1.0,  # logged on purpose by the app's owner
    "user": 0.9,  # UserAuthenticatedId
    "address": 0.7,  # ClientIP, not masked
    "role": 0.6,  # the app upstream, as its call told Application Insights (Source)
    "queue": 0.4,  # name of the queue, topic or container
    "geography": 0.2,  # country, state, city
    "timer": 1.0,  # the platform's own clock
    "host-api": 0.5,  # a manual run through the admin API
    "unknown": 0.0,
}

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

#: what a record is: an invocation, its beginning only (no outcome yet), or a detail that joins one
RECORDS: Final = ("invocation", "started", "trace", "exception")


def _field(name: str, kind: pa.DataType, *, nullable: bool = True, doc: str) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


INVOCATION: Final[pa.Schema] = pa.schema(
    [
        _field("record", pa.string(), nullable=False, doc="one of RECORDS; details are joined on invocation_id"),
        _field("event_time", TIMESTAMP, nullable=False, doc="when it started (a trace or exception: when written)"),
        _field("invocation_id", pa.string(), nullable=False, doc="the key; unique per invocation, copies share it"),
        _field("app", pa.string(), nullable=False, doc="function app (AppRoleName), slot suffix kept"),
        _field("function", pa.string(), nullable=False, doc="function name without 'Functions.'"),
        _field("trigger", pa.string(), nullable=False, doc="one of TRIGGERS"),
        _field("trigger_source", pa.string(), doc="queue, topic/subscription, blob container or hub that fired it"),
        _field("instance", pa.string(), doc="worker (AppRoleInstance)"),
        _field("host_instance", pa.string(), doc="script host (HostInstanceId); new with every host start"),
        _field("operation_id", pa.string(), doc="trace id; several invocations may share it"),
        _field("parent_id", pa.string(), doc="span that caused it"),
        _field("duration_ms", pa.float64(), doc="wall time in ms; null if missing or absurd"),
        _field("execution_ms", pa.float64(), doc="time inside the function in ms (FunctionExecutionTimeMs)"),
        _field("succeeded", pa.bool_(), doc="the function returned without throwing; not the HTTP status"),
        _field("status", pa.int32(), doc="HTTP status; null for triggers other than HTTP"),
        _field(
            "caller", pa.string(), nullable=False, doc="who or what caused it, prefixed with its source: 'address:…'"
        ),
        _field("caller_source", pa.string(), nullable=False, doc="a key of CALLER_CONFIDENCE"),
        _field("caller_confidence", pa.float32(), nullable=False, doc="0 to 1, from CALLER_CONFIDENCE"),
        _field("address", pa.string(), doc="client IP; null when masked (0.0.0.0), never one caller"),
        _field("network", pa.string(), doc="/24 or /48 of the address"),
        _field("country", pa.string(), doc="only where geography can be trusted (HTTP rows written by the host)"),
        _field("state", pa.string(), doc="as country"),
        _field("city", pa.string(), doc="as country"),
        _field("method", pa.string(), doc="HTTP method"),
        _field("path", pa.string(), doc="HTTP path, query kept where logged; at most 2,048 characters"),
        _field("exception_type", pa.string(), doc="outermost exception type, joined from AppExceptions"),
        _field("message", pa.string(), doc="exception or outcome message; at most 2,048 characters, untrusted text"),
        _field("app_version", pa.string(), doc="AppVersion or service.version"),
        _field("sdk_version", pa.string(), doc="SDKVersion, 'azurefunctions: …' when the host wrote the row"),
        _field(
            "item_count", pa.int32(), nullable=False, doc="invocations this row stands for (sampling); 1 unless sampled"
        ),
        _field(
            "cold_start", pa.bool_(), doc="where the log says so (faas.coldstart); else worked out from host_instance"
        ),
        _field("dequeue_count", pa.int32(), doc="deliveries of the message so far, from the trigger details"),
        _field("unscheduled_reason", pa.string(), doc="UnscheduledInvocationReason of a timer"),
        _field("queued_ms", pa.float64(), doc="time since the message was enqueued, ms"),
        _field("source", pa.string(), nullable=False, doc="file or stream partition it was read from"),
        _field("position", pa.int64(), nullable=False, doc="line, row or offset in the source, from 0"),
    ],
    metadata={"schema": "lonetree.invocation", "version": "1"},
)

#: a record that could not be read: where it was, why, and how it began
DEAD_LETTER: Final[pa.Schema] = pa.schema(
    [
        _field("source", pa.string(), nullable=False, doc="file or stream partition"),
        _field("position", pa.int64(), nullable=False, doc="line, row or offset in the source, from 0"),
        _field("error", pa.string(), nullable=False, doc="expected and received, one line"),
        _field(
            "raw", pa.string(), nullable=False, doc="the record's beginning, at most 4,096 characters, secrets masked"
        ),
    ],
    metadata={"schema": "lonetree.dead_letter", "version": "1"},
)

REASON: Final = pa.struct(
    [
        pa.field("feature", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("typical", pa.float64()),
        pa.field("share", pa.float64()),
    ]
)

#: the judgement of one invocation, as written by ``replay`` and ``watch``
VERDICT: Final[pa.Schema] = pa.schema(
    [
        _field("invocation_id", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("event_time", TIMESTAMP, nullable=False, doc="when the invocation started"),
        _field("app", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("function", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("trigger", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("caller", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field(
            "score", pa.float64(), nullable=False, doc="higher is stranger; -log10 p, extrapolated beyond calibration"
        ),
        _field("p_value", pa.float64(), nullable=False, doc="share of normal invocations at least as strange"),
        _field("anomalous", pa.bool_(), nullable=False, doc="belongs to what the budget lets through"),
        _field("incident_id", pa.string(), doc="the incident it belongs to"),
        _field("reasons", pa.list_(REASON), nullable=False, doc="features by share of the score, largest first"),
        _field("model_version", pa.string(), nullable=False, doc="bundle that judged it"),
    ],
    metadata={"schema": "lonetree.verdict", "version": "1"},
)
