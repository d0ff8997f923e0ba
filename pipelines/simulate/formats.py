"""Writes a day's rows as Parquet, as NDJSON of AppRequests, or as the FunctionAppLogs of a diagnostic setting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .rows import SUBSCRIPTION, Placed, completion, hosts, invocation_ids, processes, reasons, workers
from .text import decimals, iso, join, pick
from .world import World

ROW_GROUP: Final = 65_536
#: columns without repetition, for which a dictionary is wasted work
UNIQUE: Final = frozenset(
    ("TimeGenerated", "Id", "InvocationId", "DurationMs", "Properties", "OperationId", "ParentId", "_ItemId", "Message")
)


def write_parquet(tables: Iterable[pa.Table], path: Path) -> None:
    """One Parquet file of tables with one schema; the same rows give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for table in tables:
        if writer is None:
            repeated = [name for name in table.column_names if name not in UNIQUE]
            writer = pq.ParquetWriter(
                path, table.schema, compression="zstd", use_dictionary=repeated, store_schema=False
            )
        writer.write_table(table, row_group_size=ROW_GROUP)
    if writer is not None:
        writer.close()


def write_lines(tables: Iterable[pa.Table], path: Path) -> None:
    """JSON Lines of any tables of ours; Properties becomes an object, nulls are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for table in tables:
            _write(file, _json(table.combine_chunks()))


def _json(table: pa.Table) -> Any:
    pieces: list[Any] = []
    for name in table.column_names:
        column = table.column(name)
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if column.null_count == len(column) and len(column):
            continue
        text, quote = _text(name, column)
        field = join(f'"{name}":{quote}', text, f"{quote},")
        pieces.append(field if not column.null_count else pc.if_else(column.is_valid(), field, ""))
    return pc.binary_replace_slice(join("{", *pieces), -1, 2**31 - 1, "}") if pieces else pa.array([], pa.string())


def _text(name: str, column: Any) -> tuple[Any, str]:
    """A column as text, and the quote that goes around it."""
    if pa.types.is_timestamp(column.type):
        return iso(np.asarray(column.cast(pa.int64()))), '"'
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "true", "false"), ""
    if pa.types.is_floating(column.type):
        return decimals(np.asarray(column)), ""
    if pa.types.is_integer(column.type):
        return column.cast(pa.string()), ""
    return column, "" if name == "Properties" else '"'


def _write(file: Any, lines: Any) -> None:
    text = join(lines, "\n")
    for value in text.chunks if isinstance(text, pa.ChunkedArray) else [text]:
        offsets, data = value.buffers()[1], value.buffers()[2]
        if data is None or not len(value):
            continue
        bounds = np.frombuffer(offsets, dtype=np.int32)[value.offset : value.offset + len(value) + 1]
        file.write(memoryview(data)[int(bounds[0]) : int(bounds[-1])])


def function_app_logs(world: World, placed: Placed) -> Iterable[tuple[np.ndarray[Any, Any], Any]]:
    """(times us, JSON lines) of the started and the completed record of each invocation.

    Apps with the trait write ``properties`` as single-quoted text with quotes stripped from messages.
    """
    events = placed.events
    functions, apps = world.tenant.functions, world.tenant.apps
    app = np.array([function.app for function in functions])[events.function]
    name = pick([function.name for function in functions], events.function)
    app_name = pick([one.name for one in apps], app)
    invocation, host, worker, process = invocation_ids(placed), hosts(placed), workers(placed), processes(placed)
    strips = pa.array(np.array([one.strips_quotes for one in apps])[app])
    resource = join(
        f"/SUBSCRIPTIONS/{SUBSCRIPTION.upper()}/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.WEB/SITES/",
        pc.utf8_upper(app_name),
    )
    outcome = pick(["Failed", "Succeeded"], events.success.astype(int))
    whole_ms = pa.array(np.round(events.duration_ms).astype(np.int64)).cast(pa.string())
    started = join("Executing 'Functions.", name, "' (Reason='", reasons(world, events), "', Id=", invocation, ")")
    done = join("Executed 'Functions.", name, "' (", outcome, ", Id=", invocation, ", Duration=", whole_ms, "ms)")
    success = events.success
    for time, message, event_id, event_name, failed in (
        (
            events.time,
            started,
            np.ones(len(events), dtype=np.int64),
            "FunctionStarted",
            np.zeros(len(events), dtype=bool),
        ),
        (completion(events), done, np.where(success, 2, 3), "FunctionCompleted", ~success),
    ):
        level = pick(["Information", "Error"], failed.astype(int))
        level_id = pick(["2", "4"], failed.astype(int))
        fields: list[tuple[str, Any, bool]] = [
            ("appName", app_name, True),
            ("roleInstance", worker, True),
            ("message", pc.if_else(strips, pc.replace_substring(message, "'", ""), message), True),
            ("category", join("Function.", name), True),
            ("hostVersion", "4.1037.0.0", True),
            ("functionInvocationId", invocation, True),
            ("functionName", join("Functions.", name), True),
            ("hostInstanceId", host, True),
            ("level", level, True),
            ("levelId", level_id, False),
            ("processId", process, False),
            ("eventId", pa.array(event_id).cast(pa.string()), False),
            ("eventName", event_name, True),
        ]
        proper, pseudo = [], []
        for key, value, quoted in fields:
            q, p = ('"', "'") if quoted else ("", "")
            proper += [f',"{key}":{q}', value, q]
            pseudo += [f",'{key}':{p}", value, p]
        body = pc.if_else(
            strips,
            join('"{', pc.utf8_slice_codeunits(join(*pseudo), 1), '}"'),
            join("{", pc.utf8_slice_codeunits(join(*proper), 1), "}"),
        )
        lines = join(
            '{"time":"', iso(time), '","resourceId":"', resource,
            '","category":"FunctionAppLogs","operationName":"Microsoft.Web/sites/functions/log","level":"',
            pick(["Informational", "Error"], failed.astype(int)), '","location":"West Europe","properties":', body, "}",
        )  # fmt: skip
        yield time, lines


def write_function_app_logs(world: World, parts: Iterable[Placed], path: Path) -> None:
    """FunctionAppLogs as JSON Lines, in the order in which they are written within each part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for placed in parts:
            pairs = list(function_app_logs(world, placed))
            order = np.argsort(np.concatenate([time for time, _ in pairs]), kind="stable")
            _write(file, pa.concat_arrays([_flat(line) for _, line in pairs]).take(pa.array(order)))


def _flat(lines: Any) -> Any:
    return lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
