"""Events dressed as AppRequests rows, with every column that Azure writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .clock import SECOND
from .events import Array, Events
from .places import PLACES, write_address
from .probes import QUERIES
from .scenario import user_name
from .tenant import METHODS
from .text import decimals, each, guids, hexes, iso, join, mix, pick
from .world import World

HOST_API: Final = "This function was programmatically called via the host APIs."
SUBSCRIPTION: Final = "0a1b2c3d-0000-4000-8000-00000000a5e7"
WORKSPACE: Final = "7e57ab1e-0000-4000-8000-0000000010e7"
INSTRUMENTATION_KEY: Final = "1beef000-0000-4000-8000-00000000feed"
BASE_HOST_BUILD: Final = 1034  #: "azurefunctions: 4.<build>.0.0" before the first upgrade
#: how far apart wall time and time inside the function are at least, and on average beyond that, ms
LEAST_GAP_MS: Final = 0.3
GAP_MS: Final = 1.8
#: upper bounds in ms of Application Insights' performance buckets
BUCKETS: Final = (
    (250.0, "<250ms"),
    (500.0, "250ms-500ms"),
    (1_000.0, "500ms-1sec"),
    (3_000.0, "1sec-3sec"),
    (7_000.0, "3sec-7sec"),
    (15_000.0, "7sec-15sec"),
    (30_000.0, "15sec-30sec"),
    (60_000.0, "30sec-1min"),
    (120_000.0, "1min-2min"),
    (300_000.0, "2min-5min"),
    (float("inf"), ">=5min"),
)
ROWS_AT_ONCE: Final = 131_072  #: rows turned to text together: bounds the memory, whatever a day holds
#: salts of the different ids that stand for one number
ITEM, HOST, PROCESS, WORKER, GAP = 11, 21, 31, 41, 45


@dataclass(frozen=True)
class Placed:
    """Sorted events with the hosts that ran them and their invocation ids."""

    events: Events
    host: Array  #: int64
    worker: Array  #: int64
    invocation: Array  #: uint64, number behind the InvocationId
    salt: int  #: the tenant's own, so that two tenants share no id
    item_count: int = 1  #: invocations that a row stands for where the log is sampled

    def take(self, index: Array) -> Placed:
        """The rows at an integer index."""
        return replace(
            self,
            events=self.events.take(index),
            host=self.host[index],
            worker=self.worker[index],
            invocation=self.invocation[index],
        )

    def parts(self) -> Iterator[Placed]:
        """The rows, ROWS_AT_ONCE at a time; one empty part where there are none."""
        for start in range(0, max(len(self.events), 1), ROWS_AT_ONCE):
            yield self.take(np.arange(start, min(start + ROWS_AT_ONCE, len(self.events))))


def resource_id(app: str) -> str:
    """The Application Insights component of an app."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-{app}"
    return f"{group}/providers/microsoft.insights/components/ai-{app}"


def invocation_ids(placed: Placed) -> Any:
    """InvocationId of each event: a pa.StringArray of length n."""
    return guids(placed.invocation, placed.salt)


def reasons(world: World, events: Events) -> Any:
    """TriggerReason of each event, null where the trigger gives none."""
    texts: list[str | None] = [
        {
            "http": HOST_API,
            "queue": f"New queue message detected on '{function.source}'.",
            "servicebus": f"New ServiceBus message detected on '{function.source}'.",
            "blob": f"New blob detected: {function.source}/",
            "timer": "Timer fired at ",
        }.get(function.trigger, "(null)")
        for function in world.tenant.functions
    ]
    text = pick(texts, events.function)
    is_timer, is_blob = _is(world, events, "timer"), _is(world, events, "blob")
    rows = np.flatnonzero(is_timer)
    if len(rows):
        fired = pc.replace_substring(iso(events.time[rows]), "Z", "+00:00")
        text = _put(text, is_timer, join("Timer fired at ", fired))
    rows = np.flatnonzero(is_blob)
    if len(rows):
        blob = join(text.take(pa.array(rows)), hexes(mix(events.request[rows], 3)), ".jpg")
        text = _put(text, is_blob, blob)
    if events.manual.any():
        text = _put(text, events.manual, pa.array([HOST_API] * int(events.manual.sum())))
    return text


def _put(text: Any, mask: Array, values: Any) -> Any:
    return pc.replace_with_mask(text, pa.array(mask), values)


def _is(world: World, events: Events, trigger: str) -> Array:
    return np.array([function.trigger == trigger for function in world.tenant.functions])[events.function]


def paths(world: World, events: Events) -> tuple[Any, Any]:
    """(HttpPath, query) of each event, null where it is not an HTTP call; the query only where the app traces it."""
    functions = world.tenant.functions
    http = _is(world, events, "http") & ~events.manual
    base = pick([function.path or None for function in functions], np.where(http, events.function, -1))
    item = join("/", pa.array(events.item).cast(pa.string()))
    path = pc.if_else(pa.array(http & (events.item >= 0)), join(base, item), base)
    traced = np.array([world.tenant.apps[function.app].traces_query for function in functions])[events.function]
    return path, pick(list(QUERIES), np.where(http & traced, events.query, -1))


def sdk_versions(world: World, events: Events) -> Any:
    """SDKVersion of rows that the host wrote."""
    upgrades = np.sort(np.array(world.calendar.upgrades, dtype=np.int64))
    level = np.searchsorted(upgrades, events.time, side="right")
    return pick([f"azurefunctions: 4.{BASE_HOST_BUILD + number}.0.0" for number in range(len(upgrades) + 1)], level)


def app_versions(world: World, events: Events) -> Any:
    """AppVersion, for the apps that fill it."""
    app_of = np.array([function.app for function in world.tenant.functions])[events.function]
    number = np.full(len(events), -1, dtype=np.int64)
    most = 0
    for app in world.tenant.apps:
        if app.logs_version:
            mine = app_of == app.index
            marks = np.sort(
                np.array([d.time for d in world.calendar.deployments if d.app == app.index], dtype=np.int64)
            )
            number[mine] = np.searchsorted(marks, events.time[mine], side="right")
            most = max(most, len(marks))
    return pick([f"2.{14 + step}.0" for step in range(most + 1)], number)


def workers(placed: Placed) -> Any:
    """AppRoleInstance: the worker's id, 64 hexadecimal digits."""
    distinct, index = np.unique(placed.worker, return_inverse=True)
    words = [mix(distinct, placed.salt + WORKER + step) for step in range(4)]
    return hexes(*words).take(pa.array(index.reshape(-1)))


def hosts(placed: Placed) -> Any:
    """HostInstanceId: new with each start of the script host."""
    distinct, index = np.unique(placed.host, return_inverse=True)
    return guids(distinct, placed.salt + HOST).take(pa.array(index.reshape(-1)))


def processes(placed: Placed) -> Any:
    """ProcessId as text."""
    return each(placed.host, lambda number: str(20 + int(mix(np.array([number]), PROCESS)[0] % np.uint64(9000))))


def table(world: World, placed: Placed, *, masked: bool) -> pa.Table:
    """AppRequests rows in the order of the events; Properties is JSON text.

    Args:
        world: the tenant and its life.
        placed: sorted events with hosts and ids.
        masked: write ClientIP 0.0.0.0 and no user, as Azure does by default; geography stays.
    """
    events, count = placed.events, len(placed.events)
    functions, apps = world.tenant.functions, world.tenant.apps
    app_of = np.array([function.app for function in functions])[events.function]
    http = _is(world, events, "http") & ~events.manual
    name = pick([function.name for function in functions], events.function)
    path, query = paths(world, events)
    # drawn from the id, so that a row written twice is the same row
    uniform = (mix(placed.invocation, GAP) >> np.uint64(11)).astype(np.float64) / 2.0**53
    inside = events.duration_ms - np.minimum(LEAST_GAP_MS - GAP_MS * np.log1p(-uniform), 0.2 * events.duration_ms)
    method = pick(list(METHODS), np.where(http, events.method, -1))
    from_http = join(
        ',"HttpMethod":"', method, '","HttpPath":"', pc.replace_substring(path, '"', '\\"'), '"'
    )  # fmt: skip
    properties = join(
        '{"InvocationId":"', invocation_ids(placed),
        '","FullName":"Functions.', name,
        '","TriggerReason":"', reasons(world, events),
        '","Category":"Host.Results","LogLevel":"', pick(["Error", "Information"], events.success.astype(int)),
        '","HostInstanceId":"', hosts(placed),
        '","ProcessId":"', processes(placed),
        '","FunctionExecutionTimeMs":"', decimals(inside),
        '"', pc.if_else(pa.array(http), from_http, ""), "}",
    )  # fmt: skip
    place = np.where(http, events.place, -1)
    signed_in = np.array([app.signed_in for app in apps])[app_of] & http & (events.user >= 0) & (not masked)
    app_names: list[str | None] = [app.name for app in apps]
    address = np.zeros(count, dtype=np.uint64) if masked else np.where(http, events.address, np.uint64(0))
    url = join(pick([f"https://{name}.azurewebsites.net" for name in app_names], app_of), path, query)
    bucket = np.searchsorted(np.array([bound for bound, _ in BUCKETS]), events.duration_ms, side="right")

    def nothing() -> Any:
        return pa.nulls(count, pa.string())

    def always(text: str) -> Any:
        return pa.array([text]).take(pa.array(np.zeros(count, dtype=np.int64)))

    return pa.table(
        {
            "TenantId": always(WORKSPACE),
            "TimeGenerated": pa.array(events.time, pa.timestamp("us", tz="UTC")),
            "Id": hexes(events.request),
            "Source": nothing(),
            "Name": name,
            "Url": pc.if_else(pa.array(http), url, pa.scalar(None, pa.string())),
            "Success": pa.array(events.success),
            "ResultCode": each(events.status, str),
            "DurationMs": pa.array(np.round(events.duration_ms, 4)),
            "PerformanceBucket": pick([label for _, label in BUCKETS], np.minimum(bucket, len(BUCKETS) - 1)),
            "Properties": properties,
            "Measurements": nothing(),
            "OperationName": name,
            "OperationId": hexes(mix(events.operation, 1), mix(events.operation, 2)),
            "ParentId": pc.if_else(pa.array(events.parent > 0), hexes(events.parent), ""),
            "SyntheticSource": nothing(),
            "SessionId": nothing(),
            "UserId": nothing(),
            "UserAuthenticatedId": pc.if_else(
                pa.array(signed_in), each(events.user, user_name), pa.scalar(None, pa.string())
            ),
            "UserAccountId": nothing(),
            "AppVersion": app_versions(world, events),
            "AppRoleName": pick(app_names, app_of),
            "AppRoleInstance": workers(placed),
            "ClientType": always("PC"),
            "ClientModel": nothing(),
            "ClientOS": nothing(),
            "ClientIP": each(address, write_address),
            "ClientCity": pick([p.city for p in PLACES], place),
            "ClientStateOrProvince": pick([p.state or None for p in PLACES], place),
            "ClientCountryOrRegion": pick([p.country for p in PLACES], place),
            "ClientBrowser": always("Other"),
            "ResourceGUID": always(INSTRUMENTATION_KEY),
            "IKey": always(INSTRUMENTATION_KEY),
            "SDKVersion": sdk_versions(world, events),
            "ItemCount": pa.array(np.full(count, placed.item_count, dtype=np.int32)),
            "ReferencedItemId": nothing(),
            "ReferencedType": nothing(),
            "SourceSystem": always("Azure"),
            "Type": always("AppRequests"),
            "_BilledSize": pa.array(np.full(count, 1087.0)),
            "_IsBillable": always("True"),
            "_ItemId": guids(placed.invocation, placed.salt + ITEM),
            "_ResourceId": pick([resource_id(app.name) for app in apps], app_of),
            "_SubscriptionId": always(SUBSCRIPTION),
        }
    )


def completion(events: Events) -> Array:
    """When each row is written: start plus duration, int64 us."""
    return np.asarray(events.time + (events.duration_ms * SECOND / 1000).astype(np.int64))


def by_worker(rows: pa.Table) -> pa.Table:
    """The same invocations as an isolated worker writes them a second time: its SDK, the data centre's geography."""
    changed = {
        "SDKVersion": "dotnetiso: 1.2.0",
        "ClientCity": "Amsterdam",
        "ClientStateOrProvince": "North Holland",
        "ClientCountryOrRegion": "Netherlands",
    }
    for name, value in changed.items():
        column = rows.schema.get_field_index(name)
        rows = rows.set_column(column, name, pa.array([value] * rows.num_rows, pa.string()))
    return rows
