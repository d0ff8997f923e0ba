"""Classic continuous export (nested ``request[0]``, ``context.data.eventTime``, ticks) to the slots of a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

#: durationMetric.value counts 100 ns
_TICKS_PER_MS: Final = 1e4


def is_export(value: dict[str, Any]) -> bool:
    """One line of a continuous export: a context with data, and one list of telemetry."""
    context = value.get("context")
    return isinstance(context, dict) and isinstance(context.get("data"), dict)


def exports(value: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The slots of each telemetry item of one export line."""
    shared = _context(value["context"], value.get("internal"))
    known = False
    for key, itemtype, read in (
        ("request", "request", _request),
        ("message", "trace", _trace),
        ("basicException", "exception", _exception),
        ("exception", "exception", _exception),
    ):
        items = value.get(key)
        if not isinstance(items, list):
            continue
        for item in items:
            if isinstance(item, dict):
                known = True
                yield {**shared, "itemtype": itemtype, **_present(read(item))}
    if not known:
        yield {"itemtype": "metric"}  # another kind of telemetry: understood, about no invocation


def _context(context: dict[str, Any], internal: Any) -> dict[str, str]:
    slots: dict[str, Any] = {
        "time": _at(context, "data", "eventTime"),
        "approlename": _at(context, "cloud", "roleName") or _at(context, "device", "roleName"),
        "approleinstance": _at(context, "cloud", "roleInstance") or _at(context, "device", "roleInstance"),
        "clientip": _at(context, "location", "clientip"),
        "clientcountryorregion": _at(context, "location", "country"),
        "clientstateorprovince": _at(context, "location", "province"),
        "clientcity": _at(context, "location", "city"),
        "operationid": _at(context, "operation", "id"),
        "parentid": _at(context, "operation", "parentId"),
        "operationname": _at(context, "operation", "name"),
        "appversion": _at(context, "application", "version"),
        "userauthenticatedid": _at(context, "user", "authId"),
        "sdkversion": _at(internal, "data", "sdkVersion") if isinstance(internal, dict) else None,
    }
    for dimension in _dimensions(context):
        for key, item in dimension.items():
            slots[f"p.{key.lower()}"] = item
    return _present(slots)


def _dimensions(context: dict[str, Any]) -> list[dict[str, Any]]:
    found = _at(context, "custom", "dimensions")
    if isinstance(found, dict):
        return [found]
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _request(item: dict[str, Any]) -> dict[str, Any]:
    ticks = _at(item, "durationMetric", "value")
    url = item.get("url")
    data = item.get("urlData")
    if not url and isinstance(data, dict):
        url = f"https://{data.get('host') or ''}{data.get('base') or ''}" if data.get("base") else None
    return {
        "id": item.get("id"),
        "name": item.get("name"),
        "url": url,
        "success": item.get("success"),
        "resultcode": item.get("responseCode"),
        "durationms": ticks / _TICKS_PER_MS
        if isinstance(ticks, (int, float)) and not isinstance(ticks, bool)
        else None,
        "itemcount": item.get("count"),
    }


def _trace(item: dict[str, Any]) -> dict[str, Any]:
    return {"message": item.get("raw") or item.get("message")}


def _exception(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "exceptiontype": item.get("exceptionType") or item.get("outerType") or item.get("typeName"),
        "outermessage": item.get("outerExceptionMessage")
        or item.get("innermostExceptionMessage")
        or item.get("message"),
    }


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _present(slots: dict[str, Any]) -> dict[str, str]:
    found = {}
    for key, value in slots.items():
        if isinstance(value, bool):
            found[key] = "true" if value else "false"
        elif isinstance(value, (int, float)):
            found[key] = repr(value)
        elif isinstance(value, str):
            found[key] = value
    return found
