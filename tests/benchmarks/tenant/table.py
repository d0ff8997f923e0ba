"""From rows to AppRequests as a workspace shows it: sampled, doubled, with holes, and masked if so wished."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.benchmarks.tenant.estate import Tenant
from tests.benchmarks.tenant.geo import PLACES
from tests.benchmarks.tenant.people import Calendar
from tests.benchmarks.tenant.rows import DAY_S, VERBS, Rows, size, take

STRINGS: Final = (
    "AppRoleInstance", "AppRoleName", "AppVersion", "ClientBrowser", "ClientCity", "ClientCountryOrRegion",
    "ClientIP", "ClientModel", "ClientOS", "ClientStateOrProvince", "ClientType", "IKey", "_IsBillable",
    "Measurements", "OperationId", "OperationName", "ParentId", "Properties", "ResourceGUID", "_ResourceId",
    "SDKVersion", "SessionId", "SourceSystem", "_SubscriptionId", "SyntheticSource", "TenantId", "Type",
    "UserAccountId", "UserAuthenticatedId", "UserId", "Id", "Name", "ReferencedItemId", "ReferencedType",
    "ResultCode", "Source", "Url", "PerformanceBucket"
)  # fmt: skip
#: AppRequests as tables.md lists it; Properties and Measurements are dynamic columns and arrive as JSON strings
APP_REQUESTS: Final = pa.schema(
    [
        pa.field("TimeGenerated", pa.timestamp("us", tz="UTC")),
        *(pa.field(name, pa.string()) for name in sorted(STRINGS)),
        pa.field("DurationMs", pa.float64()),
        pa.field("_BilledSize", pa.float64()),
        pa.field("Success", pa.bool_()),
        pa.field("ItemCount", pa.int32()),
    ]
)
BUCKETS_MS: Final = np.array([250, 500, 1_000, 3_000, 7_000, 15_000, 30_000, 60_000, 120_000, 300_000])
BUCKET_NAMES: Final = (
    "<250ms", "250ms-500ms", "500ms-1sec", "1sec-3sec", "3sec-7sec", "7sec-15sec", "15sec-30sec", "30sec-1min",
    "1min-2min", "2min-5min", ">=5min"
)  # fmt: skip
MASKED: Final = "0.0.0.0"  # noqa: S104 (nobody binds to it: it is how a hidden address is shown)
HOST_API: Final = "This function was programmatically called via the host APIs."
ZERO_GUID: Final = "00000000-0000-0000-0000-0000000000"


def spoil(tenant: Tenant, calendar: Calendar, rows: Rows) -> tuple[Rows, np.ndarray]:
    """Sampling and holes in the ingestion: the rows that reach the log and their ItemCount (N,) int32."""
    rng = tenant.rng
    app = tenant.column("app")[rows["fn"]]
    count = np.ones(size(rows), np.int32)
    keep = np.ones(size(rows), bool)
    for a, made in enumerate(tenant.apps):
        if made.sampled > 1:
            # adaptive: the rate follows the load, hour by hour; failures are sampled as well
            mine = np.flatnonzero(app == a)
            rate = np.clip(np.round(rng.normal(made.sampled, 1.0, calendar.days * 24 + 1)), 1, 12).astype(np.int32)
            count[mine] = rate[(rows["t"][mine] // 3_600).astype(int)]
            keep[mine] = rng.random(len(mine)) < 1 / count[mine]
    for start in rng.uniform(0, calendar.end_s, rng.poisson(0.35 * calendar.days)):
        hole = (rows["t"] >= start) & (rows["t"] < start + rng.uniform(120, 540))
        if rng.random() < 0.7:
            hole &= app == rng.integers(len(tenant.apps))
        keep &= ~(hole & (rows["label"] == 0))
    return take(rows, keep), count[keep]


def hexes(rng: np.random.Generator, n: int, width: int, *, dashes: bool = False) -> pa.Array:
    """``n`` random hexadecimal strings of ``width`` digits; with dashes as in a GUID (width 32)."""
    digits = np.frombuffer(rng.bytes(n * width // 2).hex().encode(), np.uint8).reshape(n, width)
    return _text(_dashed(digits) if dashes else digits)


def _dashed(digits: np.ndarray) -> np.ndarray:
    out = np.full((len(digits), 36), ord("-"), np.uint8)
    for start, end, at in ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)):
        out[:, at : at + end - start] = digits[:, start:end]
    return out


def _text(matrix: np.ndarray) -> pa.Array:
    n, width = matrix.shape
    offsets = np.arange(0, (n + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix)))


def _span(values: np.ndarray, width: int) -> pa.Array:
    """Unsigned integers (N,) as hexadecimal strings, the same number always the same string."""
    raw = values.astype(">u8").tobytes().hex().encode()
    digits = np.frombuffer(raw, np.uint8).reshape(len(values), 16)
    return _text(np.hstack([digits] * (width // 16)) if width > 16 else digits)


def _lookup(names: list[str], index: np.ndarray, missing: str = "") -> pa.Array:
    """``names[index]`` with ``missing`` where the index is negative."""
    table = pa.array([*names, missing], pa.string())
    return table.take(pa.array(np.where(index < 0, len(names), index)))


def as_table(
    tenant: Tenant, calendar: Calendar, rows: Rows, item_count: np.ndarray, begin: datetime, *, masked: bool
) -> tuple[pa.Table, pa.Array]:
    """AppRequests in order of arrival, copies included, and the InvocationId of every row of ``rows``."""
    rng, n = tenant.rng, size(rows)
    fns, apps = tenant.fns, tenant.apps
    fn, app = rows["fn"], tenant.column("app")[rows["fn"]]
    trigger = np.array([f.trigger for f in fns])[fn]
    by_hand = rows["manual"] == 1
    http = (trigger == "http") & ~by_hand
    invocation = hexes(rng, n, 32, dashes=True)
    names = _lookup([f.name for f in fns], fn)
    path = _paths(tenant, rows, http)
    reason = _reasons(tenant, rows, begin)
    host = _span(rows["host"].astype(np.uint64) * 2_654_435_761, 16)
    host = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(host, 8, 16), pa.scalar("-6b1c-4d0b-8f3e-"), pc.utf8_slice_codeunits(host, 4, 16), ""
    )
    failed = rows["fail"] == 1
    level = _lookup(["Information", "Error"], failed.astype(int))
    exec_ms = pc.cast(pa.array(np.round(rows["exec"], 4)), pa.string())
    method = _lookup(list(VERBS), rows["verb"])
    http_part = pc.if_else(
        pa.array(http), pc.binary_join_element_wise('","HttpMethod":"', method, '","HttpPath":"', path, ""), ""
    )
    properties = pc.binary_join_element_wise(
        '{"InvocationId":"', invocation, '","FullName":"Functions.', names, '","TriggerReason":"', reason,
        '","Category":"Host.Results","LogLevel":"', level, '","HostInstanceId":"', host,
        '","ProcessId":"64","FunctionExecutionTimeMs":"', exec_ms, http_part, '"}', "",
    )  # fmt: skip
    start_us = int(begin.timestamp()) * 1_000_000
    stamps = start_us + (rows["t"] * 1e6).astype(np.int64)
    fresh = rng.integers(1, 2**63, n).astype(np.uint64)
    operation = np.where(rows["op"] == 0, fresh, rows["op"])
    span = np.where(rows["span"] == 0, rng.integers(1, 2**63, n).astype(np.uint64), rows["span"])
    place = np.where(http, rows["place"], -1)
    ip = np.where(http & (not masked), rows["ip"], -1)
    user = np.where(http & (not masked), rows["user"], -1)
    url = pc.if_else(
        pa.array(http),
        pc.binary_join_element_wise("https://", _lookup([a.name for a in apps], app), ".azurewebsites.net", path, ""),
        "",
    )
    status = pc.cast(
        pa.array(np.where(http, rows["status"], np.where(by_hand & (trigger == "http"), 200, 0))), pa.string()
    )
    duration = np.round(rows["dur"], 4)
    resource = "/subscriptions/7d1f/resourcegroups/rg/providers/microsoft.insights/components/ai"
    columns: dict[str, Any] = {
        "TimeGenerated": pa.array(stamps, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "AppRoleInstance": pc.binary_join_element_wise("wk-", pc.cast(pa.array(rows["worker"]), pa.string()), ""),
        "AppRoleName": _lookup([a.name for a in apps], app),
        "AppVersion": _lookup(tenant.versions, rows["version"]),
        "ClientIP": _lookup(tenant.addresses.names, ip, MASKED),
        "ClientCity": _lookup([p.city for p in PLACES], place),
        "ClientStateOrProvince": _lookup([p.state for p in PLACES], place),
        "ClientCountryOrRegion": _lookup([p.country for p in PLACES], place),
        "ClientType": "PC", "IKey": "ikey", "_IsBillable": "True", "Measurements": "{}",
        "OperationId": _span(operation, 32), "OperationName": names,
        "ParentId": pc.if_else(pa.array(rows["parent"] == 0), "", _span(rows["parent"], 16)),
        "Properties": properties, "ResourceGUID": "guid", "_ResourceId": resource,
        "SDKVersion": "azurefunctions: 4.1037.0.0", "SourceSystem": "Azure",
        "SyntheticSource": _lookup(["", "Application Insights Availability Monitoring"], rows["synthetic"]),
        "TenantId": "workspace", "Type": "AppRequests",
        "UserAuthenticatedId": _lookup(tenant.users, user),
        "Id": _span(span, 16), "Name": names, "ResultCode": status, "Source": "", "Url": url,
        "PerformanceBucket": _lookup(BUCKET_NAMES, np.searchsorted(BUCKETS_MS, duration, side="right")),
        "DurationMs": duration, "_BilledSize": np.full(n, 1_087.0), "Success": ~failed, "ItemCount": item_count,
    }  # fmt: skip
    arrays = [_column(columns.get(f.name, ""), f, n) for f in APP_REQUESTS]
    table = pa.Table.from_arrays(arrays, schema=APP_REQUESTS)
    arrival = rows["t"] + rows["dur"] / 1e3 + rng.exponential(20.0, n)
    return _copies(tenant, rng, table, arrival, app, http), invocation


def _column(value: Any, field: pa.Field, n: int) -> pa.Array:
    if isinstance(value, str):
        return pa.repeat(pa.scalar(value, field.type), n)
    return value if isinstance(value, pa.Array) else pa.array(value, field.type)


def _paths(tenant: Tenant, rows: Rows, http: np.ndarray) -> pa.Array:
    index = np.where(rows["path"] >= 0, rows["path"], tenant.column("route")[rows["fn"]])
    index = np.where(http, index, -1)
    heads = [p.split("{}")[0] for p in tenant.paths]
    tails = [p.split("{}")[1] if "{}" in p else "" for p in tenant.paths]
    holes = np.array([*("{}" in p for p in tenant.paths), False])[index]
    rid = pc.if_else(pa.array(holes), pc.cast(pa.array(rows["rid"]), pa.string()), "")
    return pc.binary_join_element_wise(_lookup(heads, index), rid, _lookup(tails, index), "")


def _reasons(tenant: Tenant, rows: Rows, begin: datetime) -> pa.Array:
    texts = {
        "http": HOST_API, "timer": "", "eventhub": "(null)", "other": "(null)",
        "queue": "New queue message detected on '{}'.",
        "servicebus": "New ServiceBus message detected on '{}'.", "blob": "New blob detected: {}/",
    }  # fmt: skip
    by_fn = [texts[f.trigger].replace("{}", f.source) for f in tenant.fns] + [HOST_API]
    reason = _lookup(by_fn, np.where(rows["manual"] == 1, len(tenant.fns), rows["fn"]))
    trigger = np.where(rows["manual"] == 0, tenant.column("trigger")[rows["fn"]], "")
    rid = pc.cast(pa.array(rows["rid"]), pa.string())
    reason = pc.if_else(pa.array(trigger == "blob"), pc.binary_join_element_wise(reason, rid, ".json", ""), reason)
    fired = trigger == "timer"
    us = int(begin.timestamp()) * 1_000_000 + (rows["t"] * 1e6).astype(np.int64)
    iso = pc.strftime(pa.array(us, pa.int64()).cast(pa.timestamp("us", tz="UTC")), "%Y-%m-%dT%H:%M:%S")
    return pc.if_else(pa.array(fired), pc.binary_join_element_wise("Timer fired at ", iso, "0+00:00", ""), reason)


def _copies(
    tenant: Tenant, rng: np.random.Generator, table: pa.Table, arrival: np.ndarray, app: np.ndarray, http: np.ndarray
) -> pa.Table:
    """Exports repeat rows; isolated workers write a second row, with the data centre's geography and other names."""
    again = np.flatnonzero(rng.random(len(arrival)) < 0.002)
    isolated = np.array([a.isolated for a in tenant.apps])[app]
    second = np.flatnonzero(isolated & http & (rng.random(len(arrival)) < 0.03))
    worker = table.take(pa.array(second))
    here = PLACES[tenant.datacentre]
    changes = {
        "SDKVersion": "dotnetiso:1.2.0", "ClientIP": MASKED, "ClientCity": here.city, "UserAuthenticatedId": "",
        "ClientStateOrProvince": here.state, "ClientCountryOrRegion": here.country,
    }  # fmt: skip
    for name, value in changes.items():
        at = worker.schema.get_field_index(name)
        worker = worker.set_column(at, APP_REQUESTS.field(name), pa.repeat(pa.scalar(value), len(second)))
    whole = pa.concat_tables([table, table.take(pa.array(again)), worker])
    times = np.concatenate([arrival, arrival[again] + rng.uniform(60, DAY_S / 2, len(again)), arrival[second] + 1.0])
    return whole.take(pa.array(np.argsort(times, kind="stable")))
