"""Rows that go with invocations: trigger details in AppTraces, and the two AppExceptions of each failure."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .events import Array
from .rows import Placed, completion, hosts, invocation_ids, processes, sdk_versions
from .text import guids, hexes, iso, join, mix, pick
from .world import World

TRACE_DELAY_US: Final = 900  #: trigger details are written this long after the start
TRACE, MESSAGE, EXCEPTION = 51, 61, 71  #: salts of their ids
#: what a failure says, by the dependency of the function
ERRORS: Final[dict[str, tuple[str, str]]] = {
    "sql": ("Microsoft.Data.SqlClient.SqlException", "Execution Timeout Expired."),
    "storage": ("Azure.RequestFailedException", "The server is busy."),
    "payments": ("System.Net.Http.HttpRequestException", "Response status code does not indicate success: 503."),
    "mail": ("System.Net.Mail.SmtpException", "The operation has timed out."),
}
OTHER_ERROR: Final = ("System.InvalidOperationException", "The operation failed.")
TIMED_OUT: Final = ("Microsoft.Azure.WebJobs.Host.FunctionTimeoutException", "Timeout value exceeded by function.")


def traces(world: World, placed: Placed) -> pa.Table:
    """AppTraces with the trigger details of queue, Service Bus and late timer invocations."""
    events = placed.events
    chosen = np.flatnonzero((events.dequeue > 0) | (events.late & ~events.manual))
    part = placed.take(chosen)
    events = part.events
    deliveries = pa.array(events.dequeue.astype(np.int64)).cast(pa.string())
    message = guids(mix(events.operation ^ events.parent, 7), placed.salt + MESSAGE)
    inserted = iso(events.time - 400_000)
    late = pa.array(events.late)
    shape = "MessageId: {MessageId}, DequeueCount: {DequeueCount}, InsertedOn: {InsertedOn}"
    queued = join("Trigger Details: MessageId: ", message, ", DequeueCount: ", deliveries, ", InsertedOn: ", inserted)
    past = join("Trigger Details: UnscheduledInvocationReason: IsPastDue, OriginalSchedule: ", inserted)
    fields = join(
        ',"prop__MessageId":"', message, '","prop__DequeueCount":"', deliveries, '","prop__InsertedOn":"', inserted,
        f'","prop__{{OriginalFormat}}":"Trigger Details: {shape}"',
    )  # fmt: skip
    fields_late = join(
        ',"prop__UnscheduledInvocationReason":"IsPastDue","prop__OriginalSchedule":"', inserted, '"'
    )  # fmt: skip
    return _table(
        world,
        part,
        time=events.time + TRACE_DELAY_US,
        kind="AppTraces",
        category="Function",
        level="Information",
        extra=pc.if_else(late, fields_late, fields),
        columns={
            "Message": pc.if_else(late, past, queued),
            "SeverityLevel": pa.array(np.ones(len(events), dtype=np.int32)),
            "_ItemId": guids(part.invocation, placed.salt + TRACE),
        },
    )


def exceptions(world: World, placed: Placed) -> pa.Table:
    """AppExceptions: two rows for each failure, as the host and the function's own logger write them."""
    chosen = np.flatnonzero(~placed.events.success)
    tables = []
    for step, category in enumerate(("Host.Results", "Function")):
        part = placed.take(chosen)
        events = part.events
        limit = np.array([world.tenant.apps[f.app].time_limit_ms for f in world.tenant.functions])[events.function]
        found = [ERRORS.get(f.dependency, OTHER_ERROR) for f in world.tenant.functions] + [TIMED_OUT]
        which = np.where(events.duration_ms >= limit, len(found) - 1, events.function)
        name = pick([f.name for f in world.tenant.functions], events.function)
        outer = join("Exception while executing function: Functions.", name)
        inner_type, inner_message = pick([t for t, _ in found], which), pick([m for _, m in found], which)
        severity = pa.array(np.full(len(events), 3, dtype=np.int32))
        wrapper = pa.array(["Microsoft.Azure.WebJobs.Host.FunctionInvocationException"] * len(events), pa.string())
        tables.append(
            _table(
                world,
                part,
                time=completion(events) + step,
                kind="AppExceptions",
                category=category,
                level="Error",
                extra=join(pa.array([""] * len(events), pa.string())),
                columns={
                    "ExceptionType": inner_type if step else wrapper,
                    "OuterType": wrapper,
                    "OuterMessage": outer,
                    "InnermostType": inner_type,
                    "InnermostMessage": inner_message,
                    "Message": inner_message,
                    "ProblemId": join(inner_type, " at Functions.", name),
                    "SeverityLevel": severity,
                    "_ItemId": guids(part.invocation, placed.salt + EXCEPTION + 2 * step),
                },
            )
        )
    return pa.concat_tables(tables)


def _table(
    world: World,
    placed: Placed,
    *,
    time: Array,
    kind: str,
    category: str,
    level: str,
    extra: Any,
    columns: dict[str, Any],
) -> pa.Table:
    events, count = placed.events, len(placed.events)
    functions, apps = world.tenant.functions, world.tenant.apps
    name = pick([function.name for function in functions], events.function)
    app = np.array([function.app for function in functions])[events.function]
    written = "Host.Results" if category == "Host.Results" else join("Function.", name)
    properties = join(
        '{"InvocationId":"', invocation_ids(placed), '","Category":"', written, f'","LogLevel":"{level}"',
        ',"HostInstanceId":"', hosts(placed), '","ProcessId":"', processes(placed), '"', extra, "}",
    )  # fmt: skip
    return pa.table(
        {
            "TimeGenerated": pa.array(time, pa.timestamp("us", tz="UTC")),
            "OperationName": name,
            "OperationId": hexes(mix(events.operation, 1), mix(events.operation, 2)),
            "ParentId": hexes(events.request),
            "Properties": properties,
            "AppRoleName": pick([one.name for one in apps], app),
            "ClientIP": pa.array(["0.0.0.0"] * count, pa.string()),  # noqa: S104 - Azure's mask, not a bind
            "SDKVersion": sdk_versions(world, events),
            "ItemCount": pa.array(np.ones(count, dtype=np.int32)),
            "Type": pa.array([kind] * count, pa.string()),
            **columns,
        }
    )
