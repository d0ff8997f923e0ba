"""Records in the shapes that Azure writes, made here; every test changes what it is about."""

from __future__ import annotations

import copy
import json
from typing import Any

HOST_API = "This function was programmatically called via the host APIs."

REQUEST: dict[str, Any] = {
    "TimeGenerated": "2026-08-01T10:00:00.1234567Z",
    "Type": "AppRequests",
    "AppRoleName": "shop",
    "AppRoleInstance": "worker-1",
    "ClientIP": "203.0.113.7",
    "ClientCountryOrRegion": "Finland",
    "ClientStateOrProvince": "Uusimaa",
    "ClientCity": "Helsinki",
    "OperationId": "4bf92f3577b34da6a3ce929d0e0e4736",
    "OperationName": "Pay",
    "ParentId": "00f067aa0ba902b7",
    "SDKVersion": "azurefunctions: 4.1037.0.0",
    "Properties": {
        "InvocationId": "11111111-2222-3333-4444-555555555555",
        "FullName": "Functions.Pay",
        "TriggerReason": HOST_API,
        "HttpMethod": "POST",
        "HttpPath": "/api/pay",
        "HostInstanceId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "FunctionExecutionTimeMs": "41.7",
        "Category": "Host.Results",
        "LogLevel": "Information",
    },
    "Id": "53995c3f42cd8ad8",
    "Name": "Pay",
    "Url": "https://shop.azurewebsites.net/api/pay",
    "Success": True,
    "ResultCode": "200",
    "DurationMs": 45.25,
    "ItemCount": 1,
}

CLASSIC: dict[str, Any] = {
    "timestamp": "2026-08-01T10:00:00.1234567Z",
    "itemType": "request",
    "id": "53995c3f42cd8ad8",
    "name": "Pay",
    "operation_Name": "Pay",
    "operation_Id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "operation_ParentId": "00f067aa0ba902b7",
    "duration": 45.25,
    "success": "True",
    "resultCode": "200",
    "cloud_RoleName": "shop",
    "cloud_RoleInstance": "worker-1",
    "appName": "insights-of-shop",
    "client_IP": "203.0.113.7",
    "client_City": "Helsinki",
    "client_CountryOrRegion": "Finland",
    "client_StateOrProvince": "Uusimaa",
    "url": "https://shop.azurewebsites.net/api/pay",
    "sdkVersion": "azurefunctions: 4.1037.0.0",
    "customDimensions": REQUEST["Properties"],
    "itemCount": 1,
}

EXPORT: dict[str, Any] = {
    "request": [
        {
            "id": "53995c3f42cd8ad8",
            "name": "Pay",
            "count": 1,
            "responseCode": 200,
            "success": "True",
            "url": "https://shop.azurewebsites.net/api/pay",
            "durationMetric": {"value": 452500.0, "count": 1.0},
        }
    ],
    "internal": {"data": {"id": "x", "documentVersion": "1.61", "sdkVersion": "azurefunctions: 4.1037.0.0"}},
    "context": {
        "data": {"eventTime": "2026-08-01T10:00:00.1234567Z", "isSynthetic": False, "samplingRate": 100.0},
        "cloud": {"roleName": "shop"},
        "device": {"type": "PC", "roleInstance": "worker-1"},
        "location": {"clientip": "203.0.113.7", "country": "Finland", "province": "Uusimaa", "city": "Helsinki"},
        "operation": {"id": "4bf92f3577b34da6a3ce929d0e0e4736", "parentId": "00f067aa0ba902b7", "name": "Pay"},
        "custom": {"dimensions": [{key: value} for key, value in REQUEST["Properties"].items()]},
    },
}

LOG_LINE: dict[str, Any] = {
    "time": "2026-08-01T10:00:00.5000000Z",
    "resourceId": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.WEB/SITES/SHOP",
    "category": "FunctionAppLogs",
    "operationName": "Microsoft.Web/sites/functions/log",
    "level": "Informational",
    "properties": {
        "appName": "shop",
        "roleInstance": "worker-1",
        "message": "Executed 'Functions.Pay' (Succeeded, Id=11111111-2222-3333-4444-555555555555, Duration=45ms)",
        "category": "Function.Pay",
        "functionInvocationId": "11111111-2222-3333-4444-555555555555",
        "functionName": "Functions.Pay",
        "hostInstanceId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "levelId": 2,
        "processId": 67,
        "eventId": 2,
        "eventName": "FunctionCompleted",
    },
}

EXCEPTION: dict[str, Any] = {
    "TimeGenerated": "2026-08-01T10:00:00.1500000Z",
    "Type": "AppExceptions",
    "AppRoleName": "shop",
    "OperationName": "Pay",
    "ExceptionType": "System.TimeoutException",
    "OuterMessage": "no answer from https://bank.example?code=verysecretverysecret",
    "Properties": {"InvocationId": "11111111-2222-3333-4444-555555555555", "Category": "Function.Pay"},
}

TRACE: dict[str, Any] = {
    "TimeGenerated": "2026-08-01T10:00:00.1300000Z",
    "Type": "AppTraces",
    "AppRoleName": "shop",
    "OperationName": "Take",
    "Message": "Trigger Details: MessageId: 7f0c, DequeueCount: 3, InsertedOn: 2026-08-01T09:59:59.000+00:00",
    "Properties": {"InvocationId": "11111111-2222-3333-4444-555555555555", "Category": "Function.Take"},
}


def span(**attributes: Any) -> dict[str, Any]:
    """An OTLP/JSON document with one server span."""
    own = {
        "faas.invocation_id": "11111111-2222-3333-4444-555555555555",
        "faas.name": "Pay",
        "faas.trigger": "http",
        "faas.coldstart": True,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/api/pay",
        "client.address": "203.0.113.7",
        **attributes,
    }
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "shop", "service.version": "1.2.3"})},
                "scopeSpans": [
                    {
                        "scope": {"name": "Microsoft.Azure.Functions.Worker"},
                        "spans": [
                            {
                                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                                "spanId": "53995c3f42cd8ad8",
                                "parentSpanId": "00f067aa0ba902b7",
                                "name": "function Pay",
                                "kind": 2,
                                "startTimeUnixNano": "1785578400123456700",
                                "endTimeUnixNano": "1785578400168706700",
                                "attributes": _attributes(own),
                                "status": {},
                            }
                        ],
                    }
                ],
            }
        ]
    }


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {bool: "boolValue", int: "intValue", str: "stringValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in values.items()
        if value is not None
    ]


def changed(record: dict[str, Any], properties: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    """A copy with other values; None removes a key."""
    new = copy.deepcopy(record)
    inner = "customDimensions" if "customDimensions" in new else "properties" if "properties" in new else "Properties"
    for key, value in (properties or {}).items():
        _put(new[inner], key, value)
    for key, value in top.items():
        _put(new, key, value)
    return new


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        target.pop(key, None)
    else:
        target[key] = value


def lines(*records: Any) -> bytes:
    """Records as JSON Lines."""
    return b"\n".join(json.dumps(record).encode() for record in records)
