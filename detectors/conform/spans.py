"""OpenTelemetry spans (OTLP/JSON) with faas.* to the slots of a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

#: SpanKind SERVER and CONSUMER: something came in; INTERNAL and CLIENT spans are steps of it
_INCOMING: Final = frozenset((2, 5, "2", "5", "SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER", "server", "consumer"))
_ERROR: Final = frozenset((2, "2", "STATUS_CODE_ERROR", "error"))
_NS_PER_MS: Final = 1e6
_NS_PER_US: Final = 1_000

#: attribute to slot, best first
_ATTRIBUTES: Final = (
    ("faas.invocation_id", "p.faas.invocation_id"),
    ("faas.execution", "p.faas.execution"),
    ("azurefunctions_invocationid", "p.azurefunctions_invocationid"),
    ("azure.functions.invocation_id", "p.invocationid"),
    ("faas.trigger", "p.faas.trigger"),
    ("faas.instance", "p.faas.instance"),
    ("faas.coldstart", "p.faas.coldstart"),
    ("http.response.status_code", "resultcode"),
    ("http.status_code", "resultcode"),
    ("http.request.method", "p.httpmethod"),
    ("http.method", "p.httpmethod"),
    ("url.path", "p.httppath"),
    ("http.target", "p.httppath"),
    ("http.route", "p.httppath"),
    ("url.full", "url"),
    ("http.url", "url"),
    ("client.address", "clientip"),
    ("http.client_ip", "clientip"),
    ("network.peer.address", "clientip"),
    ("enduser.id", "userauthenticatedid"),
    ("messaging.destination.name", "source"),
    ("faas.document.collection", "source"),
    ("service.name", "approlename"),
    ("service.version", "appversion"),
    ("service.instance.id", "approleinstance"),
    ("host.id", "p.hostinstanceid"),
    ("cloud.resource_id", "resourceid"),
)


def is_spans(value: dict[str, Any]) -> bool:
    """An OTLP document, a part of one, or a single span."""
    return (
        isinstance(value.get("resourceSpans"), list)
        or isinstance(value.get("scopeSpans"), list)
        or ("spanId" in value and "startTimeUnixNano" in value)
    )


def spans(document: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The slots of every span; one that is no invocation says so by its type and is ignored later."""
    if "spanId" in document and "startTimeUnixNano" in document:
        yield _slots(document, {})
        return
    for resource_spans in _objects(document.get("resourceSpans") or [document]):
        resource = resource_spans.get("resource")
        shared = _attributes(resource.get("attributes") if isinstance(resource, dict) else None)
        scopes = resource_spans.get("scopeSpans") or resource_spans.get("instrumentationLibrarySpans")
        for scope in _objects(scopes):
            for span in _objects(scope.get("spans")):
                yield _slots(span, shared)


def _slots(span: dict[str, Any], resource: dict[str, Any]) -> dict[str, str]:
    own = _attributes(span.get("attributes"))
    told = {**resource, **own}
    faas = any(key.startswith("faas.") and key != "faas.instance" for key in own) or "faas.trigger" in told
    if not faas or (span.get("kind") is not None and span["kind"] not in _INCOMING and "faas.trigger" not in own):
        return {"itemtype": "dependency"}
    slots: dict[str, str] = {"itemtype": "request"}
    for attribute, slot in _ATTRIBUTES:
        value = told.get(attribute)
        if value is not None and slot not in slots:
            slots[slot] = _text(value)
    # every span is a host's or a worker's; both are told by faas.trigger alone, so no SDKVersion is made up
    status = span.get("status")
    failed = isinstance(status, dict) and status.get("code") in _ERROR
    slots["success"] = "false" if failed else "true"
    name = told.get("faas.name") or span.get("name")
    if name:
        slots["name"] = _text(name).rpartition("/")[2] if "/sites/" in _text(name).lower() else _text(name)
    for key, slot in (("traceId", "operationid"), ("spanId", "id"), ("parentSpanId", "parentid")):
        if span.get(key):
            slots[slot] = _text(span[key])
    start, end = _nanos(span.get("startTimeUnixNano")), _nanos(span.get("endTimeUnixNano"))
    if start is not None:
        slots["time"] = repr(start // _NS_PER_US)
        if end is not None:
            slots["durationms"] = repr((end - start) / _NS_PER_MS)
    exception = _exception(span)
    if exception:
        slots["exceptiontype"] = exception
    return slots


def _exception(span: dict[str, Any]) -> str | None:
    for event in _objects(span.get("events")):
        kind = _attributes(event.get("attributes")).get("exception.type")
        if kind:
            return _text(kind)
    return None


def _attributes(attributes: Any) -> dict[str, Any]:
    """Attributes as a mapping, keys in lower case; of several values the first (trap: spans under concurrency)."""
    if isinstance(attributes, dict):
        pairs = list(attributes.items())
    else:
        pairs = [(item.get("key"), item.get("value")) for item in _objects(attributes)]
    found: dict[str, Any] = {}
    for key, value in pairs:
        if isinstance(key, str):
            found.setdefault(key.lower(), _value(value))
    return found


def _value(value: Any) -> Any:
    """An AnyValue ({"stringValue": …}) or a plain value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "arrayValue":
                values = inner.get("values") if isinstance(inner, dict) else None
                return _value(values[0]) if isinstance(values, list) and values else None
            if key in ("stringValue", "intValue", "boolValue", "doubleValue"):
                return inner
        return None
    if isinstance(value, list):
        return _value(value[0]) if value else None
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _nanos(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)
